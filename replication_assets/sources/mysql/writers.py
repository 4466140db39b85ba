"""Who writes to tables: transactions that have not ended, and statements that stop them.

InnoDB tells which transactions changed rows or hold locks, and not of which tables: each of them may have
written to any. Query texts are never read: they hold cell values.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.schema import TableId
from replication_assets.errors import SourceNotReady
from replication_assets.ports import Writer
from replication_assets.sources.mysql.connection import Session, literal, quoted
from replication_assets.sources.mysql.grants import current_account, read_grants

# A statement that waits for a table that is locked writes as soon as it is let in.
_WRITERS = """
SELECT t.trx_mysql_thread_id, COALESCE(p.USER, ''), t.trx_state,
       TIMESTAMPDIFF(SECOND, t.trx_started, NOW())
FROM information_schema.INNODB_TRX t
LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id
WHERE (t.trx_rows_modified > 0 OR t.trx_tables_locked > 0 OR t.trx_state = 'LOCK WAIT')
  AND t.trx_mysql_thread_id NOT IN (0, CONNECTION_ID())
UNION
SELECT p.ID, p.USER, p.STATE, p.TIME FROM information_schema.PROCESSLIST p
WHERE p.STATE LIKE 'Waiting for %lock%' AND p.ID <> CONNECTION_ID()
ORDER BY 4 DESC, 1
"""


def writers(session: Session, tables: Sequence[TableId]) -> tuple[Writer, ...]:
    """See `ports.ChangeSource.writers`.

    Raises:
        SourceNotReady: the account may not see other people's transactions.
    """
    if not read_grants(session).has(["PROCESS"]):
        raise SourceNotReady(
            "the account may not see who writes",
            where=session.where,
            fix=f"GRANT PROCESS ON *.* TO {current_account(session)}",
        )
    # InnoDB keeps what it told last for a tenth of a second.
    session.rows("DO SLEEP(0.15)")
    found: dict[int, Writer] = {}
    for number, user, state, seconds in session.rows(_WRITERS):
        age = None if seconds is None else float(seconds)
        name = f"connection {number}"
        found.setdefault(
            int(number), Writer(name, str(user), "", str(state), age, tuple(tables), f"KILL {number};")
        )
    return (*found.values(), *_prepared(session, tables))


def _prepared(session: Session, tables: Sequence[TableId]) -> list[Writer]:
    """Transactions that were prepared for a two-phase commit: no session needs to hold them."""
    found = []
    for format_id, global_length, _, data in session.rows("XA RECOVER"):
        text = data.encode("latin-1") if isinstance(data, str) else bytes(data)
        parts = f"x'{text[:global_length].hex()}', x'{text[global_length:].hex()}', {format_id}"
        name = f"prepared transaction {parts}"
        found.append(Writer(name, "", "", "prepared", None, tuple(tables), f"XA ROLLBACK {parts};"))
    return found


def stop_writes(session: Session, tables: Sequence[TableId]) -> tuple[str, ...]:
    """See `ports.ChangeSource.stop_writes`."""
    revoked = [
        f"REVOKE {', '.join(sorted(names))} ON {quoted(table.schema, table.name)} FROM {grantee};"
        for table in tables
        for grantee, names in _table_grants(session, table).items()
    ]
    wider = sorted({grantee for table in tables for grantee in _database_grants(session, table)})
    read_only = ["SET GLOBAL read_only = ON;"]
    if not session.is_mariadb:
        read_only = ["SET GLOBAL super_read_only = ON;"]
    return (
        "-- Either for the whole server (on MariaDB accounts with READ ONLY ADMIN or SUPER still write):",
        *read_only,
        "-- or for these tables, for sessions that begin afterwards:",
        *revoked,
        *(
            f"-- {grantee} may write to the whole database: revoke that, or lock the account"
            for grantee in wider
        ),
        "-- and end the sessions that are open: KILL each of SHOW PROCESSLIST.",
    )


_WRITES = "('INSERT', 'UPDATE', 'DELETE', 'DROP')"


def _table_grants(session: Session, table: TableId) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for grantee, name in session.rows(
        "SELECT GRANTEE, PRIVILEGE_TYPE FROM information_schema.TABLE_PRIVILEGES"
        f" WHERE TABLE_SCHEMA = {literal(table.schema)} AND TABLE_NAME = {literal(table.name)}"
        f" AND PRIVILEGE_TYPE IN {_WRITES}"
    ):
        found.setdefault(str(grantee), []).append(str(name))
    return found


def _database_grants(session: Session, table: TableId) -> list[str]:
    return [
        str(grantee)
        for (grantee,) in session.rows(
            "SELECT DISTINCT GRANTEE FROM information_schema.SCHEMA_PRIVILEGES"
            f" WHERE {literal(table.schema)} LIKE TABLE_SCHEMA AND PRIVILEGE_TYPE IN {_WRITES}"
        )
    ]
