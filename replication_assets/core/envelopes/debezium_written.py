"""Events in Debezium's envelope, as its connectors write them; the inverse of `debezium`.

`source` says that the connector is this project, and has the position as `sequence`. Decimals are texts
(`decimal.handling.mode=string`), times without a zone integers by the adaptive mode, binary values base64.
With a schema, it is Kafka Connect's of the columns as they are stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.envelopes.json_columns import Spelling, json_columns
from replication_assets.core.envelopes.layout import Layout, Texts, text
from replication_assets.core.envelopes.produced import (
    MOVED,
    Produced,
    Told,
    mapped,
    milliseconds,
    old_values,
    position_texts,
    told_columns,
)
from replication_assets.core.events import COMMITTED_AT, OP, TRANSACTION_ID
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column

_OPERATIONS = {"R": "r", "I": "c", "U": "u", "D": "d"}
_LINE = Layout("json-unformatted")
SPELLING = Spelling("debezium")


def written(told: Told, rows: pa.Table, now: str) -> tuple[Texts, list[Texts]]:
    """The value of each event's message, and the JSON of its columns. `now` is in ISO 8601."""
    values = json_columns(rows, told.schema, SPELLING)
    row = _LINE.object(told_columns(_LINE, rows, values, told.schema), 1)
    deleted = pc.equal(rows[OP], "D").combine_chunks()
    nothing = pa.repeat("null", len(rows))
    before = _before(told, rows, values) if told.form.before_images else nothing
    created = pc.if_else(rows[MOVED].combine_chunks(), '"c"', mapped(rows[OP], _OPERATIONS))
    bodies = _LINE.object(
        [
            _LINE.member("before", pc.if_else(deleted, row, before)),
            _LINE.member("after", pc.if_else(deleted, nothing, row)),
            _LINE.member("source", _sources(told, rows)),
            _LINE.member("op", created),
            _LINE.member("ts_ms", pa.repeat(str(milliseconds(now)), len(rows))),
        ],
        0,
    )
    return _enveloped(told, bodies), values


def truncated(told: Told, position: Position, at: str, transaction: int | None) -> Produced:
    """`at` is the time of the commit."""
    moment = milliseconds(at)
    source = _head(told) | {
        "snapshot": "false",
        "ts_ms": moment,
        "txId": transaction,
        "sequence": str(position),
    }
    body = {"before": None, "after": None, "source": source, "op": "t", "ts_ms": moment}
    (value,) = _enveloped(told, pa.array([orjson.dumps(body).decode()])).to_pylist()
    return Produced(told.table_key, value.encode(), position, -1)


def _head(told: Told) -> dict[str, Any]:
    table = told.table
    named = {"version": "1", "connector": "replication_assets", "name": told.writer, "db": table.source}
    return named | {"schema": table.schema, "table": table.name}


def _sources(told: Told, rows: pa.Table) -> Texts:
    micros = rows[COMMITTED_AT].combine_chunks().cast(pa.int64())
    # Rounded down, also before 1970.
    millis = pa.array(micros.to_numpy() // 1000, pa.int64())
    transaction = rows[TRANSACTION_ID].combine_chunks().cast(pa.string())
    loaded = pc.if_else(pc.equal(rows[OP], "R").combine_chunks(), '"true"', '"false"')
    named = [_LINE.member(name, pa.repeat(text(word), len(rows))) for name, word in _head(told).items()]
    return _LINE.object(
        [
            *named,
            _LINE.member("snapshot", loaded),
            _LINE.member("ts_ms", millis.cast(pa.string())),
            _LINE.member("ts_us", micros.cast(pa.string())),
            _LINE.member("txId", pc.coalesce(transaction, "null")),
            _LINE.member("sequence", position_texts(rows)),
        ],
        1,
    )


def _before(told: Told, rows: pa.Table, values: Sequence[Texts]) -> Texts:
    """The whole old row of updates whose source told the old values that differ, null of others. Without
    columns that are made anew: whether their values differ is not known."""
    images = ["null"] * len(rows)
    for row, was in old_values(rows, told.schema).items():
        now = {
            name: each[row].as_py() or "null"
            for name, each in zip(told.schema.names, values, strict=True)
            if name not in told.anew
        }
        members = [_LINE.member(name, pa.array([value])) for name, value in (now | was).items()]
        images[row] = _LINE.object(members, 1)[0].as_py()
    return pa.array(images, pa.string())


def _enveloped(told: Told, bodies: Texts) -> Texts:
    if not told.form.with_schema:
        return bodies
    schema = orjson.dumps(connect_schema(told)).decode()
    return pc.binary_join_element_wise(f'{{"schema":{schema},"payload":', bodies, "}", "")


def connect_schema(told: Told) -> Mapping[str, Any]:
    """Kafka Connect's schema of the envelope."""
    name = f"{told.table.source}.{told.table.schema}.{told.table.name}"
    row = {
        "type": "struct",
        "optional": True,
        "name": f"{name}.Value",
        "fields": [_field(column) for column in told.schema.columns],
    }
    words = ("version", "connector", "name", "db", "schema", "table", "snapshot", "sequence")
    numbers = ("ts_ms", "ts_us", "txId")
    source = [{"type": "string", "optional": True, "field": word} for word in words]
    source += [{"type": "int64", "optional": True, "field": word} for word in numbers]
    fields = [
        {**row, "field": "before"},
        {**row, "field": "after"},
        {"type": "struct", "optional": False, "field": "source", "fields": source},
        {"type": "string", "optional": False, "field": "op"},
        {"type": "int64", "optional": True, "field": "ts_ms"},
    ]
    return {"type": "struct", "optional": False, "name": f"{name}.Envelope", "fields": fields}


def _field(column: Column) -> dict[str, Any]:
    kind, semantic = _type(column)
    named = {"name": semantic, "version": 1} if semantic is not None else {}
    return {"type": kind, "optional": True, **named, "field": column.name}


def _type(column: Column) -> tuple[str, str | None]:
    kind = column.arrow
    if pa.types.is_integer(kind):
        return f"int{max(16, kind.bit_width)}", None
    if pa.types.is_boolean(kind):
        return "boolean", None
    if pa.types.is_floating(kind):
        return ("double" if kind == pa.float64() else "float"), None
    if pa.types.is_binary(kind):
        return "bytes", None
    if pa.types.is_date(kind):
        return "int32", "io.debezium.time.Date"
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return "int64", f"io.debezium.time.{'Timestamp' if _precision(column) <= 3 else 'MicroTimestamp'}"
    if pa.types.is_timestamp(kind):
        return "string", "io.debezium.time.ZonedTimestamp"
    return "string", None


def _precision(column: Column) -> int:
    stated = re.search(r"\((\d)\)", column.source_type)
    return int(stated.group(1)) if stated is not None else 6
