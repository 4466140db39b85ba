"""What stands in the way of trigger capture, found before anything is created."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SourceNotReady
from replication_assets.sources.oracle.preflight import flashback_problems, undo_problems, view_problems
from replication_assets.sources.oracle.reflection import current_user, find_relation
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.statements import catalog, mending
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.statements.names import quoted
from replication_assets.sources.oracle.statements.triggers import LogNames
from replication_assets.sources.oracle.status import Database, read_database
from replication_assets.sources.oracle.types import is_out_of_row

PRIVILEGES = (
    "CREATE TABLE",
    "CREATE SEQUENCE",
    "CREATE PROCEDURE",
    "CREATE ANY TRIGGER",
    "ADMINISTER DATABASE TRIGGER",
)
_VIEWS = ("V$LOCK", "GV$LOCK", "GV$SESSION")
_UNLIMITED = -1


def setup_problems(
    session: Session, names: LogNames, tables: Sequence[tuple[TableId, TableSchema]]
) -> list[str]:
    """Everything that keeps capture from being set up; empty when it can be."""
    user = current_user(session)
    try:
        found = read_database(session)
    except SourceNotReady:
        return [f"the account may not read V$DATABASE. Run: {mending.grant_view('V$DATABASE', user)}"]
    problems = [
        *_database_problems(session, found),
        *_grant_problems(session, user),
        *view_problems(session, _VIEWS),
        *undo_problems(session),
    ]
    for table, schema in tables:
        problems += _table_problems(session, names, found, table, schema, user)
    return problems


def _database_problems(session: Session, found: Database) -> Iterator[str]:
    if not found.open_mode.startswith("READ WRITE"):
        yield (f"{session.where} is open {found.open_mode}: triggers write. Connect to the primary database")


def _grant_problems(session: Session, user: str) -> Iterator[str]:
    granted = {str(name) for (name,) in session.rows(catalog.PRIVILEGES)}
    for privilege in PRIVILEGES:
        if privilege not in granted:
            yield f"the account lacks {privilege}. Run: {mending.grant_system(privilege, user)}"
    row = one_row(session, catalog.CAN_EXECUTE, {"package": "DBMS_LOCK"})
    if row is None or not int(row[0]):
        grant = mending.grant_object("EXECUTE", "SYS", "DBMS_LOCK", user)
        yield f"the account may not execute DBMS_LOCK. Run: {grant}"
    quota = one_row(session, sql.QUOTA)
    if quota is not None and int(quota[1]) != _UNLIMITED and "UNLIMITED TABLESPACE" not in granted:
        yield (
            "the change log has a limit, and once it is full nobody can write to the tables."
            f" Run: {mending.unlimited(user, str(quota[0]))}"
        )


def _table_problems(
    session: Session, names: LogNames, found: Database, table: TableId, schema: TableSchema, user: str
) -> Iterator[str]:
    name = quoted(table.schema, table.name)
    relation = find_relation(session, table)
    if relation is None:
        yield f"there is no table {name}"
        return
    # READ is the one privilege on a table that does not allow to lock it.
    yield from flashback_problems(session, table, found, user, "SELECT, FLASHBACK")
    if relation.kind != "table":
        return
    if relation.odd is not None:
        kind = relation.odd.partition(",")[0]
        yield f"{name} is a {kind}: read it through a view, which is loaded and not captured"
    large = [column.name for column in schema.columns if is_out_of_row(column)]
    if large:
        yield (
            f"{', '.join(large)} of {name} can be written in pieces (DBMS_LOB), which fires no trigger, or"
            " cannot be read by one. Declare a view of it instead, which is loaded and not captured, or move"
            " them to another table"
        )
    if len(schema.columns) > sql.MOST_COLUMNS:
        yield f"{name} has more than {sql.MOST_COLUMNS} columns. Fix: capture='log'"
    text = sql.trigger(names, names.trial, table, 10**17, schema.names, append_only=False)
    if len(text.encode()) > sql.MOST_TRIGGER_BYTES:
        yield f"the trigger that names the columns of {name} is longer than 32 KB. Fix: capture='log'"
