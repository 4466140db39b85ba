"""Owns the lease of a range: one filler at a time, and none that writes after it lost its own.

A fill writes without conditions, or writes again what stands there at the same position, so
two of them must not run at once. The lease is a record in state `filling` whose `beat` moves.
Nobody compares clocks: who finds the range being filled watches the beat for `seconds` by its
own monotonic clock, and takes over only if it stood still. The filler for its part stops
`MARGIN` before that time has passed since its last heartbeat was sent, so that its last
requests have arrived before anybody else begins.

Refused: waiting for a filler that is alive. It may take hours, and does the same work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from replication_assets.core.schema import TableId
from replication_assets.errors import CommitConflict, ReplicationError
from replication_assets.targets.dynamodb.control import ControlTable, RangeRecord

SECONDS = 20.0
"""How long a range whose filler died is left alone."""

MARGIN = 0.4
"""Share of the lease that stays free for requests that are on their way."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease: the record that stands for it, the one that it replaced, and a `check` to be
    called before every write, which raises CommitConflict when the lease may have ended."""

    record: RangeRecord
    former: RangeRecord | None
    check: Callable[[], None]


@contextmanager
def filling(
    control: ControlTable, table: TableId, id_range: str, instance: str, *, seconds: float = SECONDS
) -> Iterator[Held]:
    """Hold the lease of a range for the length of the block.

    The block ends the lease by writing a record in its place. Otherwise it is given up, so that
    the next filler need not wait.

    Raises:
        CommitConflict: somebody else is filling the range.
    """
    former = control.read(table, id_range)
    if former is not None and former.state == "filling":
        _require_dead(control, former, seconds)
    # Others count from when they see the record, which is after this.
    since = time.monotonic()
    wanted = RangeRecord(table, id_range, "", "filling", instance)
    mine = control.write(wanted, expecting=former, silent=True)
    heart = _Heart(control, mine, seconds, since)
    heart.start()
    try:
        yield Held(mine, former, heart.check)
    finally:
        heart.stop()
        _give_up(control, mine)


def _require_dead(control: ControlTable, seen: RangeRecord, seconds: float) -> None:
    """Return when the filler of `seen` gave no sign of life for the whole length of its lease."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(min(seconds / 10, 0.5))
        if control.read(seen.table, seen.id_range) != seen:
            raise CommitConflict(
                "the range is being filled by another run",
                where=seen.where,
                fix="wait until it has ended",
            )


def _give_up(control: ControlTable, mine: RangeRecord) -> None:
    """Say that the fill ended without a checkpoint, unless something else stands there already."""
    try:
        now = control.read(mine.table, mine.id_range)
        if now is not None and now.version == mine.version:
            control.write(replace(now, state="unfinished"), expecting=now)
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
        if time.monotonic() >= self._ends:
            raise CommitConflict(
                "the lease of the range may have ended: another run may be filling it",
                where=self._record.where,
                fix="run it again",
            )

    def stop(self) -> None:
        self._stopping.set()
        self.join()
