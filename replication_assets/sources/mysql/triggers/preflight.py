"""What stands in the way of trigger capture, found before anything is created."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SourceNotReady
from replication_assets.sources.mysql.connection import Session, literal, quoted
from replication_assets.sources.mysql.grants import Grants, current_account, read_grants
from replication_assets.sources.mysql.preflight import cascade_problems, replicates
from replication_assets.sources.mysql.reflection import find_relation
from replication_assets.sources.mysql.triggers.shapes import table_numbers
from replication_assets.sources.mysql.triggers.sql import MARK, MOST_COLUMNS, LogNames

_OWN = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "LOCK TABLES")
_OTHERS = ("TRIGGER", "LOCK TABLES")


def setup_problems(
    session: Session, names: LogNames, tables: Sequence[tuple[TableId, TableSchema]], *, cascades: bool
) -> list[str]:
    """Everything that keeps capture from being set up; empty when it can be. `cascades`: rows that
    foreign keys change unseen are known of, and found otherwise."""
    grants, account = read_grants(session), current_account(session)
    return [
        *_server_problems(session),
        *_trust_problems(session, grants),
        *_database_problems(session, names, grants, account),
        *(
            problem
            for table, schema in tables
            for problem in _table_problems(session, table, schema, grants, account, cascades)
        ),
    ]


def _server_problems(session: Session) -> Iterator[str]:
    settings = {
        str(name).lower(): str(value).upper() for name, value in session.rows("SHOW GLOBAL VARIABLES")
    }
    several = settings.get("wsrep_on") == "ON" or (
        settings.get("group_replication_group_name", "") != ""
        and settings.get("group_replication_single_primary_mode") == "OFF"
    )
    if several:
        yield (
            "several servers of a cluster can be written to: triggers number changes on each by itself."
            " Fix: capture='log'"
        )
    if replicates(session):
        yield (
            "the server is a replica, and what it replicates fires no triggers."
            " Fix: capture its primary, or capture='log'"
        )


def _trust_problems(session: Session, grants: Grants) -> Iterator[str]:
    row = session.row("SELECT @@global.log_bin, @@global.log_bin_trust_function_creators")
    if row is not None and row[0] and not row[1] and not grants.has(["SUPER"]):
        yield (
            "the server keeps a binlog, and lets only SUPER make triggers then."
            " Run: SET GLOBAL log_bin_trust_function_creators = 1"
        )


def _database_problems(session: Session, names: LogNames, grants: Grants, account: str) -> Iterator[str]:
    database = quoted(names.database)
    lacking = [each for each in _OWN if not grants.has([each], names.database)]
    if lacking:
        grant = f"GRANT {', '.join(lacking)} ON {database}.* TO {account}"
        yield f"the account may not keep a change log. Run: {grant}"
        return
    found = session.row(
        "SELECT (SELECT TABLE_COMMENT FROM information_schema.TABLES t"
        "  WHERE t.TABLE_SCHEMA = s.SCHEMA_NAME AND t.TABLE_NAME = 'state'),"
        " (SELECT COUNT(*) FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = s.SCHEMA_NAME"
        "  AND t.TABLE_NAME NOT IN ('marks', 'shapes', 'state'))"
        f" FROM information_schema.SCHEMATA s WHERE s.SCHEMA_NAME = {literal(names.database)}"
    )
    if found is not None and str(found[0] or "") != MARK and int(found[1]):
        yield f"database {database} was made by somebody else. Fix: name the source differently"


def _table_problems(
    session: Session, table: TableId, schema: TableSchema, grants: Grants, account: str, cascades: bool
) -> Iterator[str]:
    rows = quoted(table.schema, table.name)
    found = find_relation(session, table)
    if found is None:
        yield f"there is no table {rows}"
    if found is None or not found.can_be_captured:
        return
    lacking = [each for each in _OTHERS if not grants.has([each], table.schema)]
    if lacking:
        grant = f"GRANT {', '.join(lacking)} ON {quoted(table.schema)}.* TO {account}"
        yield f"the account may not make triggers on {rows}. Run: {grant}"
    if len(schema.columns) > MOST_COLUMNS:
        yield f"{rows} has more than {MOST_COLUMNS} columns. Fix: capture='log'"
    try:
        table_numbers(session, table)
    except SourceNotReady as error:
        yield f"{error.what}. Run: {error.fix}"
    if not cascades:
        yield from cascade_problems(session, table, "fires no trigger")
