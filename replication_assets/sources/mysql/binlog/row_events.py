"""Row images of one table to events, whole columns at a time.

What becomes of each row:

| row | events |
|---|---|
| inserted | `I` |
| updated, key as before | `U`; `_before` is the JSON object of the old values that differ, as text |
| updated, another key | `D` of the old row, then `U` of the new one, at one position |
| updated, table without key | `D` of the old row, then `I` of the new one, at one position |
| deleted | `D` with the whole old row |

Images are whole (`row_header` sees to it), so `_unchanged` is null throughout. JSON null in `_before`
is SQL NULL.

Sequences are `end of the event in its file << 24 | row within the event`: they do not depend on which
tables are captured. An event with more rows is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import ENVELOPE, Operation, event_schema
from replication_assets.core.json_text import json_objects
from replication_assets.core.overflow import overflow_json
from replication_assets.core.schema import TableSchema
from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog.charsets import Charsets
from replication_assets.sources.mysql.binlog.events import DELETE_ROWS, UPDATE_ROWS, WRITE_ROWS
from replication_assets.sources.mysql.binlog.old_values import old_texts
from replication_assets.sources.mysql.binlog.pieces import (
    END,
    LOG_POS,
    OPERATION,
    START,
    TRANSACTION,
    Transaction,
)
from replication_assets.sources.mysql.binlog.row_images import Images, Ints, Mask, PieceBytes, walk
from replication_assets.sources.mysql.binlog.table_map import TableMap
from replication_assets.sources.mysql.binlog.values import Values, decode

_OPERATIONS = pa.array([Operation.INSERT.value, Operation.UPDATE.value, Operation.DELETE.value], pa.string())
_I, _U, _D = 0, 1, 2
_NONE = -1
ROW_BITS = 24


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows in stream order: the image before and after (`_NONE` where there is none), what was done,
    the event and the place within it."""

    old: Ints
    new: Ints
    operation: Ints
    event: Ints
    number: Ints


def decode_rows(
    piece: PieceBytes,
    index: Ints,
    transactions: Sequence[Transaction],
    shape: TableMap,
    schema: TableSchema,
    epoch: int,
    charsets: Charsets,
) -> pa.RecordBatch:
    """Events of the row events `index` (rows of `pieces.Piece.index`), all of `shape`, with
    `event_schema(schema)`. Columns of the schema that the shape lacks are null.

    Raises:
        DecodeError: images do not follow their format, or hold what is not known.
    """
    images = walk(piece, shape, index[:, START], index[:, END])
    rows = _rows(images, index[:, OPERATION])
    decoded = _decoded(piece, images, shape, schema, charsets)
    moved = rows.operation == UPDATE_ROWS
    if schema.key:
        moved = moved & _differs_in(schema.key, decoded, rows, moved)
    events = np.repeat(np.arange(len(rows.event)), np.where(moved, 2, 1))
    first_of_pair = np.zeros(len(events), dtype=bool)
    first_of_pair[:-1] = events[:-1] == events[1:]
    deletes = first_of_pair | (rows.operation[events] == DELETE_ROWS)
    shown = np.where(deletes, rows.old[events], rows.new[events])
    columns, overflow = _columns(decoded, schema, shown, len(images))
    envelope = [
        _operations(rows.operation[events], deletes, keyed=bool(schema.key)),
        pa.repeat(pa.scalar(epoch, pa.int32()), len(events)),
        *_positions(index, transactions, rows, events),
        pa.nulls(len(events), pa.string()),
        pa.nulls(len(events), pa.list_(pa.string())),
        _before(decoded, schema, rows, events, ~deletes & ~moved[events]),
        overflow,
        pa.nulls(len(events), pa.string()),
    ]
    return pa.RecordBatch.from_arrays([*envelope, *columns], schema=event_schema(schema))


def _rows(images: Images, operations: Ints) -> _Rows:
    of_image = operations[images.event]
    is_update = of_image == UPDATE_ROWS
    first = np.flatnonzero(~is_update | (images.number % 2 == 0))
    operation = of_image[first]
    if 2 * int(np.count_nonzero(is_update[first])) != int(np.count_nonzero(is_update)):
        raise DecodeError("an update has an image before and none after")
    number = np.where(operation == UPDATE_ROWS, images.number[first] // 2, images.number[first])
    if len(number) and int(number.max()) >= 1 << ROW_BITS:
        raise DecodeError("an event of the log holds more than 16 million rows")
    return _Rows(
        np.where(operation == WRITE_ROWS, _NONE, first),
        np.where(operation == WRITE_ROWS, first, np.where(operation == UPDATE_ROWS, first + 1, _NONE)),
        operation,
        images.event[first],
        number,
    )


def _decoded(
    piece: PieceBytes, images: Images, shape: TableMap, schema: TableSchema, charsets: Charsets
) -> dict[str, Values]:
    """Values of every image, of the columns that both the shape and the schema have."""
    wanted = {column.name: column for column in schema.columns}
    return {
        wire.name: decode(piece, spans, wanted[wire.name], wire, charsets)
        for wire, spans in zip(shape.columns, images.columns, strict=True)
        if wire.name in wanted
    }


# --- old against new ------------------------------------------------------------------------


def _differs_in(names: Sequence[str], decoded: dict[str, Values], rows: _Rows, updates: Mask) -> Mask:
    """Updates that changed one of these columns."""
    missing = [name for name in names if name not in decoded]
    if missing:
        raise DecodeError(f"a change does not carry key column {missing[0]!r}", fix="load the table again")
    changed = np.zeros(len(updates), dtype=bool)
    both = np.flatnonzero(updates)
    for name in names if len(both) else ():
        changed[both] |= _differs(decoded[name], rows.old[both], rows.new[both])
    return changed


def _differs(values: Values, old: Ints, new: Ints) -> Mask:
    """Where two images have distinct values, SQL NULL being a value like any other."""
    typed, odd = values
    distinct = _distinct(typed, old, new)
    return distinct if odd is None else distinct | _distinct(odd, old, new)


def _distinct(values: pa.Array, old: Ints, new: Ints) -> Mask:
    one, other = values.take(pa.array(old)), values.take(pa.array(new))
    unequal = pc.fill_null(pc.not_equal(one, other), False)
    if one.null_count or other.null_count:
        unequal = pc.or_(unequal, pc.xor(one.is_null(), other.is_null()))
    found: Mask = unequal.to_numpy(zero_copy_only=False)
    return found


def _before(
    decoded: dict[str, Values], schema: TableSchema, rows: _Rows, events: Ints, kept: Mask
) -> pa.StringArray:
    nothing = pa.nulls(len(events), pa.string())
    updates = np.flatnonzero(kept & (rows.operation[events] == UPDATE_ROWS))
    if not len(updates):
        return nothing
    old, new = rows.old[events[updates]], rows.new[events[updates]]
    members = []
    for name, values in decoded.items():
        changed = _differs(values, old, new)
        if changed.any():
            members.append((name, _old_texts(schema, name, values, old, changed), changed))
    objects = json_objects(members) if members else pa.repeat(pa.scalar("{}", pa.string()), len(updates))
    chosen = np.zeros(len(events), dtype=bool)
    chosen[updates] = True
    return pc.replace_with_mask(nothing, pa.array(chosen), objects)


def _old_texts(schema: TableSchema, name: str, values: Values, old: Ints, changed: Mask) -> pa.StringArray:
    """Texts of the old values where they changed, null elsewhere."""
    typed, odd = values
    at = pa.array(old, mask=~changed)
    return old_texts(schema.column(name), typed.take(at), None if odd is None else odd.take(at))


# --- columns of the events ------------------------------------------------------------------


def _columns(
    decoded: dict[str, Values], schema: TableSchema, shown: Ints, images: int
) -> tuple[list[pa.Array], pa.StringArray]:
    whole = len(shown) == images and bool(np.array_equal(shown, np.arange(images)))
    at = None if whole else pa.array(shown)
    columns: list[pa.Array] = []
    odd: list[pa.StringArray | None] = []
    for column in schema.columns:
        typed, texts = decoded.get(column.name, (None, None))
        if typed is None:
            typed = pa.nulls(images, column.arrow)
        columns.append(typed if at is None else typed.take(at))
        odd.append(texts if texts is None or at is None else texts.take(at))
    if any(texts is not None for texts in odd):
        return columns, overflow_json(schema.names, odd)
    return columns, pa.nulls(len(shown), pa.string())


def _operations(operations: Ints, deletes: Mask, *, keyed: bool) -> pa.StringArray:
    updates = (operations == UPDATE_ROWS) & keyed
    return _OPERATIONS.take(pa.array(np.where(deletes, _D, np.where(updates, _U, _I))))


def _positions(index: Ints, transactions: Sequence[Transaction], rows: _Rows, events: Ints) -> list[pa.Array]:
    event = rows.event[events]
    which = index[event, TRANSACTION]
    numbers = [t.number for t in transactions]
    return [
        pa.array(np.array([t.commit for t in transactions], dtype=np.int64)[which]),
        pa.array((index[event, LOG_POS] << ROW_BITS) | rows.number[events]),
        pa.array(np.array([t.committed_at for t in transactions], dtype=np.int64)[which]).cast(
            ENVELOPE.field("_committed_at").type
        ),
        pa.array(numbers, pa.int64()).take(pa.array(which)),
    ]
