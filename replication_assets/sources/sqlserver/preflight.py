"""What stands in the way of capture, found before anything runs.

Each problem names the statement that mends it; all are reported at once, so that one conversation with
the database's owner is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SourceError
from replication_assets.sources.sqlserver.reflection import find_relation, kind_problems, primary_key
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import cdc, server, tracking
from replication_assets.sources.sqlserver.statements.names import quoted, relation
from replication_assets.sources.sqlserver.types import large_columns

LEAST_RETENTION_MINUTES = 24 * 60
"""A capture that stands still for a day must find its place again."""
KEPT_MINUTES = 3 * 24 * 60
_OLDEST = 14
"""SQL Server 2017: before it the catalog does not tell of graph tables."""
_EXPRESS, _AZURE_SQL = 4, 5
_MOST_INSTANCES = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """What `statements.server.SETTINGS` and `PERMISSIONS` tell."""

    version: int
    edition: int
    database: str
    cdc: bool
    snapshots: bool
    read_only: bool
    tracked: bool
    owner: bool
    admin: bool
    sees_state: bool
    user: str

    @property
    def has_agent(self) -> bool:
        """Azure SQL Database runs capture and cleanup by itself."""
        return self.edition != _AZURE_SQL


def read_settings(session: Session) -> Settings:
    ((version, edition, database, by_cdc, snapshots, read_only, _, tracked),) = session.rows(server.SETTINGS)
    ((owner, admin, sees, user),) = session.rows(server.PERMISSIONS)
    return Settings(
        int(version),
        int(edition),
        str(database),
        bool(by_cdc),
        int(snapshots) == 1,
        bool(read_only),
        bool(tracked),
        bool(owner),
        bool(admin),
        bool(sees),
        str(user),
    )


def shared_problems(settings: Settings) -> Iterator[str]:
    """Of both ways to capture."""
    name, account = quoted(settings.database), quoted(settings.user)
    # Azure SQL Database counts its versions otherwise, and is always new.
    if settings.has_agent and settings.version < _OLDEST:
        yield f"the server is of version {settings.version}. Use SQL Server 2017 (14) or later"
    if settings.read_only:
        yield f"the database is read-only. Run: ALTER DATABASE {name} SET READ_WRITE"
    if not settings.snapshots:
        yield (
            "snapshot isolation is not allowed, without which a load sees torn rows."
            f" Run: ALTER DATABASE {name} SET ALLOW_SNAPSHOT_ISOLATION ON"
        )
    if not settings.owner and not settings.admin:
        yield f"the account may not set capture up. Run: ALTER ROLE [db_owner] ADD MEMBER {account}"
    if not settings.sees_state:
        yield (
            "the account may not see how far the server has come."
            f" Run: GRANT VIEW DATABASE STATE TO {account}"
        )


def cdc_problems(
    session: Session, tables: Sequence[tuple[TableId, TableSchema]], ours: Sequence[str]
) -> list[str]:
    """Everything that keeps capture from change tables from being set up; `ours` names instances that are
    there already."""
    settings = read_settings(session)
    return [
        *shared_problems(settings),
        *_cdc_server_problems(session, settings),
        *(
            problem
            for table, schema in tables
            for problem in _cdc_table_problems(session, settings, table, schema, ours)
        ),
    ]


def _cdc_server_problems(session: Session, settings: Settings) -> Iterator[str]:
    name = quoted(settings.database)
    if settings.edition == _EXPRESS:
        yield "Express editions have no change data capture. Use capture='change_tracking'"
    if not settings.cdc and not settings.admin and settings.has_agent:
        yield (
            "change data capture is off, and only a sysadmin may switch it on."
            f" Run: USE {name}; EXEC sys.sp_cdc_enable_db"
        )
    if settings.cdc and settings.has_agent:
        yield from retention_problems(session)
    if settings.has_agent and agent_is_stopped(session):
        yield (
            "SQL Server Agent does not run, so nothing fills change tables. Start the service SQL Server"
            f" Agent, then run: EXEC msdb.dbo.sp_start_job @job_name = N'cdc.{settings.database}_capture'"
        )


def retention_problems(session: Session) -> Iterator[str]:
    try:
        rows = session.rows(cdc.retention_minutes())
    except SourceError:
        yield (
            "the account may not see how long changes are kept."
            " Run: USE [msdb]; GRANT SELECT ON [dbo].[cdc_jobs] TO the account"
        )
        return
    for (minutes,) in rows:
        if int(minutes) < LEAST_RETENTION_MINUTES:
            yield (
                f"changes are kept for {minutes} minutes, less than a day."
                f" Run: {cdc.set_retention(KEPT_MINUTES)}"
            )


def agent_is_stopped(session: Session) -> bool:
    """False where the account may not see services: a capture job that stands still is noticed by what
    it does (`cdc.reach`)."""
    try:
        rows = session.rows(cdc.AGENT)
    except SourceError:
        return False
    return bool(rows) and all(str(state) != "Running" for (state,) in rows)


def _cdc_table_problems(
    session: Session, settings: Settings, table: TableId, schema: TableSchema, ours: Sequence[str]
) -> Iterator[str]:
    found = find_relation(session, table)
    if found is None:
        yield f"there is no table {relation(table)}"
        return
    yield from (f"{relation(table)}: {problem}" for problem in kind_problems(found))
    large = [column.name for column in large_columns(schema.columns)]
    key = primary_key(session, table)
    if large and (not key or set(schema.key) != set(key)):
        yield (
            f"{relation(table)}: old values of {large} are not in a change table, and its key"
            f" {list(schema.key)} is not a primary key of the table. Give it that primary key,"
            " or capture it by 'change_tracking', or replicate it without these columns"
        )
    if large and session.rows(server.REPL_SIZE) != [(-1,)]:
        yield (
            f"{relation(table)}: once it is captured, applications cannot write values beyond"
            f" 'max text repl size' into {large}."
            " Run: EXEC sp_configure N'max text repl size', -1; RECONFIGURE"
        )
    if settings.cdc:
        taken = [
            str(row[0])
            for row in session.rows(cdc.INSTANCES)
            if int(row[1]) == found.number and str(row[0]) not in ours
        ]
        if len(taken) >= _MOST_INSTANCES:
            schema_name, name = (part.replace("'", "''") for part in (table.schema, table.name))
            yield (
                f"{relation(table)} has two capture instances already, {taken}, and a third is not allowed."
                f" Run: EXEC sys.sp_cdc_disable_table @source_schema = N'{schema_name}',"
                f" @source_name = N'{name}', @capture_instance = the one that nobody reads"
            )


def tracking_problems(session: Session, tables: Sequence[tuple[TableId, TableSchema]]) -> list[str]:
    """Everything that keeps Change Tracking from being set up."""
    settings = read_settings(session)
    problems = list(shared_problems(settings))
    if settings.tracked:
        ((period, unit, cleans),) = session.rows(tracking.RETENTION)
        minutes = int(period) * {"MINUTES": 1, "HOURS": 60, "DAYS": 24 * 60}[str(unit)]
        if cleans and minutes < LEAST_RETENTION_MINUTES:
            problems.append(
                f"changes are kept for {minutes} minutes, less than a day. Run: {tracking.SET_RETENTION}"
            )
    for table, schema in tables:
        problems += _tracking_table_problems(session, table, schema)
    return problems


def _tracking_table_problems(session: Session, table: TableId, schema: TableSchema) -> Iterator[str]:
    found = find_relation(session, table)
    if found is None:
        yield f"there is no table {relation(table)}"
        return
    yield from (f"{relation(table)}: {problem}" for problem in kind_problems(found))
    key = primary_key(session, table)
    if not key:
        yield (
            f"{relation(table)} has no primary key, by which Change Tracking names rows."
            f" Run: ALTER TABLE {relation(table)} ADD PRIMARY KEY (its key), or use capture='cdc'"
        )
    elif set(schema.key) != set(key):
        yield (
            f"{relation(table)}: the declared key {list(schema.key)} is not its primary key {list(key)}, by"
            " which Change Tracking names rows. Declare no key, or use capture='cdc'"
        )
