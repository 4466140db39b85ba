"""Owns the lease of a range: one writer at a time, and none that writes after it lost its own.

Single items need no lease: whatever comes late is older, and loses. A whole range does. Who
fills it buries what has no row any more, and cannot bury what a run in progress is yet to write;
and who fills it for the first time writes without conditions.

The lease is the record of the range in state `filling` or `applying`, whose `beat` moves. Nobody
compares clocks: who finds the range held watches the record for `seconds` by its own monotonic
clock, and takes over only if it stood still. The holder for its part stops writing when that
time, less a `MARGIN`, has passed since its last heartbeat was sent, so that its last requests
have arrived before anybody else begins.

Refused: waiting for a holder that is alive and has been at it for a while. It may take hours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from replication_assets.core.schema import TableId
from replication_assets.errors import CommitConflict, ReplicationError
from replication_assets.targets.dynamodb.control import ControlTable, RangeRecord, State

SECONDS = 20.0
"""How long a range is left alone whose writer died."""

MARGIN = 0.4
"""Share of the lease that stays free for requests that are on their way."""

_GIVEN_UP: dict[State, State] = {"filling": "unfinished", "applying": "filled"}


@dataclass(frozen=True, slots=True)
class Held:
    """A lease: the record that stands for it, the one that it replaced, and a `check` to be
    called before every write, which raises CommitConflict when the lease may have ended."""

    record: RangeRecord
    former: RangeRecord | None
    check: Callable[[], None]


@contextmanager
def lease(
    control: ControlTable,
    table: TableId,
    id_range: str,
    wanted: Callable[[RangeRecord | None], RangeRecord],
    *,
    seconds: float = SECONDS,
) -> Iterator[Held]:
    """Hold a range for the length of the block. `wanted` makes the record that stands for the
    lease of the one that is there, or raises.

    The block ends the lease by writing a record in its place. Otherwise it is given up, so that
    the next one need not wait; the range is what it was if nothing was written.

    Raises:
        CommitConflict: somebody else holds the range.
    """
    mine, former, since = _take(control, table, id_range, wanted, seconds)
    heart = _Heart(control, mine, seconds, since)
    heart.start()
    try:
        yield Held(mine, former, heart.check)
    finally:
        heart.stop()
        _give_up(control, mine, None if heart.checked else former)


def _take(
    control: ControlTable,
    table: TableId,
    id_range: str,
    wanted: Callable[[RangeRecord | None], RangeRecord],
    seconds: float,
) -> tuple[RangeRecord, RangeRecord | None, float]:
    patience = time.monotonic() + 3 * seconds
    while True:
        former = control.read(table, id_range)
        if former is not None and former.state in _GIVEN_UP and not _is_dead(control, former, seconds):
            if time.monotonic() > patience:
                raise _busy(former)
            continue
        # Others count from when they see the record, which is after this.
        since = time.monotonic()
        try:
            return control.write(wanted(former), expecting=former, silent=True), former, since
        except CommitConflict:
            if since > patience:
                raise


def _is_dead(control: ControlTable, seen: RangeRecord, seconds: float) -> bool:
    """Whether the holder of `seen` gave no sign of life for the whole length of its lease; False
    when it gave the range back.

    Raises:
        CommitConflict: it is alive.
    """
    until, pause = time.monotonic() + seconds, 0.02
    while time.monotonic() < until:
        time.sleep(min(pause, seconds / 10))
        pause *= 1.5
        now = control.read(seen.table, seen.id_range)
        if now is None or now.version != seen.version:
            return False
        if now.beat != seen.beat:
            raise _busy(seen)
    return True


def _busy(seen: RangeRecord) -> CommitConflict:
    doing = "filled" if seen.state == "filling" else "brought forward"
    return CommitConflict(
        f"the range is being {doing} by another run", where=seen.where, fix="wait until it has ended"
    )


def _give_up(control: ControlTable, mine: RangeRecord, untouched: RangeRecord | None) -> None:
    """Say that nobody holds the range, unless something else stands there already. `untouched` is
    what was recorded before, if that still holds."""
    left = replace(mine, state=_GIVEN_UP[mine.state])
    if untouched is not None and untouched.state == "filled":
        left = untouched
    try:
        now = control.read(mine.table, mine.id_range)
        if now is not None and now.version == mine.version:
            control.write(left, expecting=now)
    except ReplicationError:
        # The failure that brought us here is the one to tell of; the lease ends by itself.
        return


class _Heart(threading.Thread):
    """Moves the beat of the record five times in the length of a lease."""

    def __init__(self, control: ControlTable, record: RangeRecord, seconds: float, since: float) -> None:
        super().__init__(name=f"lease of {record.where}", daemon=True)
        self._control = control
        self._record = record
        self._seconds = seconds
        self._ends = since + seconds * (1 - MARGIN)
        self._beat = record.beat
        self._stopping = threading.Event()
        self.checked = False
        """Whether anybody asked, and so may have written."""

    def run(self) -> None:
        while not self._stopping.wait(self._seconds / 5):
            sent = time.monotonic()
            try:
                # Another beat in any case: the last one may have arrived without an answer.
                self._beat += 1
                if not self._control.heartbeat(self._record, self._beat):
                    self._ends = 0.0
                    return
            except ReplicationError:
                continue  # tried again until the lease has ended
            self._ends = sent + self._seconds * (1 - MARGIN)

    def check(self) -> None:
        self.checked = True
        if time.monotonic() >= self._ends:
            raise CommitConflict(
                "the lease of the range may have ended: another run may be writing it",
                where=self._record.where,
                fix="run it again",
            )

    def stop(self) -> None:
        self._stopping.set()
        self.join()
