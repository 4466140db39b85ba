"""What stands in the way of loads and capture, found before anything runs.

Each problem names the statement that mends it; all are reported at once, so that one conversation with the
database's owner is enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SourceError, SourceNotReady
from replication_assets.sources.oracle.large_objects import large_object_problems
from replication_assets.sources.oracle.reflection import current_user, find_relation, names_of
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.statements import catalog, log, mending, rows
from replication_assets.sources.oracle.statements.names import quoted
from replication_assets.sources.oracle.status import ROOT, Database, read_database
from replication_assets.sources.oracle.types import is_not_mined

LEAST_ARCHIVED_HOURS = 24
"""A capture that stands still for a day must find its place again."""
LEAST_UNDO_SECONDS = 900
"""What a slice of a load may take."""

_CONTENTS = "V$LOGMNR_CONTENTS"
_VIEWS = (
    ("V$LOG", "SELECT 1 FROM V$LOG WHERE 1 = 0"),
    ("V$LOGFILE", "SELECT 1 FROM V$LOGFILE WHERE 1 = 0"),
    ("V$ARCHIVED_LOG", "SELECT 1 FROM V$ARCHIVED_LOG WHERE 1 = 0"),
    ("V$THREAD", "SELECT 1 FROM V$THREAD WHERE 1 = 0"),
    ("V$INSTANCE", "SELECT 1 FROM V$INSTANCE WHERE 1 = 0"),
    (_CONTENTS, "SELECT 1 FROM V$LOGMNR_CONTENTS WHERE 1 = 0"),
    ("V$LOCK", "SELECT 1 FROM V$LOCK WHERE 1 = 0"),
    ("GV$LOCK", "SELECT 1 FROM GV$LOCK WHERE 1 = 0"),
    ("GV$SESSION", "SELECT 1 FROM GV$SESSION WHERE 1 = 0"),
    ("GV$TRANSACTION", "SELECT 1 FROM GV$TRANSACTION WHERE 1 = 0"),
)
VIEW_PROBES = tuple(probe for _, probe in _VIEWS)


def setup_problems(
    session: Session, log_session: Session, tables: Sequence[tuple[TableId, TableSchema]]
) -> list[str]:
    """Everything that keeps capture from being set up; empty when it can be. `log_session` is one of the
    container whose log is mined."""
    user = current_user(session)
    try:
        found = read_database(session)
    except SourceNotReady:
        return [f"the account may not read V$DATABASE. Run: {mending.grant_view('V$DATABASE', user)}"]
    problems = [
        *_database_problems(session, found),
        *_container_problems(log_session, found),
        *_grant_problems(log_session),
        *view_problems(log_session),
        *_retention_problems(log_session),
        *undo_problems(session),
    ]
    for table, schema in tables:
        problems += _table_problems(session, found, table, schema, user)
    return problems


def stream_problems(session: Session) -> list[str]:
    """Settings under which what is logged from now on is no change of a row."""
    return list(_database_problems(session, read_database(session)))


def _database_problems(session: Session, found: Database) -> Iterator[str]:
    if not found.archives:
        yield f"the redo log is not archived. Run: {'; '.join(mending.ARCHIVELOG)}"
    if not found.supplemental:
        yield f"redo does not tell which row was changed. Run: {mending.SUPPLEMENTAL}"
    if not found.open_mode.startswith("READ WRITE"):
        yield (
            f"{session.where} is open {found.open_mode}: a standby reads a log that it does not write."
            " Connect to the primary database"
        )


def _container_problems(log_session: Session, found: Database) -> Iterator[str]:
    row = one_row(log_session, catalog.WHO)
    container = str(row[1]) if row is not None else ""
    if not found.container or container == ROOT:
        return
    try:
        # Allowed in a pluggable database since 19.10; before, LogMiner has no log there.
        files = log_session.rows("SELECT COUNT(*) FROM V$LOG")
    except SourceError:
        return
    if not files or not int(files[0][0]):
        yield (
            f"the log of container {container} cannot be mined in it. Declare log_service, the service of"
            f" {ROOT}, and a common user (C##...) that may log in to both"
        )


def _grant_problems(session: Session) -> Iterator[str]:
    user = current_user(session)
    granted = {str(name) for (name,) in session.rows(catalog.PRIVILEGES)}
    for privilege in ("LOGMINING", "SELECT ANY TRANSACTION"):
        if privilege not in granted:
            yield f"the account lacks {privilege}. Run: {mending.grant_system(privilege, user)}"
    for package in ("DBMS_LOGMNR", "DBMS_LOCK"):
        row = one_row(session, catalog.CAN_EXECUTE, {"package": package})
        if row is None or not int(row[0]):
            grant = mending.grant_object("EXECUTE", "SYS", package, user)
            yield f"the account may not execute {package}. Run: {grant}"


def view_problems(session: Session, names: Collection[str] = ()) -> Iterator[str]:
    """`names` are the views that are needed; empty for all that LogMiner needs."""
    user = current_user(session)
    for view, probe in _VIEWS:
        if names and view not in names:
            continue
        try:
            session.rows(probe)
        except SourceNotReady:
            yield f"the account may not read {view}. Run: {mending.grant_view(view, user)}"
        except SourceError:
            # V$LOGMNR_CONTENTS is there, and LogMiner was not started (ORA-01306).
            if view != _CONTENTS:
                raise


def _retention_problems(session: Session) -> Iterator[str]:
    try:
        row = one_row(session, log.ARCHIVED_HOURS)
    except SourceNotReady:
        return  # Told with the grants on views.
    if row is None or row[0] is None:
        return  # No file was archived yet.
    kept, age = float(row[0]), float(row[1])
    if kept < LEAST_ARCHIVED_HOURS <= age:
        yield (
            f"archived logs reach back {kept:.1f} hours, less than a day: a capture that stands still loses"
            f" its place. Run {mending.KEEP_ARCHIVED}, and give the recovery area the room"
        )


def undo_problems(session: Session) -> Iterator[str]:
    try:
        settings = {str(name): str(value) for name, value in session.rows(catalog.PARAMETERS)}
    except SourceNotReady:
        yield (
            "the account may not read V$PARAMETER. Run: "
            f"{mending.grant_view('V$PARAMETER', current_user(session))}"
        )
        return
    if settings.get("undo_management", "AUTO").upper() != "AUTO":
        yield "undo is not managed by the server. Run: ALTER SYSTEM SET UNDO_MANAGEMENT = AUTO SCOPE = SPFILE"
    seconds = int(settings.get("undo_retention", "0") or 0)
    if seconds < LEAST_UNDO_SECONDS:
        yield (
            f"undo is kept for {seconds} s, and a load reads rows as of an earlier moment."
            f" Run: {mending.undo_retention(LEAST_UNDO_SECONDS)}"
        )


def flashback_problems(
    session: Session, table: TableId, found: Database, user: str, privileges: str = "READ, FLASHBACK"
) -> Iterator[str]:
    """What keeps loads from reading a table as of an SCN; `privileges` are those to be granted then."""
    try:
        session.rows(rows.flashback_probe(table.schema, table.name), {"scn": found.scn})
    except SourceNotReady:
        grant = mending.grant_object(privileges, table.schema, table.name, user)
        yield f"{quoted(table.schema, table.name)} cannot be read as of an SCN. Run: {grant}"


def _table_problems(
    session: Session, found: Database, table: TableId, schema: TableSchema, user: str
) -> Iterator[str]:
    name = quoted(table.schema, table.name)
    relation = find_relation(session, table)
    if relation is None:
        yield f"there is no table {name}"
        return
    yield from flashback_problems(session, table, found, user)
    if relation.kind != "table":
        return
    if relation.odd is not None:
        yield f"{name} is a {relation.odd}: read it through a view, which is loaded and not captured"
    if not relation.logged and not found.force_logging:
        yield f"direct loads of {name} write no redo. Run: {mending.logging(table.schema, table.name)}"
    groups = {str(kind) for (kind,) in session.rows(catalog.SUPPLEMENTAL_GROUPS, names_of(table))}
    if not found.all_columns and "ALL COLUMN LOGGING" not in groups:
        yield f"redo of {name} has no whole old rows. Run: {mending.supplemental(table.schema, table.name)}"
    large = [column.name for column in schema.columns if is_not_mined(column)]
    if large:
        yield (
            f"values of {', '.join(large)} of {name} cannot be captured from the redo log."
            " Declare a view of it instead, which is loaded and not captured, or move them to another table"
        )
    yield from large_object_problems(session, found, table, schema)
