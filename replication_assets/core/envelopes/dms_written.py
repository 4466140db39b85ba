"""Events in the envelope of AWS DMS's Kafka target; the inverse of `dms`.

What it has beside the row is declared (`specs.DmsEnvelope`); large numbers have all their digits
(`UseLargeIntegerValue`). `commit-timestamp` is the source's commit, `stream-position` the event's position,
`transaction-record-id` its number within the commit. The transaction before it is not told: a table's log
does not know it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.envelopes.json_columns import Spelling, iso_times, json_columns, json_texts
from replication_assets.core.envelopes.layout import Layout, Texts, text
from replication_assets.core.envelopes.mapped import told_names
from replication_assets.core.envelopes.produced import (
    Produced,
    Told,
    key_texts,
    mapped,
    old_values,
    position_texts,
)
from replication_assets.core.events import COMMITTED_AT, OP, SEQUENCE, TRANSACTION_ID
from replication_assets.core.positions import Position

_OPERATIONS = {"R": "load", "I": "insert", "U": "update", "D": "delete"}


def written(told: Told, rows: pa.Table, now: str) -> tuple[Texts, list[Texts]]:
    """The value of each event's message, and the JSON of its columns. `now` is in ISO 8601."""
    form = told.form
    layout = Layout(form.format)
    values = json_columns(rows, told.schema, Spelling("dms", form.dms.hex_prefix))
    members = [layout.member("data", told.mapped.data(layout, rows, values, nulls=form.dms.nulls))]
    if form.before_images:
        members.append(layout.member(form.dms.before_field, _before(told, layout, rows, values)))
    members.append(layout.member("metadata", _metadata(told, layout, rows, values, now)))
    return layout.object(members, 0), values


def _metadata(told: Told, layout: Layout, rows: pa.Table, values: Sequence[Texts], now: str) -> Texts:
    def same(name: str, word: str) -> Texts:
        return layout.member(name, pa.repeat(text(word), len(rows)))

    key_kind = told.mapped.key_kind or told.form.partition_key
    members = [
        same("timestamp", now),
        same("record-type", "data"),
        layout.member("operation", mapped(rows[OP], _OPERATIONS)),
        same("partition-key-type", key_kind),
        same("schema-name", told.schema_name),
        same("table-name", told.table_name),
        layout.member("transaction-id", rows[TRANSACTION_ID].combine_chunks().cast(pa.string())),
    ]
    if told.form.dms.partition_value and key_kind != "schema-table":
        keys = pa.array([each.decode() for each in key_texts(told, values)], pa.string())
        members.insert(4, layout.member("partition-key-value", json_texts(keys)))
    if told.form.dms.transaction_details:
        members += _transaction(layout, rows)
    return layout.object(members, 1)


def _transaction(layout: Layout, rows: pa.Table) -> list[Texts]:
    """The row of a load is in no transaction."""
    loaded = pc.equal(rows[OP], "R").combine_chunks()
    number = rows[SEQUENCE].combine_chunks().cast(pa.string())
    return [
        layout.member("transaction-record-id", pc.if_else(loaded, pa.scalar(None, pa.string()), number)),
        layout.member("commit-timestamp", iso_times(rows[COMMITTED_AT].combine_chunks())),
        layout.member("stream-position", position_texts(rows)),
    ]


def _before(told: Told, layout: Layout, rows: pa.Table, values: Sequence[Texts]) -> Texts:
    """The key, and old values that differ. Row by row: few sources tell them."""
    by_name = dict(zip(told.schema.names, values, strict=True))
    images: list[str | None] = [None] * len(rows)
    for row, was in old_values(rows, told.schema).items():
        key = {name: by_name[name][row].as_py() for name in told.schema.key}
        members = told.mapped.old(key if told.form.dms.before_columns == "key" else key | was)
        arrays = [layout.member(name, pa.array([value])) for name, value in members.items()]
        images[row] = layout.object(arrays, 1)[0].as_py() if arrays else "{}"
    return pa.array(images, pa.string())


def truncated(told: Told, position: Position, at: str, transaction: int | None) -> Produced:
    """`at` is the time of the commit."""
    return _control(told, "truncate-table", position, at, transaction)


def altered(told: Told, change: SchemaChanged, at: str) -> Iterator[Produced]:
    """Of columns that messages tell; nothing where none of them is concerned."""
    if not told.form.dms.alter_operations:
        return
    types = {column.name: column.source_type for column in told.schema.columns}
    for operation, names in (("add-column", change.added), ("drop-column", change.dropped)):
        named = told_names(told.mapped.messages, names)
        if named:
            columns = {name: {"type": types.get(name)} for name in named}
            yield _control(told, operation, change.position, at, None, columns)


def _control(
    told: Told,
    operation: str,
    position: Position,
    at: str,
    transaction: int | None,
    columns: dict[str, Any] | None = None,
) -> Produced:
    details = {"stream-position": str(position)} if told.form.dms.transaction_details else {}
    metadata = {
        "timestamp": at,
        "record-type": "control",
        "operation": operation,
        "partition-key-type": "schema-table",
        "schema-name": told.schema_name,
        "table-name": told.table_name,
        **details,
        **({"transaction-id": transaction} if transaction else {}),
    }
    detailed = columns and told.form.dms.control_details
    control = {"control": {"table-def": {"columns": columns}}} if detailed else {}
    body = {**control, "metadata": metadata}
    if told.form.format == "json":
        value = json.dumps(body, ensure_ascii=False, indent="\t", separators=(",", ":\t"))
    else:
        value = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Produced(told.table_key, value.encode(), position, -1)
