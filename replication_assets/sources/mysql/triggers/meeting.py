"""Where a load meets the change log: right behind the fence that was made of its snapshot.

A second session holds the table open from before the snapshot until the first read of it, so that no
ALTER TABLE comes between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from replication_assets.core.schema import TableId
from replication_assets.errors import LoadBlocked, SourceNotReady
from replication_assets.sources.mysql.connection import MySqlConnection, connected, quoted
from replication_assets.sources.mysql.snapshot import Snapshot
from replication_assets.sources.mysql.triggers.change_log import read_state
from replication_assets.sources.mysql.triggers.fences import make_fence
from replication_assets.sources.mysql.triggers.sql import LogNames


@contextmanager
def fenced_snapshot(
    connection: MySqlConnection, names: LogNames, table: TableId, wait: float
) -> Iterator[Snapshot]:
    """A transaction that reads the table as of a fence. It waits for no transaction, but for statements
    that alter the table and for other loads that begin at this moment.

    Raises:
        LoadBlocked: they did not get on within `wait` seconds.
        SourceNotReady: there is no change log.
    """
    rows = quoted(table.schema, table.name)
    with connected(connection, statement_seconds=0) as reader:
        with connected(connection) as session, connected(connection, statement_seconds=0) as holder:
            if read_state(session, names) is None:
                raise SourceNotReady(
                    "there is no change log", where=connection.where, fix="set the source up first"
                )
            holder.rows(f"SET SESSION lock_wait_timeout = {max(1, round(wait))}")
            try:
                holder.rows("START TRANSACTION")
                holder.rows(f"SELECT 1 FROM {rows} LIMIT 0")
            except LoadBlocked:
                raise LoadBlocked(
                    f"a snapshot waited {wait:g} s for a statement that alters or locks the table",
                    where=str(table),
                    fix="let it end, then load again",
                ) from None
            fence = make_fence(session, reader, names, wait)
            reader.rows(f"SELECT 1 FROM {rows} LIMIT 0")
        yield Snapshot(reader, fence.behind, None)
