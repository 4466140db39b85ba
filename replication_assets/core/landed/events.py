"""Landed rows of one table to events, whole columns at a time.

`I`, `U` and `D` are DMS's own letters. A row of a delete holds the last image, or its key alone: fields
that are empty there say nothing. What the source's log did not have of an updated row is marked by DMS
with a text of its own (`CsvNoSupValue`): such a column is in `_unchanged`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import ENVELOPE, event_schema
from replication_assets.core.landed.values import Stored, from_parquet, from_texts
from replication_assets.core.overflow import overflow_json
from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import DecodeError

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LandedRows:
    """Some rows of a file, of one table. `numbers` are their places in the file, from 0; `values` are
    texts, or Parquet's own; `at` are commit times, where the rows tell them."""

    table: tuple[str, str]
    numbers: Ints
    ops: pa.StringArray
    at: pa.TimestampArray | None
    values: Mapping[str, pa.Array]

    def chosen(self, mask: npt.NDArray[np.bool_]) -> LandedRows:
        keep = pa.array(mask)
        values = {name: each.filter(keep) for name, each in self.values.items()}
        at = None if self.at is None else self.at.filter(keep)
        return LandedRows(self.table, self.numbers[mask], self.ops.filter(keep), at, values)


@dataclass(frozen=True, slots=True)
class Place:
    """Where events of a file stand; `at` is the time of rows that do not tell theirs."""

    epoch: int
    commit: int
    at: pa.Scalar


def landed_events(
    rows: LandedRows, schema: TableSchema, place: Place, sequences: Ints, no_sup_value: str | None
) -> pa.RecordBatch:
    """Events with `event_schema(schema)`. A column that the rows lack is null.

    Raises:
        DecodeError: a key is missing or not of its type, or a column cannot be converted.
    """
    count = len(rows.numbers)
    deleted = pc.equal(rows.ops, "D")
    columns: list[pa.Array] = []
    odd: list[pa.StringArray | None] = []
    unsent: list[tuple[str, pa.BooleanArray | None]] = []
    for column in schema.columns:
        values = rows.values.get(column.name)
        if values is None:
            columns.append(pa.nulls(count, column.arrow))
            odd.append(None)
            continue
        if pa.types.is_string(values.type):
            values, missing = _sent(values, deleted, no_sup_value, is_key=column.name in schema.key)
            unsent.append((column.name, missing))
            typed, texts = from_texts(column, values)
        else:
            typed, texts = _converted(column, values)
        if column.name in schema.key and typed.null_count:
            raise DecodeError(f"row {_first_null(typed, rows)}: key column {column.name!r} is null, or odd")
        columns.append(typed)
        odd.append(texts)
    overflow = overflow_json(schema.names, odd) if any(each is not None for each in odd) else None
    envelope = [
        rows.ops,
        pa.repeat(pa.scalar(place.epoch, pa.int32()), count),
        pa.repeat(pa.scalar(place.commit, pa.int64()), count),
        pa.array(sequences),
        pa.repeat(place.at, count) if rows.at is None else rows.at.fill_null(place.at),
        pa.nulls(count, pa.int64()),
        pa.nulls(count, pa.string()),
        _unchanged([(name, each) for name, each in unsent if each is not None], count),
        pa.nulls(count, pa.string()),
        overflow if overflow is not None else pa.nulls(count, pa.string()),
        pa.nulls(count, pa.string()),
    ]
    types = [field.type for field in ENVELOPE]
    envelope = [each.cast(kind) for each, kind in zip(envelope, types, strict=True)]
    return pa.RecordBatch.from_arrays([*envelope, *columns], schema=event_schema(schema))


def _converted(column: Column, values: pa.Array) -> Stored:
    try:
        return from_parquet(column, values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # Arrow's text may quote the value.
        raise DecodeError(
            f"column {column.name!r} has a type or value that cannot be stored exactly"
        ) from None


def _sent(
    texts: pa.StringArray, deleted: pa.BooleanArray, no_sup_value: str | None, *, is_key: bool
) -> tuple[pa.StringArray, pa.BooleanArray | None]:
    """Values that were sent, and where one was not."""
    nothing = pa.scalar(None, pa.string())
    if not is_key:
        texts = pc.if_else(pc.and_(deleted, pc.fill_null(pc.equal(texts, ""), False)), nothing, texts)
    if no_sup_value is None or is_key:
        return texts, None
    missing = pc.fill_null(pc.equal(texts, no_sup_value), False)
    if not pc.any(missing).as_py():
        return texts, None
    return pc.if_else(missing, nothing, texts), pc.and_(missing, pc.invert(deleted))


def _unchanged(unsent: list[tuple[str, pa.BooleanArray]], count: int) -> pa.Array:
    if not unsent:
        return pa.nulls(count, pa.list_(pa.string()))
    masks = [(name, each.to_pylist()) for name, each in unsent]
    named = [[name for name, mask in masks if mask[row]] or None for row in range(count)]
    return pa.array(named, pa.list_(pa.string()))


def _first_null(values: pa.Array, rows: LandedRows) -> int:
    """Of the file, from 1."""
    first = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0]
    return int(rows.numbers[first]) + 1
