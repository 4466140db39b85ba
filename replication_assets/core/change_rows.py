"""Rows of a trigger's change log to events, whole columns at a time.

Triggers see the whole old and the whole new row, so every event is complete: `_unchanged` is null.
Change tables that a server fills from its log may leave large values out, and name them so. What becomes
of each change is what a log with full replica identity gives:

| change | events |
|---|---|
| insert | `I` |
| update, key as before | `U`, with `_before`: the old values, as text, of the columns that differ |
| update, another key | `D` of the old row, then `U` of the new one, at one position |
| update, table without key | `D` of the old row, then `I` of the new one, at one position |
| delete | `D` with the whole old row |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import ENVELOPE, Operation, event_schema
from replication_assets.core.json_text import json_objects
from replication_assets.core.overflow import overflow_json
from replication_assets.core.schema import TableSchema
from replication_assets.errors import DecodeError

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_OPERATIONS = pa.array([Operation.INSERT.value, Operation.UPDATE.value, Operation.DELETE.value], pa.string())
_I, _U, _D = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Image:
    """One row image of each change, by the columns of a schema; null throughout where there is none.

    `typed` are stored values, `odd` the texts of those that their type cannot hold (None: there are
    none), `texts` the canonical text of every value, by which values are compared.
    """

    typed: tuple[pa.Array, ...]
    odd: tuple[pa.StringArray | None, ...]
    texts: tuple[pa.StringArray, ...]


@dataclass(frozen=True, slots=True)
class ChangeRows:
    """Changes of one table in the order of their ids. `operations` are `I`, `U` and `D`;
    `committed_at` is in microseconds since 1970, `transactions` None where the engine has no ids."""

    operations: pa.StringArray
    commits: Ints
    sequences: Ints
    committed_at: Ints
    transactions: Ints | None
    old: Image
    new: Image
    unchanged: pa.ListArray | None = None
    """Names of columns whose new value an update did not send; None where all are always sent."""


def row_events(rows: ChangeRows, schema: TableSchema, epoch: int) -> pa.RecordBatch:
    """Events of the changes, with `event_schema(schema)`.

    Raises:
        DecodeError: an operation is not known, or a row has no key.
    """
    inserts, updates, deletes = (_is(rows.operations, each) for each in "IUD")
    if not (inserts | updates | deletes).all():
        raise DecodeError("a row of the change log has an unknown operation")
    moved = updates & _differ(rows, [schema.names.index(name) for name in schema.key])
    if not schema.key:
        moved = updates
    changes = np.arange(len(rows.commits))
    events = np.repeat(changes, np.where(moved, 2, 1))
    first_of_pair = np.zeros(len(events), dtype=bool)
    first_of_pair[:-1] = events[:-1] == events[1:]
    gone = first_of_pair | deletes[events]
    columns, overflow = _images(rows, schema, events, gone)
    _refuse_missing_key(columns, schema)
    op = np.where(gone, _D, np.where(updates[events] & bool(schema.key), _U, _I))
    transactions = None if rows.transactions is None else rows.transactions[events]
    envelope = [
        _OPERATIONS.take(pa.array(op)),
        pa.repeat(pa.scalar(epoch, pa.int32()), len(events)),
        pa.array(rows.commits[events]),
        pa.array(rows.sequences[events]),
        pa.array(rows.committed_at[events]).cast(ENVELOPE.field("_committed_at").type),
        pa.nulls(len(events), pa.int64()) if transactions is None else pa.array(transactions),
        pa.nulls(len(events), pa.string()),
        _unchanged(rows, events, gone),
        _before(rows, schema, events, ~gone & (updates & ~moved)[events]),
        overflow,
        pa.nulls(len(events), pa.string()),
    ]
    return pa.RecordBatch.from_arrays([*envelope, *columns], schema=event_schema(schema))


def _unchanged(rows: ChangeRows, events: Ints, gone: Mask) -> pa.ListArray:
    if rows.unchanged is None:
        return pa.nulls(len(events), pa.list_(pa.string()))
    # Of what is gone the old row is told, which was sent.
    return rows.unchanged.take(pa.array(events, mask=gone))


def _is(operations: pa.StringArray, letter: str) -> Mask:
    found: Mask = pc.equal(operations, letter).to_numpy(zero_copy_only=False)
    return found


def _differ(rows: ChangeRows, columns: Sequence[int]) -> Mask:
    """Where one of the columns has distinct values, null being a value like any other."""
    distinct = np.zeros(len(rows.commits), dtype=bool)
    for column in columns:
        distinct |= _distinct(rows, column)
    return distinct


def _distinct(rows: ChangeRows, column: int) -> Mask:
    """An ordinary value and an odd one are distinct, whatever their texts."""
    old, new = rows.old, rows.new
    unequal = pc.fill_null(pc.not_equal(old.texts[column], new.texts[column]), False)
    found: Mask = unequal.to_numpy(zero_copy_only=False)
    for one, other in ((old.texts, new.texts), (old.typed, new.typed)):
        missing = one[column].is_null().to_numpy(zero_copy_only=False)
        found = found | (missing != other[column].is_null().to_numpy(zero_copy_only=False))
    return found


def _images(
    rows: ChangeRows, schema: TableSchema, events: Ints, gone: Mask
) -> tuple[list[pa.Array], pa.StringArray]:
    """Each event's row: the old one of what is gone, the new one of all else."""
    chosen = pa.array(events + np.where(gone, len(rows.commits), 0))
    pairs = zip(rows.new.typed, rows.old.typed, strict=True)
    columns = [pa.concat_arrays([new, old]).take(chosen) for new, old in pairs]
    nothing = pa.nulls(len(rows.commits), pa.string())
    odd: list[pa.StringArray | None] = []
    for new_odd, old_odd in zip(rows.new.odd, rows.old.odd, strict=True):
        if new_odd is None and old_odd is None:
            odd.append(None)
        else:
            both = [nothing if each is None else each for each in (new_odd, old_odd)]
            odd.append(pa.concat_arrays(both).take(chosen))
    if any(text is not None for text in odd):
        return columns, overflow_json(schema.names, odd)
    return columns, pa.nulls(len(events), pa.string())


def _refuse_missing_key(columns: Sequence[pa.Array], schema: TableSchema) -> None:
    for name in schema.key:
        if columns[schema.names.index(name)].null_count:
            raise DecodeError(
                f"key column {name!r} of a changed row is null, or not of the column's type",
                fix="give the row a key, or declare another key for the table, and load the table again",
            )


def _before(rows: ChangeRows, schema: TableSchema, events: Ints, kept: Mask) -> pa.StringArray:
    before = pa.nulls(len(events), pa.string())
    if not kept.any():
        return before
    changes = events[kept]
    members = [
        (name, rows.old.texts[column].take(pa.array(changes)), _distinct(rows, column)[changes])
        for column, name in enumerate(schema.names)
    ]
    return pc.replace_with_mask(before, pa.array(kept), json_objects(members))
