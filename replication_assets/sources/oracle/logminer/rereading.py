"""Rows of a table with large objects as of the SCN of a commit, and the events that they make.

Few rows are read at a time, by key, and the way that loads read them: a value of a change is the value of a
load, and values of megabytes stay bounded in memory. Undo must reach back to the commit. Where it does not,
or where what is there does not follow from the log, nothing is guessed: a load of the table is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.change_rows import ChangeRows, Image, row_events
from replication_assets.core.events import EventBatch
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SourceError
from replication_assets.sources.oracle.load import read_rows
from replication_assets.sources.oracle.logminer.images import Misfit, row_images
from replication_assets.sources.oracle.logminer.redo_text import Value
from replication_assets.sources.oracle.logminer.row_keys import RowKey, conditions, keys_of
from replication_assets.sources.oracle.logminer.touched_rows import Told, Touched, TouchedRows
from replication_assets.sources.oracle.predicates import Conditions
from replication_assets.sources.oracle.sessions import Session
from replication_assets.sources.oracle.types import is_large
from replication_assets.sources.oracle.values import from_frame, old_texts

ROWS_AT_ONCE = 16
_NEVER_AGAIN = (
    "ORA-01555",
    "ORA-22924",
    "ORA-30052",
    "ORA-08180",
    "ORA-08181",
    "ORA-01466",
    "ORA-08103",
    "ORA-00904",
)
"""Undo or LOB versions that are gone, and tables that were altered since: the rows can never be read
again."""


class NotTold(Exception):
    """What a transaction did to a table cannot be told from `sequence` on. Holds no value."""

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(reason)
        self.sequence, self.reason = sequence, reason


@dataclass(frozen=True, slots=True)
class At:
    """A commit: `committed_at` is in microseconds since 1970, in UTC."""

    scn: int
    committed_at: int
    transaction: int
    epoch: int


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows as of a commit, and which of them has which key."""

    image: Image
    places: dict[RowKey, list[int]]


def events_of(session: Session, table: TableId, rows: TouchedRows, at: At) -> Iterator[EventBatch]:
    """Events of all keys that a transaction touched, some rows at a time.

    Raises:
        NotTold: they cannot be told; what was handed on before holds.
    """
    waiting = list(rows.in_order())
    for first in range(0, len(waiting), ROWS_AT_ONCE):
        some = waiting[first : first + ROWS_AT_ONCE]
        try:
            found = _read(session, table, rows.schema, [key for key, _ in some], at.scn)
            told = [rows.told(touched, len(found.places.get(key, ()))) for key, touched in some]
        except Misfit as error:
            raise NotTold(
                some[0][1].sequence, f"a row with large objects could not be read ({error})"
            ) from None
        except SourceError as error:
            if not error.what.startswith(_NEVER_AGAIN):
                raise
            raise NotTold(
                some[0][1].sequence,
                f"rows with large objects cannot be read as of SCN {at.scn} any more ({error.what}); raise"
                " UNDO_RETENTION, and let capture follow closer",
            ) from None
        batch = _events(rows, some, told, found, at)
        if batch is not None:
            yield EventBatch(table, rows.schema, batch)


def _read(session: Session, table: TableId, schema: TableSchema, keys: Sequence[RowKey], scn: int) -> _Found:
    text, binds = conditions(schema, keys)
    frames = list(read_rows(session, table, schema, Conditions(text, binds), scn))
    typed, odd, texts = [], [], []
    for number, column in enumerate(schema.columns):
        parts = [from_frame(column, frame.column(number)) for frame in frames]
        values = pa.concat_arrays([pa.array([], column.arrow), *(values for values, _ in parts)])
        printed = [pa.nulls(len(v), pa.string()) if o is None else o for v, o in parts]
        is_odd = any(o is not None for _, o in parts)
        typed.append(values)
        odd.append(pa.concat_arrays(printed) if is_odd else None)
        texts.append(old_texts(values, odd[-1]))
    places: dict[RowKey, list[int]] = {}
    for place, key in enumerate(keys_of(typed, schema)):
        places.setdefault(key, []).append(place)
    return _Found(Image(tuple(typed), tuple(odd), tuple(texts)), places)


def _events(
    touched: TouchedRows,
    some: Sequence[tuple[RowKey, Touched]],
    told: Sequence[Told | None],
    found: _Found,
    at: At,
) -> pa.RecordBatch | None:
    kept = [number for number, operation in enumerate(told) if operation is not None]
    if not kept:
        return None
    operations = pa.array([told[number] for number in kept], pa.string())
    places = [found.places.get(some[number][0], [None])[0] for number in kept]
    new = _taken(found.image, pa.array(places, pa.int64()))
    # Where changes were taken back, statements tell of rows that never were.
    former = [None if touched.taken_back and told[number] == "U" else some[number][1].old for number in kept]
    schema = touched.schema
    rows = ChangeRows(
        operations=operations,
        commits=np.full(len(kept), at.scn, dtype=np.int64),
        sequences=np.array([some[number][1].sequence for number in kept], dtype=np.int64),
        committed_at=np.full(len(kept), at.committed_at, dtype=np.int64),
        transactions=np.full(len(kept), at.transaction, dtype=np.int64),
        old=_old(schema, former, new, pc.equal(operations, "U")),
        new=new,
    )
    return row_events(rows, schema, at.epoch)


def _taken(image: Image, places: pa.Array) -> Image:
    return Image(
        tuple(each.take(places) for each in image.typed),
        tuple(None if each is None else each.take(places) for each in image.odd),
        tuple(each.take(places) for each in image.texts),
    )


def _old(
    schema: TableSchema, former: Sequence[dict[str, Value] | None], new: Image, updated: pa.BooleanArray
) -> Image:
    """Old rows as statements tell them. What they do not tell of an updated row counts as it is now, so that
    it
    is not called changed: large objects and keys always, all else where no statement tells the old row."""
    old = row_images([row or {} for row in former], schema)
    untold = pc.and_(updated, pa.array([row is None for row in former], pa.bool_()))
    typed, odd, texts = [], [], []
    for number, column in enumerate(schema.columns):
        copied = updated if is_large(column) or column.name in schema.key else untold
        typed.append(pc.if_else(copied, new.typed[number], old.typed[number]))
        texts.append(pc.if_else(copied, new.texts[number], old.texts[number]))
        odd.append(old.odd[number])
    return Image(tuple(typed), tuple(odd), tuple(texts))
