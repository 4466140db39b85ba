"""Rows of change tables to events.

A change table has one row for an insert (2) and a delete (1), two for an update: the old values (3) and
the new ones (4). An update of one row's primary key is a delete and an insert with one `__$seqval`; of
many rows at once, deletes and inserts with places of their own, which are told as such. Pairs stand side by
side in the order that is asked for, so only the last row of a batch may wait for its other half.

Large values: the old ones are there if the update changed them, and of `text`, `ntext` and `image` never.
A new one that is NULL although the update did not touch it counts as not sent (`_unchanged`), which is
right whether the server sends it or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.change_rows import ChangeRows, Image
from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import DecodeError
from replication_assets.sources.sqlserver.cdc.positions import sequences
from replication_assets.sources.sqlserver.load import typed_columns
from replication_assets.sources.sqlserver.statements.cdc import FIXED_COLUMNS
from replication_assets.sources.sqlserver.types import OLD_LOBS, NativeType, texts

DELETE, INSERT, OLD, NEW = 1, 2, 3, 4
_COMMIT, _SLOT, _RANK, _OPERATION, _SEQVAL, _COMMAND, _AT, _TRANSACTION = range(FIXED_COLUMNS)

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Instance:
    """A capture instance: the columns that it captures, and which of them are `large`, by place."""

    name: str
    columns: tuple[Column, ...]
    large: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Rows:
    """A batch as it came, with the columns that pairs are made by."""

    batch: pa.RecordBatch
    commit: Ints
    slot: Ints
    operation: Ints

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> _Rows:
        numbers = [_ints(batch.column(place)) for place in (_COMMIT, _SLOT, _OPERATION)]
        return cls(batch, *numbers)

    def second_of_pair(self) -> Mask:
        """Which rows are the second half of the change that the row before began."""
        if len(self.commit) < 2:
            return np.zeros(len(self.commit), dtype=bool)
        same = np.zeros(len(self.commit), dtype=bool)
        seqval = self.batch.column(_SEQVAL)
        equal = pc.equal(seqval.slice(1), seqval.slice(0, len(seqval) - 1))
        same[1:] = pc.fill_null(equal, False).to_numpy(zero_copy_only=False)
        same[1:] &= (self.commit[1:] == self.commit[:-1]) & (self.slot[1:] == self.slot[:-1])
        before, here = self.operation[:-1], self.operation[1:]
        same[1:] &= ((before == OLD) & (here == NEW)) | ((before == DELETE) & (here == INSERT))
        return same


def _ints(values: pa.Array) -> Ints:
    if values.null_count:
        raise DecodeError("a row of a change table has no position")
    found: Ints = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found


def split_last(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """The rows whose other half is there, and the last one where it may come with the next batch."""
    if batch.num_rows == 0:
        return batch, batch
    last = batch.column(_OPERATION)[batch.num_rows - 1].as_py()
    waits = 1 if last in (OLD, DELETE) else 0
    return batch.slice(0, batch.num_rows - waits), batch.slice(batch.num_rows - waits)


def change_rows(instance: Instance, schema: TableSchema, batch: pa.RecordBatch) -> ChangeRows:
    """Changes of a batch without torn pairs, by the columns of `schema`.

    Raises:
        DecodeError: an operation is not known, or half of an update is missing.
    """
    rows = _Rows.of(batch)
    second = rows.second_of_pair()
    _refuse_halves(rows.operation, second)
    first = np.flatnonzero(~second)
    # Where a change has two rows, the second is the one after the first.
    paired = np.append(second[1:], False)[first] if len(first) else np.zeros(0, dtype=bool)
    last = first + paired
    operation = rows.operation[first]
    kinds = np.where(paired, "U", np.where(operation == DELETE, "D", "I"))
    old_at = np.where(paired | (operation == DELETE), first, -1)
    new_at = np.where(operation[:] == DELETE, np.where(paired, last, -1), last)
    old, new = _image(instance, schema, batch, old_at), _image(instance, schema, batch, new_at)
    updated = rows.operation[last] == NEW
    old, unchanged = _large_values(instance, schema, batch, old, new, last, updated)
    last_rows = pa.array(last)
    return ChangeRows(
        operations=pa.array(kinds.tolist(), pa.string()),
        commits=rows.commit[last],
        sequences=sequences(rows.slot[last], _ints(batch.column(_RANK).take(last_rows))),
        committed_at=_times(batch.column(_AT).take(last_rows)),
        transactions=_ints(pc.fill_null(batch.column(_TRANSACTION).take(last_rows), 0)),
        old=old,
        new=new,
        unchanged=unchanged,
    )


def _refuse_halves(operation: Ints, second: Mask) -> None:
    unknown = ~np.isin(operation, (DELETE, INSERT, OLD, NEW))
    follows = np.append(second[1:], False) if len(second) else second
    torn = ((operation == OLD) & ~follows) | ((operation == NEW) & ~second)
    if unknown.any() or torn.any():
        raise DecodeError("a change table has an operation that is not known, or half of an update")


def _times(values: pa.Array) -> Ints:
    if values.null_count:
        raise DecodeError(
            "a change has no commit time: its transaction is not in cdc.lsn_time_mapping",
            fix="cleanup ran while changes were read: run the capture again",
        )
    found: Ints = values.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found


def _image(instance: Instance, schema: TableSchema, batch: pa.RecordBatch, places: Ints) -> Image:
    """Rows at `places` (-1 is none) by the columns of `schema`; null where the instance has no such."""
    given = [batch.column(FIXED_COLUMNS + place) for place in range(_width(instance))]
    chosen = pa.array(places, mask=places < 0)
    typed, odd = typed_columns(instance.columns, [each.take(chosen) for each in given])
    at = {column.name: place for place, column in enumerate(instance.columns)}
    values, odds, printed = [], [], []
    for column in schema.columns:
        place = at.get(column.name)
        value = pa.nulls(len(places), column.arrow) if place is None else typed[place]
        text = None if place is None else odd[place]
        values.append(value)
        odds.append(text)
        printed.append(texts(column, value, text))
    return Image(tuple(values), tuple(odds), tuple(printed))


def _width(instance: Instance) -> int:
    odd = sum(NativeType.parse(column.source_type).may_be_odd for column in instance.columns)
    return len(instance.columns) + odd


def _large_values(
    instance: Instance,
    schema: TableSchema,
    batch: pa.RecordBatch,
    old: Image,
    new: Image,
    last: Ints,
    updated: Mask,
) -> tuple[Image, pa.ListArray | None]:
    """The old image with what was not told taken from the new one, so that it does not count as changed;
    and the columns of each update whose new value was not sent."""
    if not instance.large:
        return old, None
    typed, texts_of = list(old.typed), list(old.texts)
    missing: list[tuple[str, Mask]] = []
    for number, place in enumerate(instance.large):
        column = instance.columns[place]
        if column.name not in schema.names:
            continue
        at = schema.names.index(column.name)
        bits = batch.column(FIXED_COLUMNS + _width(instance) + number).take(pa.array(last))
        touched = _ints(pc.fill_null(bits, 0)) != 0
        told = touched & (NativeType.parse(column.source_type).base not in OLD_LOBS)
        untold = pa.array(updated & ~told)
        typed[at] = pc.if_else(untold, new.typed[at], typed[at])
        texts_of[at] = pc.if_else(untold, new.texts[at], texts_of[at])
        absent = new.typed[at].is_null().to_numpy(zero_copy_only=False)
        missing.append((column.name, updated & ~touched & absent))
    return Image(tuple(typed), old.odd, tuple(texts_of)), _names(missing, len(last))


def _names(missing: Sequence[tuple[str, Mask]], rows: int) -> pa.ListArray | None:
    if not any(mask.any() for _, mask in missing):
        return None
    listed: list[list[str] | None] = [None] * rows
    for row in np.flatnonzero(np.logical_or.reduce([mask for _, mask in missing])):
        listed[row] = [name for name, mask in missing if mask[row]]
    return pa.array(listed, pa.list_(pa.string()))
