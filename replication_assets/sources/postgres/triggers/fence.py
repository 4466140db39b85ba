"""Where a load meets the change log: a snapshot, and the id that was drawn right after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from replication_assets.errors import SourceNotReady
from replication_assets.sources.postgres.connection import PostgresConnection, connect, source_errors
from replication_assets.sources.postgres.snapshot import Snapshot
from replication_assets.sources.postgres.triggers.change_log import log_oid
from replication_assets.sources.postgres.triggers.positions import make_fence
from replication_assets.sources.postgres.triggers.sql import LogNames


@contextmanager
def fenced_snapshot(connection: PostgresConnection, names: LogNames, wait: float) -> Iterator[Snapshot]:
    """Export a snapshot that can be imported while the block runs. It waits for no transaction, but for
    other loads that begin at this moment.

    Raises:
        SourceNotReady: there is no change log.
        LoadBlocked: another load did not get on within `wait` seconds.
    """
    where = connection.where
    with connect(connection) as session, connect(connection) as holder, source_errors(where):
        log = log_oid(session, names)
        if log is None:
            raise SourceNotReady("there is no change log", where=where, fix="set the source up first")
        session.execute(f"SET lock_timeout = {int(wait * 1000)}".encode())
        fence = make_fence(session, holder, names, log)
        yield Snapshot(fence.name, fence.commit)
