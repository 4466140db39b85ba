"""Capture instances: made, followed when a table is altered, and removed again.

Every instance that we make has its row in the books before it exists, and only such instances are ever
removed. A table may have two: when its columns change, a second one is made, changes are read from the
first up to where the second begins, and the first goes when all of that was acknowledged. Others' instances
are left alone; where they take both places, that is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.table_problems import not_ready
from replication_assets.errors import SourceNotReady
from replication_assets.ports import CaptureSetup
from replication_assets.sources.sqlserver import books as ledger
from replication_assets.sources.sqlserver.books import Captured
from replication_assets.sources.sqlserver.cdc.positions import commit_of
from replication_assets.sources.sqlserver.preflight import cdc_problems, read_settings
from replication_assets.sources.sqlserver.reflection import (
    catalog_columns,
    find_relation,
)
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import cdc
from replication_assets.sources.sqlserver.statements.books import Books
from replication_assets.sources.sqlserver.statements.names import hexadecimal, relation

Tables = Sequence[tuple[TableId, TableSchema]]


def setup(session: Session, books: Books, tables: Tables) -> CaptureSetup:
    """See `ports.ChangeSource.setup`."""
    problems = missing(session, books, tables)
    if problems:
        raise not_ready(problems, session.where)
    settings = read_settings(session)
    ledger.create(session, books, made_database=not settings.cdc)
    if not settings.cdc:
        session.run(cdc.ENABLE_DATABASE)
    finish_or_forget(session, books)
    wanted = {(table.schema, table.name) for table, _ in tables}
    for row in ledger.read_captured(session, books):
        if (row.schema, row.name) not in wanted:
            remove(session, books, row)
    for table, schema in tables:
        _capture(session, books, table, schema)
    rows = ledger.read_captured(session, books)
    return CaptureSetup(_begin(session, books, rows), _added(tables, rows))


def missing(session: Session, books: Books, tables: Tables) -> tuple[str, ...]:
    """See `ports.ChangeSource.missing`."""
    state = ledger.read_state(session, books)
    rows = [] if state is None else ledger.read_captured(session, books)
    return tuple(cdc_problems(session, tables, [row.instance for row in rows if row.instance is not None]))


def _begin(session: Session, books: Books, rows: Sequence[Captured]) -> int:
    """Where the books begin: loads come after it, and see what is older. Its block may not be whole."""
    ((lsn,),) = session.rows(cdc.MAX_LSN)
    newest = 0 if lsn is None or not any(bytes(lsn)) else commit_of(bytes(lsn))
    latest = max((row.began for row in rows if row.began is not None), default=newest)
    session.run(books.begin(max(newest, latest, 1) - 1))
    state = ledger.read_state(session, books)
    if state is None or state.began is None:
        what = "the books of the capture are not there"
        raise SourceNotReady(what, where=session.where, fix="set it up again")
    return state.acknowledged


def _added(tables: Tables, rows: Sequence[Captured]) -> tuple[TableId, ...]:
    unconfirmed = {(row.schema, row.name) for row in rows if not row.confirmed}
    return tuple(table for table, _ in tables if (table.schema, table.name) in unconfirmed)


def _capture(session: Session, books: Books, table: TableId, schema: TableSchema) -> None:
    """A live instance that captures the table as it is."""
    rows = [row for row in ledger.read_captured(session, books) if row.is_of(table)]
    found = find_relation(session, table)
    if found is None:
        raise SourceNotReady(f"there is no table {relation(table)}", where=str(table), fix="restore it")
    standing = instances(session)
    live = rows[-1] if rows else None
    if live is not None and live.object_number == found.number and live.instance in standing:
        follow(session, books, table, schema, live)
        return
    # Dropped and made anew, or its instance was removed: what was written meanwhile is nowhere.
    for row in rows:
        remove(session, books, row)
    _make(session, books, table, found.number, schema, None, confirmed=False)


def follow(session: Session, books: Books, table: TableId, schema: TableSchema, live: Captured) -> bool:
    """Make another instance if the table's columns are not those of the live one. False if they are, or
    if both places are taken, by an older instance that is not read to its end."""
    catalog = catalog_columns(session, table)
    change = ledger.follows(session, table, live.shape, catalog, schema.key)
    if change is None:
        return False
    if not _has_place(session, books, table, live):
        return False
    now = tuple(each.column() for each in catalog if each.replicated)
    kept = schema.key if set(schema.key) <= {column.name for column in now} else ()
    shape = TableSchema(now, kept)
    _make(session, books, table, live.object_number, shape, change.body(), confirmed=True)
    # Rows may have got a value between the look above and the instance: it is looked for once more.
    after = ledger.follows(session, table, live.shape, catalog, schema.key)
    if after is not None and after.reload and not change.reload:
        newest = [row for row in ledger.read_captured(session, books) if row.is_of(table)][-1]
        session.run(books.note_change(newest.number, after.body()))
    return True


def _has_place(session: Session, books: Books, table: TableId, live: Captured) -> bool:
    """Raises SourceNotReady: another's instance takes the place of the one that has to follow."""
    ours = [row.instance for row in ledger.read_captured(session, books) if row.is_of(table)]
    if len(ours) > 1:
        return False
    others = [
        str(name)
        for name, number, *_ in session.rows(cdc.INSTANCES)
        if int(number) == live.object_number and str(name) not in ours
    ]
    if others:
        raise SourceNotReady(
            f"the table was altered, and instance {others[0]} takes the place of the one to follow it",
            where=str(table),
            fix=cdc.disable_table(table.schema, table.name, others[0]),
        )
    return True


def _make(
    session: Session,
    books: Books,
    table: TableId,
    number: int,
    schema: TableSchema,
    change: str | None,
    *,
    confirmed: bool,
) -> None:
    body = ledger.shape_body(table, schema)
    session.run(books.insert_captured(table, number, body, change, confirmed=confirmed))
    made = [row for row in ledger.read_captured(session, books) if row.is_of(table)][-1]
    instance = f"{books.schema[:80]}_{made.number}"
    session.run(books.name_instance(made.number, instance))
    session.run(cdc.enable_table(table, instance))
    _note(session, books, made.number, instance)


def _note(session: Session, books: Books, number: int, instance: str) -> None:
    lsn = instances(session)[instance]
    session.run(books.note_began(number, commit_of(lsn), hexadecimal(lsn)))


def finish_or_forget(session: Session, books: Books) -> None:
    """What a setup that died left half made."""
    standing = instances(session)
    for row in ledger.read_captured(session, books):
        if row.began is not None:
            continue
        if row.instance is not None and row.instance in standing:
            _note(session, books, row.number, row.instance)
        else:
            session.run(books.forget(row.number))


def instances(session: Session) -> dict[str, bytes]:
    """Where each capture instance of the database begins by now; cleanup moves that on. None if somebody
    switched capture of the database off."""
    if session.rows(cdc.CHANGE_TABLES) == [(None,)]:
        return {}
    return {str(name): bytes(lsn) for name, _, lsn, _ in session.rows(cdc.INSTANCES)}


def lost_tables(session: Session, rows: Sequence[Captured], after: int) -> list[str]:
    """Tables of which changes after a position are gone: cleaned up, or with their instance. A table that
    was dropped took its instances with it, and is not waited for."""
    low, lost = instances(session), []
    for row in rows:
        if row.began is None or row.instance is None:
            continue
        if row.instance in low:
            gone = commit_of(low[row.instance]) > max(after, row.began)
        else:
            gone = find_relation(session, row.table) is not None
        if gone:
            lost.append(f"{row.schema}.{row.name}")
    return lost


def remove(session: Session, books: Books, row: Captured) -> None:
    """An instance of ours, and then its row. A table that was dropped took its instances with it."""
    if row.instance is not None and row.made and row.instance in instances(session):
        session.run(cdc.disable_table(row.schema, row.name, row.instance))
    session.run(books.forget(row.number))


def retire_read(session: Session, books: Books, acknowledged: int) -> None:
    """Remove instances that another took over from before what was acknowledged."""
    rows = ledger.read_captured(session, books)
    for row in rows:
        newer = [each for each in rows if each.number > row.number and each.shape.table == row.shape.table]
        if newer and newer[0].began is not None and newer[0].began <= acknowledged:
            remove(session, books, row)


def teardown(session: Session, books: Books) -> None:
    """See `ports.ChangeSource.teardown`. Capture of the database goes off if we switched it on and nobody
    else uses it."""
    state = ledger.read_state(session, books)
    if state is not None:
        for row in ledger.read_captured(session, books):
            remove(session, books, row)
        if state.made_database and read_settings(session).cdc and not instances(session):
            session.run(cdc.DISABLE_DATABASE)
    for statement in books.drop():
        session.run(statement)


def remains(session: Session, books: Books) -> tuple[str, ...]:
    """See `ports.ChangeSource.remains`."""
    state = ledger.read_state(session, books)
    if state is None:
        return ()
    rows = ledger.read_captured(session, books)
    kept = [f"capture instance {row.instance} of {row.schema}.{row.name}" for row in rows if row.made]
    if state.made_database:
        kept.append("change data capture of the database, which this capture switched on")
    return (*kept, f"schema {books.schema}")
