"""Events in the envelope of AWS DMS's Kafka target; the inverse of `dms`.

As with its `IncludeNullAndEmpty` and `IncludeTransactionDetails`; large numbers have all their digits
(`UseLargeIntegerValue`). `commit-timestamp` is the source's commit, `stream-position` the event's position.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.envelopes.json_columns import Spelling, iso_times, json_columns
from replication_assets.core.envelopes.produced import (
    Layout,
    Produced,
    Texts,
    Told,
    mapped,
    old_values,
    position_texts,
    text,
    told_columns,
)
from replication_assets.core.events import COMMITTED_AT, TRANSACTION_ID
from replication_assets.core.positions import Position

_OPERATIONS = {"R": "load", "I": "insert", "U": "update", "D": "delete"}
SPELLING = Spelling("dms")


def written(told: Told, rows: pa.Table, now: str) -> tuple[Texts, list[Texts]]:
    """The value of each event's message, and the JSON of its columns. `now` is in ISO 8601."""
    layout = Layout(told.form.format)
    values = json_columns(rows, told.schema, SPELLING)
    members = [layout.member("data", layout.object(told_columns(layout, rows, values, told.schema), 1))]
    if told.form.before_images:
        members.append(layout.member("before-image", _before(told, layout, rows, values)))
    members.append(layout.member("metadata", _metadata(told, layout, rows, now)))
    return layout.object(members, 0), values


def _metadata(told: Told, layout: Layout, rows: pa.Table, now: str) -> Texts:
    def same(word: str) -> Texts:
        return pa.repeat(text(word), len(rows))

    return layout.object(
        [
            layout.member("timestamp", same(now)),
            layout.member("record-type", same("data")),
            layout.member("operation", mapped(rows["_op"], _OPERATIONS)),
            layout.member("partition-key-type", same(told.form.partition_key)),
            layout.member("schema-name", same(told.table.schema)),
            layout.member("table-name", same(told.table.name)),
            layout.member("transaction-id", rows[TRANSACTION_ID].combine_chunks().cast(pa.string())),
            layout.member("commit-timestamp", iso_times(rows[COMMITTED_AT].combine_chunks())),
            layout.member("stream-position", position_texts(rows)),
        ],
        1,
    )


def _before(told: Told, layout: Layout, rows: pa.Table, values: Sequence[Texts]) -> Texts:
    """The key, and old values that differ. Row by row: few sources tell them."""
    by_name = dict(zip(told.schema.names, values, strict=True))
    images: list[str | None] = [None] * len(rows)
    for row, was in old_values(rows, told.schema).items():
        members = {name: by_name[name][row].as_py() for name in told.schema.key} | was
        arrays = [layout.member(name, pa.array([value])) for name, value in members.items()]
        images[row] = layout.object(arrays, 1)[0].as_py()
    return pa.array(images, pa.string())


def truncated(told: Told, position: Position, at: str, transaction: int | None) -> Produced:
    """`at` is the time of the commit."""
    return _control(told, "truncate-table", position, at, transaction)


def altered(told: Told, change: SchemaChanged, at: str) -> Iterator[Produced]:
    types = {column.name: column.source_type for column in told.schema.columns}
    for operation, names in (("add-column", change.added), ("drop-column", change.dropped)):
        if names:
            columns = {name: {"type": types.get(name)} for name in names}
            yield _control(told, operation, change.position, at, None, columns)


def _control(
    told: Told,
    operation: str,
    position: Position,
    at: str,
    transaction: int | None,
    columns: dict[str, Any] | None = None,
) -> Produced:
    metadata = {
        "timestamp": at,
        "record-type": "control",
        "operation": operation,
        "partition-key-type": "schema-table",
        "schema-name": told.table.schema,
        "table-name": told.table.name,
        "stream-position": str(position),
        **({"transaction-id": transaction} if transaction else {}),
    }
    control = {"control": {"table-def": {"columns": columns}}} if columns else {}
    body = {**control, "metadata": metadata}
    if told.form.format == "json":
        value = json.dumps(body, ensure_ascii=False, indent="\t", separators=(",", ":\t"))
    else:
        value = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Produced(told.table_key, value.encode(), position, -1)
