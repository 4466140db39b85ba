"""A snapshot of one table and the exact place in the binlog that it stands at.

A position read beside a snapshot is wrong under ordinary load. Three ways are exact, and the first
that the server and the grants allow is taken:

1. `status`: MariaDB and Percona Server say in `binlog_snapshot_file` and `binlog_snapshot_position`
   where a consistent snapshot stands. Nothing is locked.
2. `table lock`: `LOCK TABLES ... READ` of the one table waits until each transaction that wrote to it
   is committed, in the binlog and to readers, and lets none begin. Snapshot and position are taken
   under it, and it is given up at once. Writers of this table wait that long.
3. `global lock`: the same under `FLUSH TABLES WITH READ LOCK`, where LOCK TABLES is not granted. All
   writers wait, and it waits in turn for every statement that is running, loads included.

There is no fourth: without one of them the load is refused.

A second session holds the table open from before the snapshot until the first read of it, so that no
ALTER TABLE comes between. InnoDB keeps versions of rows, and nobody else does: other engines are refused
by `reflection`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from replication_assets.core.schema import TableId
from replication_assets.errors import LoadBlocked, SourceNotReady
from replication_assets.sources.mysql.connection import MySqlConnection, Session, connected, quoted
from replication_assets.sources.mysql.grants import current_account, read_grants
from replication_assets.sources.mysql.log_places import LogPlace

Method: TypeAlias = Literal["status", "table lock", "global lock"]

DESCRIPTIONS: dict[Method, str] = {
    "status": "exact, without a lock: the server tells where a snapshot stands in its binlog",
    "table lock": "exact; writers of the table wait for some milliseconds while a snapshot is taken",
    "global lock": "exact; all writers wait while a snapshot is taken, and for statements that run before it",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Reads of `session` see every transaction below `commit` and none at or above."""

    session: Session
    commit: int
    method: Method | None
    """None for a snapshot that stands at another place than one of the binlog (`triggers`)."""


Snapshots: TypeAlias = Callable[[MySqlConnection, TableId, float], AbstractContextManager[Snapshot]]
"""A way to get a snapshot of a table, waiting for so many seconds."""


@contextmanager
def consistent_snapshot(
    connection: MySqlConnection, table: TableId, wait: float, method: Method | None = None
) -> Iterator[Snapshot]:
    """A transaction that reads the table as it was at one place of the binlog.

    Waits at most `wait` seconds for transactions and statements that hold the table. `method` None
    is the best that the server and the grants allow.

    Raises:
        LoadBlocked: they did not end; the message names them.
        SourceNotReady: the server keeps no binlog, or no method is allowed.
    """
    with connected(connection, statement_seconds=0) as session:
        chosen = method or snapshot_method(session, table)
        rows = quoted(table.schema, table.name)
        with ExitStack() as stack:
            holder = stack.enter_context(connected(connection, statement_seconds=0))
            _hold(holder, session, rows, chosen, wait, table)
            session.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            commit = _place(session, chosen).commit
            session.rows(f"SELECT 1 FROM {rows} LIMIT 0")
            holder.rows("UNLOCK TABLES")
        yield Snapshot(session, commit, chosen)


def snapshot_method(session: Session, table: TableId) -> Method:
    """The best that the server and the grants allow. Raises SourceNotReady if it is none."""
    if session.rows("SHOW STATUS LIKE 'binlog_snapshot_file'"):
        return "status"
    grants = read_grants(session)
    if grants.has(["LOCK TABLES"], table.schema):
        return "table lock"
    if grants.has(["RELOAD", "FLUSH_TABLES"]):
        return "global lock"
    raise SourceNotReady(
        "a snapshot with its place in the binlog needs a lock that is not granted",
        where=str(table),
        fix=f"GRANT LOCK TABLES, SELECT ON {quoted(table.schema)}.* TO {current_account(session)}",
    )


def _hold(holder: Session, session: Session, rows: str, method: Method, wait: float, table: TableId) -> None:
    """Keep the table as it is, and with a lock as it stands, until `holder` is closed."""
    statements = {
        "status": ("START TRANSACTION", f"SELECT 1 FROM {rows} LIMIT 0"),
        "table lock": (f"LOCK TABLES {rows} READ",),
        "global lock": ("FLUSH TABLES WITH READ LOCK",),
    }[method]
    holder.rows(f"SET SESSION lock_wait_timeout = {max(1, round(wait))}")
    try:
        for statement in statements:
            holder.rows(statement)
    except LoadBlocked:
        raise _blocked(session, table, wait) from None


def _place(session: Session, method: Method) -> LogPlace:
    if method == "status":
        found = dict(session.rows("SHOW STATUS LIKE 'binlog_snapshot_%'"))
        file, offset = found["Binlog_snapshot_file"], int(found["Binlog_snapshot_position"])
    else:
        head = log_head(session)
        file, offset = head if head is not None else ("", 0)
    if not file:
        raise no_binlog(session.where)
    return LogPlace.of(file, offset)


def log_head(session: Session) -> tuple[str, int] | None:
    """The binlog file that is written, and where it ends; None without a binlog."""
    command = "SHOW BINARY LOG STATUS"
    if session.is_mariadb or session.version < (8, 2):
        command = "SHOW MASTER STATUS"
    row = session.row(command)
    return None if row is None else (str(row[0]), int(row[1]))


def no_binlog(where: str) -> SourceNotReady:
    return SourceNotReady(
        "the server keeps no binlog",
        where=where,
        fix="log_bin in the server's configuration, and a restart",
    )


_LONG_TRANSACTIONS = """
SELECT t.trx_mysql_thread_id, p.USER, t.trx_state,
       TIMESTAMPDIFF(SECOND, t.trx_started, NOW())
FROM information_schema.INNODB_TRX t
JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id
WHERE t.trx_mysql_thread_id <> CONNECTION_ID() ORDER BY t.trx_started LIMIT 10
"""


def _blocked(session: Session, table: TableId, wait: float) -> LoadBlocked:
    """Names transactions as far as the account may see them (PROCESS)."""
    try:
        running = session.rows(_LONG_TRANSACTIONS)
    except SourceNotReady:
        running = ()
    named = [
        f"connection {pid} (user {user}, {state}, open for {age} s)" for pid, user, state, age in running
    ]
    endings = "; ".join(f"KILL {row[0]}" for row in running)
    return LoadBlocked(
        f"a snapshot waited {wait:g} s for transactions or statements that hold the table:"
        f" {'; '.join(named) or 'not visible to this account, which lacks PROCESS'}",
        where=str(table),
        fix=f"let them end, or end them ({endings or 'see SHOW PROCESSLIST'}), then load again",
    )
