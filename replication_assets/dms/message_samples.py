"""Sample messages: what a topic gets of a few loaded rows, without sending anything.

They are made as the publisher of a topic makes them, of the declarations that `import` prints. Their
`timestamp`, when the message was made, is left out. A Kinesis stream gets the same of DMS.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa

from replication_assets.core.envelopes.produced import MOVED, MessageForm, Told
from replication_assets.core.envelopes.producing import produced
from replication_assets.core.envelopes.shaped import ShapedEvents, told_schema
from replication_assets.core.events import COMMITTED_AT, ID_RANGE, OP
from replication_assets.core.schema import TableId
from replication_assets.core.shape_specs import Shape
from replication_assets.dms.endpoint import KafkaEndpoint, StreamEndpoint
from replication_assets.dms.messages import Messages
from replication_assets.dms.outcome import TableOutcome
from replication_assets.dms.samples import table_schema
from replication_assets.dms.topics import NAME, declared_messages, envelope_of

_NOW = "1970-01-01T00:00:00.000000Z"


def sample_messages(
    messages: Messages,
    outcome: TableOutcome,
    rows: pa.RecordBatch,
    shape: Shape | None = None,
    endpoint: StreamEndpoint | None = None,
) -> list[dict[str, Any]]:
    """Topic, key and value of the message of each row.

    Raises:
        ValueError: the messages cannot be declared.
        CatalogError: they do not fit the columns.
    """
    topic = messages.topic or (None if endpoint is None else endpoint.topic)
    endpoint = endpoint or KafkaEndpoint()
    table = TableId("source", outcome.source.schema, outcome.source.name)
    declared = declared_messages(messages, outcome, str(table))
    events, schema = _loaded(outcome, rows), table_schema(outcome.source)
    if shape is not None:
        shaped = ShapedEvents(shape, schema)
        events, schema = shaped.events(events), shaped.schema
    form = MessageForm(
        "dms",
        endpoint.messages.format,
        declared.partition_key or "primary-key",
        endpoint.messages.table_in_key,
        dms=envelope_of(endpoint),
        messages=declared,
    )
    found = produced(Told(table, schema, form, NAME), events, (), _NOW)
    return [{"topic": topic, "key": each.key.decode(), "value": _shown(each.value or b"")} for each in found]


def _loaded(outcome: TableOutcome, rows: pa.RecordBatch) -> pa.Table:
    """Rows as the events of a load."""
    schema = told_schema(table_schema(outcome.source))
    same = {OP: "R", MOVED: False, ID_RANGE: "all", COMMITTED_AT: 0}
    columns = [
        pa.repeat(pa.scalar(same[field.name], field.type), rows.num_rows)
        if field.name in same
        else rows.column(field.name).cast(field.type)
        if field.name in rows.schema.names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _shown(value: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(value, parse_float=_number)
    for name in ("timestamp", "commit-timestamp", "stream-position"):
        found["metadata"].pop(name, None)
    return found


def _number(text: str) -> float | str:
    """A number that a float does not hold exactly is shown as text."""
    return float(text) if Decimal(repr(float(text))) == Decimal(text) else text
