"""One state of a table and its books, whoever wrote it.

The session stays open as long as the view is used: its transaction is the snapshot. Rows that somebody
else added are shown with no range, since a validation wants to name them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack

import pyarrow as pa

from replication_assets.core.events import ID_RANGE, OVERFLOW, POSITION
from replication_assets.core.fold import ROW_ENVELOPE
from replication_assets.core.schema import TableSchema
from replication_assets.ports import RangeCheckpoint
from replication_assets.ports.target import view_schema
from replication_assets.targets.sql.projection.books import Books, stored_layout
from replication_assets.targets.sql.projection.database import Database, Session
from replication_assets.targets.sql.projection.layout import Layout
from replication_assets.targets.sql.projection.values import carriers, restored

_LISTED = 900
"""Values that an engine takes in one list; Oracle has 1,000."""


def image_schema(schema: TableSchema) -> pa.Schema:
    """Key columns first, then the others and the odd values; the position last. The commit time is
    left out: of equal rows without key, the target may hold another one's."""
    columns = schema.arrow_schema()
    rest = [field for field in columns if field.name not in schema.key]
    position = [ROW_ENVELOPE.field(name) for name in POSITION]
    return pa.schema(
        [*(columns.field(name) for name in schema.key), *rest, ROW_ENVELOPE.field(OVERFLOW), *position]
    )


def image(schema: TableSchema, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows as they are: what an engine's type cannot hold stands beside it, and is put back."""
    wanted = image_schema(schema)
    for batch in rows:
        yield pa.RecordBatch.from_arrays([batch.column(name) for name in wanted.names], schema=wanted)


def read_rows(
    session: Session, database: Database, layout: Layout, id_ranges: Collection[str] | None
) -> Iterator[pa.RecordBatch]:
    """Rows in `Layout.rows` without `_as_text`; a column that the table lacks is null."""
    there = stored_layout(session, layout)
    source = f"{database.named(layout.place)} t"
    if id_ranges is not None:
        texts = [database.text(each) for each in sorted(id_ranges)] or ["''"]
        lists = [", ".join(texts[at : at + _LISTED]) for at in range(0, len(texts), _LISTED)]
        marked = f"t.{database.quoted(ID_RANGE)}"
        source += " WHERE " + " OR ".join(f"{marked} IN ({each})" for each in lists)
    for batch in session.read(carriers(there.rows), source, layout):
        if batch.num_rows:
            yield restored(batch, there)


class SqlView:
    """See `ports.TargetView`."""

    def __init__(self, database: Database, layout: Layout) -> None:
        self._database = database
        self._layout = layout
        self._books = Books(database, layout.place)
        self._image = image_schema(layout.schema)
        with ExitStack() as opened:
            self._session = opened.enter_context(database.session())
            opened.enter_context(self._session.snapshot())
            self._is_kept = self._books.is_kept(self._session)
            self._is_there = bool(self._session.columns(layout.place)) and self._is_kept
            self._opened = opened.pop_all()

    def __del__(self) -> None:
        opened = getattr(self, "_opened", None)
        if opened is not None:
            opened.close()

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        book = self._books.range(self._session, id_range) if self._is_kept else None
        return None if book is None else book.checkpoint

    def read(self, id_ranges: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        if not self._is_there:
            return
        for batch in read_rows(self._session, self._database, self._layout, id_ranges):
            yield self._shown(batch)

    def _shown(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        count = batch.num_rows
        arrays = [
            batch.column(field.name) if field.name in batch.schema.names else pa.nulls(count, field.type)
            for field in self._image
        ]
        arrays += [batch.column(ID_RANGE), pa.repeat(pa.scalar(False), count)]
        return pa.RecordBatch.from_arrays(arrays, schema=view_schema(self._image))
