"""In what order changes are read, so that what was read is never added to.

A transaction that drew its ids first may commit last, and nothing but a read of uncommitted rows tells of
it before it does. Waiting for it would hold everybody up, and the server's own order of commits is in its
binlog, which is not ours to read here. But a session has one transaction at a time. So:

1. Of the rows that one session wrote, those that a snapshot shows are those up to some id: what commits
   later has greater ones. Which rows a snapshot shows is therefore told by one id for each session.
2. Whoever reads, a load or a round of the stream, takes a snapshot and then draws an id of its own, and
   leaves both in the log: a fence. Fences are made one at a time under a lock: they have the order of
   their snapshots, and what one shows, all later ones show.
3. The commit position of a change is the id of the first fence that shows it. Within it changes are
   ordered by their ids, which are their sequence.

So nothing that becomes visible later can stand at or before a fence, and nobody waits for anybody. A
transaction becomes visible as a whole: its changes stand at one position. Of two transactions that
changed one row, the later one drew its ids after the earlier one had ended, and is not shown wherever that
one is not. Fences stay in the log for as long as they matter, so whoever reads again finds the same
positions. A load that reads by the snapshot of a fence stands right behind it.

A prepared XA transaction leaves its session, which may commit other changes before it. Where the server
knows of any, a fence also looks at rows that are not committed: those below the id of their session
are listed in it as not shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from replication_assets.core.lost_changes import change_log_lost
from replication_assets.core.trigger_log import ANCHOR
from replication_assets.errors import LoadBlocked, SourceError, SourceUnavailable
from replication_assets.sources.mysql.connection import Session, literal
from replication_assets.sources.mysql.status import capture_lock
from replication_assets.sources.mysql.triggers.sql import LAST_ID, LogNames, add_mark, every_id, newest_ids

LOCK_SECONDS = 60.0
Rows = frozenset[tuple[int, int]]
"""Session and id of each."""


@dataclass(frozen=True, slots=True)
class Fence:
    """`shown`: up to which id a snapshot shows what a session wrote; nothing of sessions it does not name.
    `late`: rows below, of prepared transactions, that it does not show all the same."""

    id: int
    shown: Mapping[int, int]
    late: Rows = frozenset()

    @property
    def behind(self) -> int:
        """The position of a load that reads by the snapshot: every change that it shows is below."""
        return self.id + 1

    def body(self) -> str:
        """What the log keeps of a fence beside its id."""
        return json.dumps({"shown": sorted(self.shown.items()), "late": sorted(self.late)})

    @classmethod
    def from_body(cls, number: int, body: str) -> Fence:
        """The inverse of `body`."""
        raw = json.loads(body)
        return cls(number, dict(map(tuple, raw["shown"])), frozenset(map(tuple, raw["late"])))

    def shows(self) -> str:
        """An SQL condition for rows of the log: ranges of their primary key."""
        if not self.shown:
            return "FALSE"
        ranges = " OR ".join(f"(conn = {conn} AND id <= {last})" for conn, last in self.shown.items())
        return f"({ranges}) AND NOT ({_listed(self.late)})" if self.late else f"({ranges})"

    def hides(self) -> str:
        """The opposite of `shows`."""
        if not self.shown:
            return "TRUE"
        ranges = [f"(conn = {conn} AND id > {last})" for conn, last in self.shown.items()]
        others = f"conn NOT IN ({', '.join(map(str, self.shown))})"
        late = [_listed(self.late)] if self.late else []
        return f"({' OR '.join([others, *ranges, *late])})"


def _listed(rows: Rows) -> str:
    return " OR ".join(f"(conn = {conn} AND id = {number})" for conn, number in sorted(rows))


def log_shapes(session: Session, names: LogNames) -> list[int]:
    """Numbers of all shapes whose changes are in the log."""
    return [int(shape) for (shape,) in session.rows(f"SELECT shape FROM {names.shapes} ORDER BY shape")]


@contextmanager
def fence_lock(session: Session, names: LogNames, wait: float = LOCK_SECONDS) -> Iterator[None]:
    """Nobody else makes a fence, or a table of the log, in the block."""
    lock = literal(capture_lock(f"{names.database}/fence"))
    row = session.row(f"SELECT GET_LOCK({lock}, {wait:g})")
    if row is None or row[0] != 1:
        raise LoadBlocked(
            f"others that begin to read the change log did not get on within {wait:g} s",
            where=session.where,
            fix="try again",
        )
    try:
        yield
    finally:
        if session.open:
            session.rows(f"DO RELEASE_LOCK({lock})")


def make_fence(session: Session, reader: Session, names: LogNames, wait: float = LOCK_SECONDS) -> Fence:
    """Begin a transaction of `reader` that sees one snapshot, and leave its fence in the log by `session`.

    Raises:
        SlotLost: the log has ids that are still to be drawn: the server's clock was set back.
    """
    with fence_lock(session, names, wait):
        shapes = log_shapes(session, names)
        reader.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        shown = {int(conn): int(last) for conn, last in reader.rows(newest_ids(names, shapes))}
        late = _late(session, reader, names, shapes, shown)
        body = Fence(0, shown, late).body()
        session.rows(add_mark(names, ANCHOR, note=body))
        row = session.row(LAST_ID)
    if row is None or row[0] is None:
        raise SourceUnavailable("the server did not tell the id of a fence", where=session.where)
    fence = Fence(int(row[0]), shown, late)
    if any(last > fence.id for last in shown.values()):
        raise change_log_lost(
            "change ids went back: the server was started with an earlier clock than before", session.where
        )
    return fence


def _late(
    session: Session, reader: Session, names: LogNames, shapes: Sequence[int], shown: Mapping[int, int]
) -> Rows:
    """Rows of prepared transactions that the snapshot should show, by their ids, and does not."""
    if not _may_be_prepared(session):
        return frozenset()
    query = every_id(names, shapes)
    session.rows("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
    try:
        written = {(int(conn), int(number)) for conn, number in session.rows(query)}
    finally:
        session.rows("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    seen = {(int(conn), int(number)) for conn, number in reader.rows(query)}
    return frozenset(row for row in written - seen if row[1] <= shown.get(row[0], 0))


def _may_be_prepared(session: Session) -> bool:
    """Whether a transaction was prepared since the server runs, or is from before."""
    counted = session.row("SHOW GLOBAL STATUS LIKE 'Com_xa_prepare'")
    if counted is None or int(counted[1]):
        return True
    try:
        return bool(session.rows("XA RECOVER"))
    except SourceError:
        # Not allowed to ask, so they are looked for.
        return True


def read_fence(session: Session, names: LogNames, number: int) -> Fence | None:
    """None if the log does not hold it."""
    row = session.row(f"SELECT note FROM {names.marks} WHERE op = '{ANCHOR}' AND id = {number}")
    return None if row is None else Fence.from_body(number, str(row[0]))


def fences_after(session: Session, names: LogNames, number: int) -> list[Fence]:
    """In their order."""
    rows = session.rows(
        f"SELECT id, note FROM {names.marks} WHERE op = '{ANCHOR}' AND id > {number} ORDER BY id"
    )
    return [Fence.from_body(int(each), str(body)) for each, body in rows]
