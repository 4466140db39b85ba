"""In what order changes are read, so that what was read is never added to.

Sequences are not transactional: a transaction that drew its id first may commit last, and nothing
in the log tells of it before it does. Reading what is below `pg_snapshot_xmin` would wait for every
transaction of the server, and transaction ids are not the order of changes either. So:

1. A transaction's commit position is the greatest id that it drew. Two transactions that changed one
   row differ in it the right way around, since the later one drew an id after the earlier had ended.
2. Whoever reads, a load or a round of the stream, takes a snapshot and then draws an id of its own, and
   leaves both in the log: a fence. What the snapshot shows has drawn its ids before, and stands below.
3. A transaction that the snapshot does not show stands behind the fence: if it drew all of its ids
   before, its position is the fence's id and one, which no change has (noise leaves the room).

So nothing that becomes visible later can stand before a fence, nobody waits for anybody, and as the
fences stay in the log for as long as they matter, whoever reads again finds the same positions. Of two
transactions that changed one row the later one is not shown wherever the earlier one is not: it never
stands before it. Fences are made one at a time under a lock, so they have the order of their snapshots.

Within a position changes are ordered by their ids, which are their sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from replication_assets.core.trigger_log import ANCHOR
from replication_assets.sources.postgres.triggers.sql import LogNames, add_fence

_LEASE, _FENCE = 1, 2
Session = psycopg.Connection[Any]


NOTHING_SHOWN = "3:3:"
"""A snapshot in which no transaction is visible: 3 is the first number that one can have."""

_NEW = "NOT pg_catalog.pg_visible_in_snapshot(xid, %(shown)s::pg_catalog.pg_snapshot)"


def positioned(names: LogNames, condition: str = "true") -> str:
    """A table expression `placed (xid, commit, at)`: transactions of the log by their position."""
    return (
        "spoken AS MATERIALIZED (SELECT xid, max(id) AS last, max(at) AS at"
        f"   FROM {names.log} WHERE {condition} GROUP BY xid),"
        f" fence AS MATERIALIZED (SELECT id, note::pg_catalog.pg_snapshot AS shown FROM {names.log}"
        f"   WHERE op = '{ANCHOR}' AND note IS NOT NULL),"
        " placed AS MATERIALIZED (SELECT xid, at, greatest(last, (SELECT max(f.id) + 1 FROM fence f"
        "   WHERE f.id > s.last AND NOT pg_catalog.pg_visible_in_snapshot(s.xid, f.shown))) AS commit"
        " FROM spoken s)"
    )


def read_query(names: LogNames) -> str:
    """Rows of the log in their order. Parameters: `after` which position, up to which one (`reach`), and
    the snapshot of the last round, whose transactions were all read then (`shown`)."""
    return (
        f"WITH {positioned(names, _NEW)} SELECT p.commit, l.id, l.xid::text::bigint, l.shape, l.op::text,"
        " (extract(epoch FROM p.at) * 1000000)::bigint, l.old, l.new, l.note"
        f" FROM placed p JOIN (SELECT * FROM {names.log} WHERE {_NEW}) l USING (xid)"
        " WHERE p.commit > %(after)s AND p.commit <= %(reach)s"
        " ORDER BY p.commit, l.id"
    )


def trim_query(names: LogNames) -> str:
    """Deletes what stands at or before a position, but for the row by which the log is known again."""
    return (
        f"WITH {positioned(names)} DELETE FROM {names.log} l USING placed p"
        " WHERE l.xid = p.xid AND p.commit <= %(commit)s AND l.id NOT IN (%(commit)s, %(commit)s - 1)"
    )


def known_query(names: LogNames) -> str:
    """Whether the log holds a position: a change's or a fence's id, or the one behind a fence."""
    return f"SELECT 1 FROM {names.log} WHERE id IN (%(commit)s, %(commit)s - 1)"


def news_query(names: LogNames) -> str:
    """Whether there is anything that a fence and its snapshot do not show. Parameters: both."""
    return (
        f"SELECT EXISTS (SELECT FROM {names.log} WHERE id > %s) OR EXISTS (SELECT FROM {names.log}"
        " WHERE NOT pg_catalog.pg_visible_in_snapshot(xid, %s::pg_catalog.pg_snapshot) AND id <> %s)"
    )


@dataclass(frozen=True, slots=True)
class Fence:
    """An id, and the snapshot that was taken before it. `name` is by which it can be imported."""

    id: int
    snapshot: str
    name: str

    @property
    def commit(self) -> int:
        """The position of what the snapshot does not show: of a load that reads by it."""
        return self.id + 1


def make_fence(session: Session, reader: Session, names: LogNames, log: int) -> Fence:
    """Begin a transaction of `reader` that sees one snapshot, and leave its fence in the log by `session`.

    The fence's commit is flushed, and with it every commit that the snapshot shows: what is read is on
    the server's disk, with `synchronous_commit = off` too.
    """
    key = (_signed(log), _FENCE)
    session.execute("SELECT pg_catalog.pg_advisory_lock(%s, %s)", key)
    try:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = reader.execute(
            "SELECT pg_catalog.pg_current_snapshot()::text, pg_catalog.pg_export_snapshot()"
        ).fetchone()
        assert row is not None
        with session.transaction():
            session.execute("SET LOCAL synchronous_commit = local")
            fence = session.execute(add_fence(names).encode(), (row[0],)).fetchone()
            assert fence is not None
    finally:
        if not session.closed:
            session.execute("SELECT pg_catalog.pg_advisory_unlock(%s, %s)", key)
    return Fence(int(fence[0]), row[0], row[1])


def take_lease(session: Session, log: int) -> bool:
    """Whether the session may read the stream; it keeps the lease until it ends."""
    row = session.execute("SELECT pg_catalog.pg_try_advisory_lock(%s, %s)", (_signed(log), _LEASE)).fetchone()
    return row is not None and bool(row[0])


def lease_holder(session: Session, log: int) -> int | None:
    """The pid of the session that reads the stream; None if none does."""
    row = session.execute(
        "SELECT pid FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s"
        " AND objid = %s AND objsubid = 2"
        " AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())",
        (log, _LEASE),
    ).fetchone()
    return None if row is None else int(row[0])


def _signed(oid: int) -> int:
    """Advisory locks take 32 bits with a sign."""
    return oid - 2**32 if oid >= 2**31 else oid
