"""What stands in the way of capture, found before anything runs.

Each problem names the statement that mends it; all are reported at once, so that one conversation with
the database's owner is enough. Settings are asked of the running server: SET GLOBAL takes effect for
sessions that begin afterwards, and belongs into the configuration file too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SourceError
from replication_assets.sources.mysql.connection import Session, literal, quoted
from replication_assets.sources.mysql.grants import current_account, read_grants
from replication_assets.sources.mysql.reflection import find_relation

LEAST_RETENTION_SECONDS = 24 * 3600
"""A capture that stands still for a day must find its place again."""

_WANTED = (
    ("binlog_format", "ROW", "statements instead of rows are logged"),
    ("binlog_row_image", "FULL", "rows are logged in parts"),
    ("binlog_row_metadata", "FULL", "the binlog does not name columns"),
    ("binlog_row_value_options", "", "JSON values are logged in parts"),
)
_SINCE = {
    "binlog_row_metadata": "MariaDB 10.5 or MySQL 8.0.1",
    "binlog_format": "MySQL 5.1",
    "binlog_row_image": "MySQL 5.6 or MariaDB 10.1",
}


def setup_problems(
    session: Session, tables: Sequence[tuple[TableId, TableSchema]], *, cascades: bool
) -> list[str]:
    """Everything that keeps capture from being set up; empty when it can be. `cascades`: rows that
    foreign keys change unseen are known of, and found otherwise."""
    settings = {str(name): str(value) for name, value in session.rows("SHOW GLOBAL VARIABLES")}
    if settings.get("log_bin", "OFF").upper() not in ("ON", "1"):
        return ["the server keeps no binlog. Set log_bin in its configuration, then restart it"]
    return [
        *_setting_problems(settings),
        *_retention_problems(session, settings),
        *_grant_problems(session),
        *_replica_problems(session, settings),
        *_filter_problems(session),
        *(problem for table, _ in tables for problem in _table_problems(session, table, cascades)),
    ]


def stream_problems(session: Session) -> list[str]:
    """Settings under which what is logged from now on is no change of a row."""
    settings = {str(name): str(value) for name, value in session.rows("SHOW GLOBAL VARIABLES")}
    return list(_setting_problems(settings))


def _setting_problems(settings: Mapping[str, str]) -> Iterator[str]:
    for name, wanted, what in _WANTED:
        found = settings.get(name)
        if found is None and name in _SINCE:
            yield f"{name} is not known to this server. Use {_SINCE[name]} or later"
        elif found is not None and found.upper() != wanted:
            yield f"{name} is {found}: {what}. Run: SET GLOBAL {name} = {literal(wanted)}"
    if settings.get("server_id", "0") == "0":
        yield "server_id is 0, so nobody may replicate. Set server_id in its configuration, then restart it"


def _retention_problems(session: Session, settings: Mapping[str, str]) -> Iterator[str]:
    if settings.get("basedir", "").startswith("/rdsdbbin"):
        hours = session.row("SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'")
        if hours is None or hours[0] is None or int(hours[0]) * 3600 < LEAST_RETENTION_SECONDS:
            yield (
                "binlogs are deleted as soon as replicas have them."
                " Run: CALL mysql.rds_set_configuration('binlog retention hours', 48)"
            )
        return
    seconds = float(settings.get("binlog_expire_logs_seconds", "0") or 0)
    seconds = seconds or 86400 * float(settings.get("expire_logs_days", "0") or 0)
    if 0 < seconds < LEAST_RETENTION_SECONDS:
        days = "binlog_expire_logs_seconds = 172800"
        if "binlog_expire_logs_seconds" not in settings:
            days = "expire_logs_days = 2"
        yield f"binlogs are deleted after {seconds:g} s, less than a day. Run: SET GLOBAL {days}"


def _grant_problems(session: Session) -> Iterator[str]:
    grants, account = read_grants(session), current_account(session)
    if not grants.has(["REPLICATION SLAVE", "REPLICATION REPLICA"]):
        yield f"the account may not read the binlog. Run: GRANT REPLICATION SLAVE ON *.* TO {account}"
    if not grants.has(["REPLICATION CLIENT", "BINLOG MONITOR", "SUPER"]):
        name = "BINLOG MONITOR" if session.is_mariadb and session.version >= (10, 5) else "REPLICATION CLIENT"
        yield f"the account may not ask where the binlog ends. Run: GRANT {name} ON *.* TO {account}"


def _replica_problems(session: Session, settings: Mapping[str, str]) -> Iterator[str]:
    logged = settings.get("log_slave_updates") or settings.get("log_replica_updates") or "ON"
    if logged.upper() in ("ON", "1"):
        return
    if replicates(session):
        yield (
            "changes that it replicates from another server are not in its own binlog."
            " Set log_slave_updates in its configuration, then restart it"
        )


def replicates(session: Session) -> bool:
    """Whether the server takes over changes of another one."""
    old = session.is_mariadb or session.version < (8, 0, 22)
    try:
        return bool(session.rows("SHOW SLAVE STATUS" if old else "SHOW REPLICA STATUS"))
    except SourceError:
        # Not allowed to ask. MySQL allows it to whoever may ask for the end of the binlog, which is told;
        # of MariaDB everybody may know what it applied of another server's log.
        row = session.row("SELECT @@global.gtid_slave_pos <> ''") if session.is_mariadb else None
        running = session.rows("SHOW GLOBAL STATUS LIKE 'Slave_running'")
        return row is None or bool(row[0]) or any(str(value).upper() == "ON" for _, value in running)


def _filter_problems(session: Session) -> Iterator[str]:
    command = "SHOW BINARY LOG STATUS"
    if session.is_mariadb or session.version < (8, 2):
        command = "SHOW MASTER STATUS"
    try:
        row = session.row(command)
    except SourceError:
        # The lack of the privilege is told with the grants.
        return
    if row is not None and any(row[2:4]):
        yield (
            "some databases are left out of the binlog."
            " Remove binlog_do_db and binlog_ignore_db from its configuration, then restart it"
        )


def _table_problems(session: Session, table: TableId, cascades: bool) -> Iterator[str]:
    if find_relation(session, table) is None:
        yield f"there is no table {quoted(table.schema, table.name)}"
    if not cascades:
        yield from cascade_problems(session, table, "is not in the binlog")


def cascade_problems(session: Session, table: TableId, unseen: str) -> Iterator[str]:
    """Foreign keys that change rows of the table themselves, of which nothing tells."""
    rows = quoted(table.schema, table.name)
    for name, parent, on_delete, on_update in session.rows(
        "SELECT CONSTRAINT_NAME, REFERENCED_TABLE_NAME, DELETE_RULE, UPDATE_RULE"
        " FROM information_schema.REFERENTIAL_CONSTRAINTS"
        f" WHERE CONSTRAINT_SCHEMA = {literal(table.schema)} AND TABLE_NAME = {literal(table.name)}"
    ):
        rules = [
            f"ON {event} {rule}"
            for event, rule in (("DELETE", on_delete), ("UPDATE", on_update))
            if rule not in ("RESTRICT", "NO ACTION")
        ]
        if rules:
            yield (
                f"what {' and '.join(rules)} of foreign key {name} to {parent} does to {rows} {unseen}."
                f" Run: ALTER TABLE {rows} DROP FOREIGN KEY {quoted(str(name))} and leave the rows to"
                " the application, or declare cascades=True and validate the table"
            )
