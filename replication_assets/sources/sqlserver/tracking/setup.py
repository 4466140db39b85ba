"""Change Tracking: switched on for what is captured, and off again where it was us.

A table that was tracked already is used as it is, and left so. `began` of a table's row in the books is
where its tracking began; the server begins it anew when the table is truncated, or when tracking is switched
off and on, and then changes are lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.table_problems import not_ready
from replication_assets.errors import SourceNotReady
from replication_assets.ports import CaptureSetup
from replication_assets.sources.sqlserver import books as ledger
from replication_assets.sources.sqlserver.books import Captured
from replication_assets.sources.sqlserver.preflight import read_settings, tracking_problems
from replication_assets.sources.sqlserver.reflection import (
    find_relation,
)
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import tracking
from replication_assets.sources.sqlserver.statements.books import Books
from replication_assets.sources.sqlserver.statements.names import relation

Tables = Sequence[tuple[TableId, TableSchema]]


def setup(session: Session, books: Books, tables: Tables) -> CaptureSetup:
    """See `ports.ChangeSource.setup`."""
    problems = missing(session, tables)
    if problems:
        raise not_ready(problems, session.where)
    settings = read_settings(session)
    ledger.create(session, books, made_database=not settings.tracked)
    if not settings.tracked:
        session.run(tracking.ENABLE_DATABASE)
    wanted = {(table.schema, table.name) for table, _ in tables}
    for row in ledger.read_captured(session, books):
        if (row.schema, row.name) not in wanted:
            remove(session, books, row)
    for table, schema in tables:
        _capture(session, books, table, schema)
    session.run(books.begin(current_version(session)))
    state = ledger.read_state(session, books)
    if state is None or state.began is None:
        what = "the books of the capture are not there"
        raise SourceNotReady(what, where=session.where, fix="set it up again")
    rows = ledger.read_captured(session, books)
    unconfirmed = {(row.schema, row.name) for row in rows if not row.confirmed}
    added = tuple(table for table, _ in tables if (table.schema, table.name) in unconfirmed)
    return CaptureSetup(state.acknowledged, added)


def missing(session: Session, tables: Tables) -> tuple[str, ...]:
    """See `ports.ChangeSource.missing`."""
    return tuple(tracking_problems(session, tables))


def current_version(session: Session) -> int:
    """The version of the newest transaction that changed a tracked row; 0 where nothing is tracked."""
    ((version,),) = session.rows(tracking.VERSION)
    return int(version or 0)


def began(session: Session, table: TableId) -> int | None:
    """Where tracking of the table began; None if it is not tracked."""
    rows = session.rows(tracking.is_tracked(table))
    return None if not rows else int(rows[0][0] or 0)


def lost_tables(session: Session, rows: Sequence[Captured], after: int) -> list[str]:
    """Tables of which changes after a version are gone: cleaned up, or with where tracking began."""
    low = {int(number): (began, valid) for number, began, valid in session.rows(tracking.TRACKED_TABLES)}
    lost = []
    for row in rows:
        place, valid = low.get(row.object_number, (None, None))
        if place is None and find_relation(session, row.table) is None:
            # Dropped: nothing of it is waited for.
            continue
        if place is None or int(place) != row.began or int(valid or 0) > max(after, row.began):
            lost.append(f"{row.schema}.{row.name}")
    return lost


def _capture(session: Session, books: Books, table: TableId, schema: TableSchema) -> None:
    found = find_relation(session, table)
    if found is None:
        raise SourceNotReady(f"there is no table {relation(table)}", where=str(table), fix="restore it")
    rows = [row for row in ledger.read_captured(session, books) if row.is_of(table)]
    place = began(session, table)
    if rows and rows[-1].began == place and rows[-1].object_number == found.number and place is not None:
        return
    # Made anew, truncated, or half made: what was written meanwhile is nowhere.
    made = any(row.made for row in rows)
    for row in rows:
        session.run(books.forget(row.number))
    body = ledger.shape_body(table, schema)
    session.run(books.insert_captured(table, found.number, body, None, confirmed=False))
    row = [each for each in ledger.read_captured(session, books) if each.is_of(table)][-1]
    if place is None or made:
        session.run(books.note_made(row.number))
    if place is None:
        session.run(tracking.enable_table(table))
    session.run(books.note_began(row.number, began(session, table) or 0, None))


def remove(session: Session, books: Books, row: Captured) -> None:
    """Tracking of a table that we switched on, and then its row."""
    if row.made and began(session, row.table) is not None:
        session.run(tracking.disable_table(row.schema, row.name))
    session.run(books.forget(row.number))


def teardown(session: Session, books: Books) -> None:
    """See `ports.ChangeSource.teardown`. Tracking of the database goes off if we switched it on and
    nobody else uses it."""
    state = ledger.read_state(session, books)
    if state is not None:
        for row in ledger.read_captured(session, books):
            remove(session, books, row)
        unused = not session.rows(tracking.TRACKED_TABLES)
        if state.made_database and read_settings(session).tracked and unused:
            session.run(tracking.DISABLE_DATABASE)
    for statement in books.drop():
        session.run(statement)


def remains(session: Session, books: Books) -> tuple[str, ...]:
    """See `ports.ChangeSource.remains`."""
    state = ledger.read_state(session, books)
    if state is None:
        return ()
    rows = ledger.read_captured(session, books)
    kept = [f"Change Tracking of {row.schema}.{row.name}" for row in rows if row.made]
    if state.made_database:
        kept.append("Change Tracking of the database, which this capture switched on")
    return (*kept, f"schema {books.schema}")
