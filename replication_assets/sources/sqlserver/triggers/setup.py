"""Setting the change log up, bringing it up to date with the schema, and taking it away again.

Triggers are exchanged in one transaction, with the table locked: no change is made between the old ones and
the new, and whoever wrote by the old ones has ended. Every shape of a table has a table of the log to itself.
The transaction draws a number for itself, `began` in the books, which stands behind everything of the shape
before and ahead of everything of the new one.

What the triggers missed is known by comparison: they or what guards the table are gone or disabled, the table
is another object, or rows hold values in a column that came. Each ends in a load, which the new shape asks
for.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.table_problems import not_ready
from replication_assets.core.trigger_log import INSERT, Shape, ShapeChange
from replication_assets.errors import SourceNotReady
from replication_assets.ports import CaptureSetup
from replication_assets.sources.sqlserver import books as ledger
from replication_assets.sources.sqlserver.books import Captured
from replication_assets.sources.sqlserver.reflection import catalog_columns, existing_relation, find_relation
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import catalog, server
from replication_assets.sources.sqlserver.statements import triggers as statements
from replication_assets.sources.sqlserver.statements.names import relation
from replication_assets.sources.sqlserver.statements.triggers import EVENTS, ChangeLog
from replication_assets.sources.sqlserver.triggers.positions import read_mark
from replication_assets.sources.sqlserver.triggers.preflight import setup_problems

Tables = Sequence[tuple[TableId, TableSchema]]
_MISSED = "triggers or what guards the table were gone: changes were not kept"


def setup(session: Session, log: ChangeLog, tables: Tables) -> CaptureSetup:
    """See `ports.ChangeSource.setup`."""
    problems = missing(session, log, tables)
    if problems:
        raise not_ready(problems, session.where)
    _create(session, log)
    session.run(statements.LOCK_TIMEOUT)
    wanted = {(table.schema, table.name) for table, _ in tables}
    for row in ledger.read_captured(session, log.books):
        if (row.schema, row.name) not in wanted:
            _remove(session, log, row)
    for table, schema in tables:
        follow(session, log, table, schema)
    session.run(log.books.begin(read_mark(session)))
    state = ledger.read_state(session, log.books)
    if state is None or state.began is None:
        raise SourceNotReady("the change log is not there", where=session.where, fix="set it up again")
    rows = ledger.read_captured(session, log.books)
    unconfirmed = {(row.schema, row.name) for row in rows if not row.confirmed}
    added = tuple(table for table, _ in tables if (table.schema, table.name) in unconfirmed)
    return CaptureSetup(state.acknowledged, added)


def missing(session: Session, log: ChangeLog, tables: Tables) -> tuple[str, ...]:
    """See `ports.ChangeSource.missing`."""
    return tuple(setup_problems(session, log, tables))


def _create(session: Session, log: ChangeLog) -> None:
    """`state` of the books comes last: without it there is no log."""
    ((schema,),) = session.rows(log.books.has_schema())
    if schema is None:
        session.run(log.create_schema())
    ((runs, marks),) = session.rows(log.exist())
    if runs is None:
        for statement in log.create_runs():
            session.run(statement)
    if marks is None:
        session.run(log.create_marks())
    ledger.create(session, log.books, made_database=False)


# --- following a table ----------------------------------------------------------------------


def live_shape(session: Session, log: ChangeLog, table: TableId) -> Captured | None:
    """What the table's triggers write now; None if it is not captured."""
    rows = [row for row in ledger.read_captured(session, log.books) if row.is_of(table)]
    return rows[-1] if rows else None


def fits(session: Session, log: ChangeLog, live: Captured, table: TableId, schema: TableSchema) -> bool:
    """Whether the triggers stand, and write the columns that the table has."""
    columns = {each.name: each.native.name for each in catalog_columns(session, table) if each.replicated}
    return columns == dict(live.shape.columns) and _kept_all(session, log, live, table, schema)


def _kept_all(session: Session, log: ChangeLog, live: Captured, table: TableId, schema: TableSchema) -> bool:
    found = find_relation(session, table)
    if found is None or found.number != live.object_number:
        return False
    ((images, binding, guard),) = session.rows(log.guards_stand(live.number))
    if None in (images, binding, guard):
        return False
    standing = {
        (str(name), str(event))
        for name, event, disabled, first in session.rows(statements.standing_triggers(table))
        if first and not disabled
    }
    return {(log.trigger(live.number, op), EVENTS[op]) for op in _operations(schema)} <= standing


def _operations(schema: TableSchema) -> tuple[str, ...]:
    return (INSERT,) if schema.append_only else tuple(EVENTS)


def follow(session: Session, log: ChangeLog, table: TableId, schema: TableSchema) -> None:
    """Make the table's triggers, or exchange them if they do not fit it any more.

    Raises:
        LoadBlocked: transactions on the table did not end in time.
    """
    live = live_shape(session, log, table)
    if live is not None and fits(session, log, live, table, schema):
        return
    session.run(server.BEGIN)
    session.run(statements.lock_table(table))
    # Somebody else may have been here while this session waited.
    live = live_shape(session, log, table)
    if live is None:
        _install(session, log, table, schema, None)
    elif not fits(session, log, live, table, schema):
        change = _what_changed(session, log, live, table, schema)
        for statement in log.drop_capture(live.table, live.number):
            session.run(statement)
        _install(session, log, table, schema, change)
    session.run(server.COMMIT)


def _what_changed(
    session: Session, log: ChangeLog, live: Captured, table: TableId, schema: TableSchema
) -> ShapeChange:
    told = ledger.follows(session, table, live.shape, catalog_columns(session, table), schema.key)
    if _kept_all(session, log, live, table, schema):
        return told or ShapeChange(False, "triggers were made anew")
    if told is None:
        return ShapeChange(True, _MISSED)
    return ShapeChange(True, f"{_MISSED}; {told.reason}", told.added, told.dropped)


def _install(
    session: Session, log: ChangeLog, table: TableId, schema: TableSchema, change: ShapeChange | None
) -> None:
    """Within the transaction that locked the table. `change` tells what became of an earlier shape."""
    columns = tuple(each.column() for each in catalog_columns(session, table) if each.replicated)
    if not set(schema.key) <= {column.name for column in columns}:
        raise SourceNotReady(
            "a key column is not in the table any more",
            where=str(table),
            fix="set the capture up again, with the key that the table has now",
        )
    body = Shape(0, "", tuple((c.name, c.source_type) for c in columns), schema.key).body()
    told, books = None if change is None else change.body(), log.books
    number = existing_relation(session, table).number
    session.run(books.insert_captured(table, number, body, told, confirmed=change is not None))
    made = live_shape(session, log, table)
    if made is None:
        what = f"the change log of {relation(table)} is not there"
        raise SourceNotReady(what, where=session.where, fix="set it up again")
    shape = made.number
    for statement in (
        *log.create_shape(table, shape, columns, schema.key, _collations(session, table)),
        *log.create_triggers(table, shape, columns, schema.key, _operations(schema)),
    ):
        session.run(statement)
    ((began,),) = session.rows(log.mark(shape))
    session.run(books.note_began(shape, int(began), None))


def _collations(session: Session, table: TableId) -> dict[str, str]:
    """Of the columns that have one."""
    rows = session.rows(catalog.structure_columns(table))
    return {str(row[0]): str(row[7]) for row in rows if row[7] is not None}


# --- taking it away -------------------------------------------------------------------------


def _remove(session: Session, log: ChangeLog, row: Captured) -> None:
    for statement in (*log.drop_capture(row.table, row.number), log.drop_images(row.number)):
        session.run(statement)
    session.run(log.books.forget(row.number))


def teardown(session: Session, log: ChangeLog) -> None:
    """See `ports.ChangeSource.teardown`."""
    if ledger.read_state(session, log.books) is not None:
        for row in ledger.read_captured(session, log.books):
            _remove(session, log, row)
    for statement in log.drop():
        session.run(statement)


def remains(session: Session, log: ChangeLog) -> tuple[str, ...]:
    """See `ports.ChangeSource.remains`."""
    if ledger.read_state(session, log.books) is None:
        ((schema,),) = session.rows(log.books.has_schema())
        return () if schema is None else (f"schema {log.schema}",)
    # Shapes that nobody writes any more have no triggers; their images go with the schema.
    rows = {(row.schema, row.name): row for row in ledger.read_captured(session, log.books)}
    kept = [f"triggers {log.trigger(row.number, '')}* on {row.schema}.{row.name}" for row in rows.values()]
    return (*kept, f"schema {log.schema}")
