"""Row images of the change log to what a `ports.ChangeChunk` holds of them.

The log has a column of the same type for each column of the table, so images are read by the expressions of a
load and end in what a load makes of them.

A run of kind `U` has the old images of the rows it changed and the new ones, in no order of the server's. An
old and a new one of the same key are one row that changed. If a run changed one row only, they are one row
whatever their keys are. What is left over had its key changed along with others: who became whom is told
by nobody, so the old ones are deletes and the new ones inserts. Keys are compared by their texts: what the
server takes for equal and is not the same text (letters of another case) is told so too.

An old image whose key *stays*, in a row that the same statement made, is no delete: that row is told itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.change_rows import ChangeRows, Image, row_events
from replication_assets.core.events import EventBatch
from replication_assets.core.logged_columns import LoggedColumns, SchemaChange
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.trigger_log import Shape
from replication_assets.errors import DecodeError
from replication_assets.sources.sqlserver.books import Captured
from replication_assets.sources.sqlserver.load import typed_columns
from replication_assets.sources.sqlserver.statements.triggers import FIXED_COLUMNS, NEW, OLD
from replication_assets.sources.sqlserver.types import NativeType, stored_type, texts

_COMMIT, _RUN, _OP, _IMAGES, _SIDE, _STAYS, _TX, _AT = range(FIXED_COLUMNS)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Given = tuple[list[pa.Array], list[pa.StringArray | None]]
"""Values of the columns of a shape, and texts of odd ones."""

_LETTERS = pa.array(["I", "U", "D"], pa.string())


def name_of(table: TableId) -> str:
    """What `Shape.table` says of a table, as the books do."""
    return f"{table.schema}.{table.name}"


def logged_column(name: str, kind: str) -> Column:
    return Column(name, kind, stored_type(NativeType.parse(kind)))


@dataclass(frozen=True, slots=True)
class Changes:
    """Which images are one change: their row numbers, null where a change has no such image."""

    letters: pa.StringArray
    first: Ints
    old: pa.Int64Array
    new: pa.Int64Array


class Decoder:
    """Decodes the log piece by piece, and knows each table's columns by then."""

    def __init__(self, tables: Sequence[tuple[TableId, TableSchema]], epoch: int) -> None:
        self._columns = LoggedColumns(tables, name_of, logged_column)
        self._epoch = epoch

    def is_ours(self, row: Captured) -> bool:
        return self._columns.of(row.shape) is not None

    def shaped(self, row: Captured) -> list[SchemaChange]:
        """What is told where the triggers of this shape begin to write."""
        if row.change is None or row.began is None:
            return []
        return self._columns.shaped(row.shape, row.change, Position(self._epoch, row.began))

    def decode(
        self, row: Captured, key: Sequence[str], batches: Iterable[pa.RecordBatch]
    ) -> Iterator[tuple[EventBatch, list[SchemaChange], dt.datetime]]:
        """Events of consecutive changes, what is to be told of columns before, and the time of the last."""
        for images in whole_pairs(batches, row.shape, key):
            pairs = paired(images, row.shape, key)
            if not len(pairs.first):
                continue
            changed = self._columns.fitted(row.shape, self._first(images))
            found = self._columns.of(row.shape)
            if found is None:
                raise DecodeError("changes of a table that is not captured")
            table, schema = found
            try:
                rows = change_rows(images, pairs, row.shape, schema)
                events = row_events(rows, schema, self._epoch)
            except DecodeError as error:
                raise DecodeError(error.what, where=str(table), fix=error.fix) from None
            last = _EPOCH + dt.timedelta(microseconds=int(rows.committed_at.max()))
            yield EventBatch(table, schema, events), changed, last

    def _first(self, images: pa.RecordBatch) -> Position:
        return Position(self._epoch, images.column(_COMMIT)[0].as_py(), images.column(_RUN)[0].as_py())


def whole_pairs(
    batches: Iterable[pa.RecordBatch], shape: Shape, key: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """The same images, cut anew: no old one is parted from the new one that follows it."""
    held: pa.RecordBatch | None = None
    for batch in batches:
        given = batch if held is None else _joined(held, batch)
        held = None
        if given.num_rows and _may_go_on(given, shape, key):
            held, given = given.slice(given.num_rows - 1), given.slice(0, given.num_rows - 1)
        if given.num_rows:
            yield given
    if held is not None:
        yield held


def _joined(held: pa.RecordBatch, batch: pa.RecordBatch) -> pa.RecordBatch:
    if not batch.num_rows:
        return held
    (joined,) = pa.Table.from_batches([held, batch.cast(held.schema)]).combine_chunks().to_batches()
    return joined


def _may_go_on(images: pa.RecordBatch, shape: Shape, key: Sequence[str]) -> bool:
    """Whether the last image may be the first of a pair."""
    if images.column(_OP)[-1].as_py() != "U":
        return False
    return not bool(_pairs(images, shape, key)[-2:-1].any())


def _pairs(images: pa.RecordBatch, shape: Shape, key: Sequence[str]) -> Mask:
    """Where an image and the one behind it are one row that changed.

    Raises:
        DecodeError: an image is of two such rows.
    """
    found: Mask = np.zeros(images.num_rows, dtype=bool)
    if images.num_rows < 2:
        return found
    runs, is_old = _whole_numbers(images, _RUN), _is(images, _SIDE, OLD)
    updates, stays = _is(images, _OP, "U"), _whole_numbers(images, _STAYS) != 0
    single = (_whole_numbers(images, _IMAGES) == 1)[1:] & ~stays[1:] & ~stays[:-1]
    same = updates[1:] & (runs[1:] == runs[:-1]) & (is_old[1:] != is_old[:-1])
    found[:-1] = same & (single | _equal_keys(images, shape, key))
    if (found[1:] & found[:-1]).any():
        raise DecodeError("a run of the change log has more than two images of one key")
    return found


def _equal_keys(images: pa.RecordBatch, shape: Shape, key: Sequence[str]) -> Mask:
    """Of each image and the one behind it."""
    columns = _shape_columns(shape)
    places = [shape.names.index(name) for name in key]
    given = images.columns[FIXED_COLUMNS:]
    odd_ones = [place for place, column in enumerate(columns) if _may_be_odd(column)]
    odd_places = [len(columns) + odd_ones.index(place) for place in places if place in odd_ones]
    keyed = [columns[place] for place in places]
    typed, odd = typed_columns(keyed, [given[place] for place in (*places, *odd_places)])
    equal: Mask = np.ones(images.num_rows - 1, dtype=bool)
    for column, values, odd_texts in zip(keyed, typed, odd, strict=True):
        printed = texts(column, values, odd_texts)
        same = pc.fill_null(pc.equal(printed[1:], printed[:-1]), False)
        equal &= same.to_numpy(zero_copy_only=False)
    return equal


def _may_be_odd(column: Column) -> bool:
    return NativeType.parse(column.source_type).may_be_odd


def paired(images: pa.RecordBatch, shape: Shape, key: Sequence[str]) -> Changes:
    """Raises DecodeError: an operation or a side is not known."""
    is_old = _is(images, _SIDE, OLD)
    if not (is_old | _is(images, _SIDE, NEW)).all():
        raise DecodeError("a row of the change log is neither an old nor a new one")
    if not (_is(images, _OP, "I") | _is(images, _OP, "U") | _is(images, _OP, "D")).all():
        raise DecodeError("a row of the change log has an unknown operation")
    begins = _pairs(images, shape, key)
    second: Mask = np.zeros(len(begins), dtype=bool)
    second[1:] = begins[:-1]
    told = ~second & ~(is_old & ~begins & (_whole_numbers(images, _STAYS) != 0))
    (first,) = np.nonzero(told)
    both, old_first = begins[first], is_old[first]
    old, new = np.where(old_first, first, first + 1), np.where(old_first, first + 1, first)
    return Changes(
        _LETTERS.take(pa.array(np.where(both, 1, np.where(old_first, 2, 0)))),
        first.astype(np.int64),
        pa.array(old.astype(np.int64), mask=~both & ~old_first),
        pa.array(new.astype(np.int64), mask=~both & old_first),
    )


def change_rows(images: pa.RecordBatch, found: Changes, shape: Shape, schema: TableSchema) -> ChangeRows:
    """The changes, with the columns of `schema`."""
    at = images.column(_AT).cast(pa.timestamp("us")).cast(pa.int64())
    given = typed_columns(_shape_columns(shape), images.columns[FIXED_COLUMNS:])
    return ChangeRows(
        operations=found.letters,
        commits=_whole_numbers(images, _COMMIT)[found.first],
        sequences=_whole_numbers(images, _RUN)[found.first],
        committed_at=np.asarray(at.to_numpy(zero_copy_only=False), np.int64)[found.first],
        transactions=_whole_numbers(images, _TX)[found.first],
        old=_image(given, shape, schema, found.old),
        new=_image(given, shape, schema, found.new),
    )


def _image(given: Given, shape: Shape, schema: TableSchema, rows: pa.Int64Array) -> Image:
    """The chosen rows. Columns that the shape lacks are null."""
    places = {name: place for place, name in enumerate(shape.names)}
    typed: list[pa.Array] = []
    odd: list[pa.StringArray | None] = []
    for column in schema.columns:
        place = places.get(column.name)
        text = None if place is None else given[1][place]
        typed.append(pa.nulls(len(rows), column.arrow) if place is None else given[0][place].take(rows))
        odd.append(None if text is None else text.take(rows))
    printed = [texts(c, value, text) for c, value, text in zip(schema.columns, typed, odd, strict=True)]
    return Image(tuple(typed), tuple(odd), tuple(printed))


def _shape_columns(shape: Shape) -> tuple[Column, ...]:
    return tuple(logged_column(name, kind) for name, kind in shape.columns)


def _whole_numbers(images: pa.RecordBatch, place: int) -> Ints:
    return np.asarray(images.column(place).cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)


def _is(images: pa.RecordBatch, place: int, letter: str) -> Mask:
    found: Mask = pc.equal(images.column(place).cast(pa.string()), letter).to_numpy(zero_copy_only=False)
    return found
