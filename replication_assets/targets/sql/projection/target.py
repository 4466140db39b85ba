"""`SqlTarget`: one table of a projection, kept in a table of a SQL database.

Owns the order of things: rows and the checkpoint of their range change in one transaction, which holds
the range's line of the books; readers see the range as it was before or as it is after. Refuses to bring
a range forward that was never filled, or that somebody edited since; such a range is filled anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import pyarrow as pa

from replication_assets.core.arriving import after, require_changes, require_columns
from replication_assets.core.changes import RangeChanges
from replication_assets.core.events import ID_RANGE
from replication_assets.core.fold import row_schema
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.sql import Spill
from replication_assets.errors import CommitConflict, TargetError
from replication_assets.failpoints import reach
from replication_assets.ports import RangeCheckpoint, Refuse, TargetNeeds, refuse_loudly
from replication_assets.targets.sql.projection.arriving import Limits, arrive, refused_rows
from replication_assets.targets.sql.projection.books import Books, RangeBook
from replication_assets.targets.sql.projection.carried import Projected
from replication_assets.targets.sql.projection.database import Database, Session
from replication_assets.targets.sql.projection.layout import AS_TEXT, Layout
from replication_assets.targets.sql.projection.merging import PIECE_ROWS, Merge
from replication_assets.targets.sql.projection.tables import Tables
from replication_assets.targets.sql.projection.view import SqlView, image, read_rows


class SqlTarget:
    """A `ProjectionTarget` on one table.

    Any number of processes may write to any ranges. One at a time writes to the same range: others wait
    for it, and then find its work done.
    """

    def __init__(
        self,
        database: Database,
        table: TableId,
        *,
        projected: Projected | None = None,
        spill: Spill | None = None,
    ) -> None:
        """`projected` are the tables of the projection, which foreign keys may refer to."""
        self._database = database
        self._table = table
        self._place = database.place(table)
        self._books = Books(database, self._place)
        self._tables = Tables(database, self._books, table, projected or Projected())
        self._spill = spill or Spill()
        self._refused = 0
        self._longest_row: int | None = 0

    def __repr__(self) -> str:
        return f"SqlTarget({str(self._place)!r} in {self._database.where!r})"

    # --- the port: writing ---

    @property
    def needs(self) -> TargetNeeds:
        """Nothing: values that did not change are taken from the rows that have them."""
        return TargetNeeds()

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        """As the port says. Edits show by the mark of the table's triggers; a table that was emptied
        without them (TRUNCATE in MySQL), or dropped, by its lack of rows."""
        with self._database.session() as session:
            if not self._books.is_kept(session):
                return None
            book = self._books.range(session, id_range)
            if book is None or book.edited or book.checkpoint is None:
                return None
            columns = session.columns(self._place)
            recorded = self._books.recorded(session)
            if ID_RANGE not in columns or recorded is None or recorded.origin != str(self._table):
                return None
            if book.checkpoint.rows and not self._books.holds_rows(session, id_range, columns):
                return None
            return book.checkpoint

    def replace(
        self,
        id_range: str,
        schema: TableSchema,
        rows: Iterable[pa.RecordBatch],
        baseline: int,
        position: Position,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> RangeCheckpoint:
        """As the port says, in one transaction. Rows are streamed; rows that nobody's range wrote go."""
        layout, where = Layout(self._place, schema), self._where(id_range)
        with self._database.session() as session:
            self._tables.ensure(session, layout, id_range)
            limits = self._limits(layout, session)
            named = self._database.named(self._place)
            with session.writing():
                book = self._books.locked(session, id_range)
                marked = self._database.quoted(ID_RANGE)
                gone = f"{marked} = {self._database.text(id_range)} OR {marked} IS NULL"
                if book is not None and book.edited:
                    # Whoever edited rows may have put them anywhere.
                    gone += f" OR {marked} NOT IN ({self._books.known_ranges})"
                session.run(f"DELETE FROM {named} WHERE {gone}")
                count = 0
                for batch in rows:
                    require_columns(where, batch.schema.names, row_schema(schema).names)
                    for start in range(0, batch.num_rows, PIECE_ROWS):
                        piece = batch.slice(start, PIECE_ROWS)
                        arrived = arrive(piece, layout, id_range, limits, self._spill)
                        refuse(arrived.refused)
                        self._refused += len(arrived.refused)
                        if arrived.rows.num_rows:
                            session.load(named, arrived.rows, layout)
                        count += arrived.rows.num_rows
                reach("sql.replaced")
                reached = RangeCheckpoint(baseline, position, count)
                self._move(session, id_range, reached)
            _stands()
        return reached

    def apply(
        self,
        id_range: str,
        schema: TableSchema,
        changes: RangeChanges,
        baseline: int,
        position: Position,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> RangeCheckpoint:
        """As the port says. Changes at or before the checkpoint are in the range already and are passed
        over, so that overlapping changes are safe also for a table without key.

        Raises:
            TargetError: the range has no valid checkpoint of this baseline.
            NeedsReload: a change needs a stored row that is not there.
        """
        layout, where = Layout(self._place, schema), self._where(id_range)
        with self._database.session() as session:
            self._require_filled(session, id_range, self._book(session, id_range), baseline)
            self._tables.ensure(session, layout, id_range)
            limits = self._limits(layout, session)
            with session.writing():
                book = self._books.locked(session, id_range)
                reached = self._require_filled(session, id_range, book, baseline)
                if position <= reached.position:
                    return reached
                require_changes(where, schema, changes, position)
                upserts, deletes = (
                    after(rows, reached.position) for rows in (changes.upserts, changes.deletes)
                )
                merge = self._merge(session, layout, id_range, limits, refuse)
                gained = 0
                if upserts.num_rows or deletes.num_rows:
                    gained = (merge.by_key if schema.key else merge.by_content)(upserts, deletes)
                reach("sql.merged")
                reached = RangeCheckpoint(baseline, position, reached.rows + gained)
                self._move(session, id_range, reached)
            _stands()
        return reached

    def repair(
        self,
        id_range: str,
        schema: TableSchema,
        rows: pa.Table,
        gone: pa.Table,
        checkpoint: RangeCheckpoint,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> None:
        """As the port says, in one transaction. A range that somebody edited is not repaired row by
        row: its checkpoint says nothing of rows that nobody compared."""
        where = self._where(id_range)
        if not schema.key:
            raise TargetError("rows without a key cannot be told apart", where=where, fix="replace the range")
        layout = Layout(self._place, schema)
        require_columns(where, rows.column_names, row_schema(schema).names)
        with self._database.session() as session:
            self._require_filled(session, id_range, self._book(session, id_range), checkpoint.baseline)
            self._tables.ensure(session, layout, id_range)
            limits = self._limits(layout, session)
            with session.writing():
                book = self._books.locked(session, id_range)
                reached = self._require_filled(session, id_range, book, checkpoint.baseline)
                if reached.position != checkpoint.position:
                    raise CommitConflict(
                        f"the range has moved on from {checkpoint.position} to {reached.position}",
                        where=where,
                        fix="validate again, and repair what is found then",
                    )
                merge = self._merge(session, layout, id_range, limits, refuse)
                gained = merge.whatever_is_there(rows, gone)
                self._move(session, id_range, replace(reached, rows=reached.rows + gained))
            _stands()

    def _merge(
        self, session: Session, layout: Layout, id_range: str, limits: Limits, refuse: Refuse
    ) -> Merge:
        return Merge(
            session,
            self._database,
            layout,
            id_range,
            limits,
            self._counted(refuse),
            self._spill,
            self._where(id_range),
        )

    def reset(self, schema: TableSchema) -> None:
        """Drop the table and make it anew; every range must be replaced then."""
        with self._database.session() as session:
            self._tables.reset(session, Layout(self._place, schema))

    # --- the port: reading and upkeep ---

    def figures(self) -> Mapping[str, float]:
        refused, self._refused = self._refused, 0
        return {"rows_refused": refused} if refused else {}

    def identity(self, schema: TableSchema) -> tuple[str, ...]:
        return schema.key

    def image(self, schema: TableSchema, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        layout = Layout(self._place, schema)
        limits = self._limits(layout)
        for batch in rows:
            yield from image(schema, [batch.filter(pa.array(~refused_rows(batch, layout, limits)))])

    def identities(self, schema: TableSchema, rows: pa.RecordBatch) -> pa.RecordBatch:
        return rows.select(list(schema.key))

    def view(self, schema: TableSchema) -> SqlView:
        """One state of the table, held by a session of its own."""
        return SqlView(self._database, Layout(self._place, schema))

    def read(self) -> Iterator[pa.RecordBatch]:
        """Everything at one moment, with the columns that the table was given last."""
        with self._database.session() as session, session.snapshot():
            layout = self._tables.known(session)
            if layout is None:
                raise TargetError("there is no table", where=self._where(), fix="fill a range first")
            none = True
            for batch in read_rows(session, self._database, layout, None):
                none = False
                yield batch
            if none:
                columns = [field for field in layout.rows if field.name != AS_TEXT]
                yield pa.RecordBatch.from_pylist([], schema=pa.schema(columns))

    def tidy(self, older_than: dt.timedelta) -> Iterator[str]:  # noqa: ARG002
        """Nothing is kept that must go. Indexes and foreign keys that could not be made before, for want
        of the table they refer to, are made."""
        with self._database.session() as session:
            yield from self._tables.carry_again(session)

    def not_carried(self) -> tuple[str, ...]:
        """What of the source table's structure the table does not have, a line each; empty before it is
        made."""
        with self._database.session() as session:
            recorded = self._books.recorded(session) if self._books.is_kept(session) else None
            return recorded.not_carried if recorded is not None else ()

    # --- steps ---

    def _move(self, session: Session, id_range: str, reached: RangeCheckpoint) -> None:
        """The last statement of a transaction that changed rows: both stand, or neither."""
        self._books.move(session, id_range, reached)
        reach("sql.checkpointed")

    def _where(self, id_range: str | None = None) -> str:
        place = f"{self._place} in {self._database.where}"
        return place if id_range is None else f"{place} range {id_range}"

    def _limits(self, layout: Layout, session: Session | None = None) -> Limits:
        """What the server takes is asked once."""
        if self._longest_row == 0:
            with ExitStack() as opened:
                asked = session if session is not None else opened.enter_context(self._database.session())
                self._longest_row = asked.longest_row()
        return Limits(self._database.unheld, self._database.longest_key(layout), self._longest_row)

    def _book(self, session: Session, id_range: str) -> RangeBook | None:
        return self._books.range(session, id_range) if self._books.is_kept(session) else None

    def _require_filled(
        self, session: Session, id_range: str, book: RangeBook | None, baseline: int
    ) -> RangeCheckpoint:
        columns = session.columns(self._place) if book is not None else ()
        reached = book.checkpoint if book is not None and not book.edited else None
        if reached is None or (
            ID_RANGE not in columns
            or (reached.rows and not self._books.holds_rows(session, id_range, columns))
        ):
            raise TargetError(
                "the range was never filled, or was edited or emptied since",
                where=self._where(id_range),
                fix="replace the range",
            )
        if reached.baseline != baseline:
            raise TargetError(
                "the rows of the range start from other loads than the changes do",
                where=self._where(id_range),
                fix="replace the range",
            )
        return reached

    def _counted(self, refuse: Refuse) -> Refuse:
        def counting(refusals: Sequence[Refusal]) -> None:
            refuse(refusals)
            self._refused += len(refusals)

        return counting


def _stands() -> None:
    """The transaction of a range was committed."""
    reach("sql.committed")
