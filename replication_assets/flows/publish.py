"""Publish: the events of one table in a topic, each once, in the order of their commits.

A topic takes events and not rows: it is brought forward by steps (`ports.topics`), each told in a journal
before its messages are sent. An id range begins with its rows as of its load; changes after that follow
one by one. A range that is loaded again is told whole, and the keys that are gone are deleted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import pyarrow as pa

from replication_assets.core.baseline import Baseline
from replication_assets.core.controls import Controls
from replication_assets.core.events import COMMIT_POSITION, EPOCH, SEQUENCE
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.declarations import TopicProjection
from replication_assets.errors import NotLoaded, TargetError
from replication_assets.failpoints import reach
from replication_assets.flows.publish_events import load_ids, loaded_from, table_events, waiting_positions
from replication_assets.flows.publish_messages import StepSender, message_form
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refusals import Handling
from replication_assets.ports import EventStore, LogSnapshot
from replication_assets.ports.topics import Place, Published, Standing, Topic, TopicJournal, TopicStep

STEP_EVENTS = 20_000
"""Events of a step of changes; they are in memory at once."""
NOT_SET_UP = "(not set up)"
"""Stands for the id ranges of a table that has no log yet."""
PLACE_SECONDS = 10.0
"""How old what is known of the topic's partitions and ends may be."""


@dataclass(frozen=True, slots=True)
class PublishReceipt:
    """What was sent of one table: so many messages, up to `position`. `waiting` id ranges have no load."""

    table: TableId
    messages: int
    position: Position | None
    ranges: int
    waiting: tuple[str, ...]
    refused: int
    seconds: float

    def after(self, earlier: PublishReceipt | None) -> PublishReceipt:
        """Both together, as one."""
        if earlier is None:
            return self
        return replace(
            self,
            messages=earlier.messages + self.messages,
            refused=earlier.refused + self.refused,
            seconds=earlier.seconds + self.seconds,
        )


@dataclass
class Publisher:
    """Publishes one table of a projection. One thread; whoever publishes often keeps it, since a new one
    asks the topic what stands of the last step."""

    projection: str
    table: TableId
    store: EventStore
    topic: Topic
    sender: StepSender
    _journal: TopicJournal | None = field(default=None, repr=False)
    _step: TopicStep | None = field(default=None, repr=False)
    _number: int = 1
    _stream: str = ""
    _place: Place | None = field(default=None, repr=False)
    _asked: float = 0.0

    def publish(self, *, rebuild: bool = False) -> PublishReceipt:
        """Bring the topic up to the store; with `rebuild`, tell every row again under a new stream.

        Raises:
            NeedsReload: rows changed unseen at the source; load the ranges again.
            TableSuspended: messages were refused before, and nobody resumed the table yet.
            CommitConflict: another publisher of the table is at work.
            TargetError, TargetUnavailable: the topic is another one, or does not take messages.
        """
        started, sender = time.monotonic(), self.sender
        sender.sent = sender.refused = 0
        sender.handling.require_running()
        try:
            waiting = self._publish(rebuild)
        except BaseException:
            # What stands of the step in hand is not known any more.
            self._journal = self._place = None
            raise
        step = self._step
        return PublishReceipt(
            self.table,
            sender.sent,
            None if step is None else step.reached,
            0 if step is None else len(step.ranges),
            waiting,
            sender.refused,
            time.monotonic() - started,
        )

    def _publish(self, rebuild: bool) -> tuple[str, ...]:
        # The mark before the snapshot: everything up to it is in the snapshot then.
        mark = self.store.ledger(self.table.source).last()
        log = self.store.log(self.table)
        if not log.exists():
            return (NOT_SET_UP,)
        snapshot = log.snapshot()
        self._require_key(snapshot)
        if self._journal is None or rebuild:
            self._resume(rebuild)
        if self._step is not None and self._step.chapter != log.chapter:
            raise TargetError(
                "a column changed to a type that its log could not hold, and a new chapter of it began",
                where=f"{self.projection} {self.table}",
                fix=f"load its id ranges, and tell them anew: replication-assets project {self.projection}"
                f" {self.table} --rebuild",
            )
        ends = [snapshot.captured, Position(mark.epoch, mark.commit).end_of_commit() if mark else None]
        end = max((each for each in ends if each is not None), default=None)
        return self._bring_up(snapshot, log.chapter, end)

    def _require_key(self, snapshot: LogSnapshot) -> None:
        if not snapshot.schema.key:
            raise TargetError(
                "the table has no key, which its messages would be ordered by",
                where=f"{self.projection} {self.table}",
                fix="declare one: Table(..., key=[...]), or leave the table out of the projection",
            )

    # --- after a crash ---------------------------------------------------------------------

    def _resume(self, rebuild: bool) -> None:
        """Go on after the last step that was told, once all its messages stand."""
        journal = self.store.topic_journal(self.projection, self.table)
        step = journal.last()
        if step is None:
            self._stream, self._number, self._step = f"{self.projection}/1", 1, None
        elif rebuild:
            beginnings = int(step.stream.rpartition("/")[2])
            self._stream, self._number, self._step = f"{self.projection}/{beginnings + 1}", 1, None
        else:
            self._require_same_topic(step, self.topic.place(make=True))
            self._stream, self._step = step.stream, step
            self._number = step.first if step.is_mark else self._complete(step)
            if self.topic.forgets and not step.is_mark:
                self._mark(journal, step)
        self._journal = journal

    def _complete(self, step: TopicStep) -> int:
        """Send what the topic lacks of the step; the number after it."""
        snapshot = self.store.log(self.table, step.chapter).snapshot()
        stands = self.topic.reached(step.stream, str(self.table), step.place)
        made = self.sender.send(snapshot, step, stands)
        # Another declaration may have made more messages of the step: their numbers are taken.
        return max([made, *(number + 1 for number in stands.greatest.values())])

    def _mark(self, journal: TopicJournal, step: TopicStep) -> None:
        """Tell a step without messages: what stands of the one before need not be looked up any more."""
        at = step.reached
        self._step = self._new_step("changes", step.chapter, at, at, step.ranges)
        journal.append(self._step)

    def _require_same_topic(self, step: TopicStep, now: Place) -> None:
        then = step.place
        shorter = any(a < b for a, b in zip(now.offsets, then.offsets, strict=False))
        if (
            step.topic == self.topic.name
            and now.topic_id == then.topic_id
            and len(now.offsets) >= len(then.offsets)
            and not shorter
        ):
            return
        raise TargetError(
            f"topic {self.topic.name} is not the one that was written to: it was made anew, or lost messages",
            where=f"{self.projection} {self.table}",
            fix=f"tell every row again: replication-assets project {self.projection} {self.table} --rebuild",
        )

    # --- steps -----------------------------------------------------------------------------

    def _bring_up(self, snapshot: LogSnapshot, chapter: int, end: Position | None) -> tuple[str, ...]:
        controls = snapshot.controls()
        while True:
            pending, waiting = self._pending(snapshot, controls, end)
            if pending:
                self._take(snapshot, self._load_step(pending[0], chapter))
            elif not self._follow(snapshot, controls, chapter, end):
                return waiting

    def _pending(
        self, snapshot: LogSnapshot, controls: Controls, end: Position | None
    ) -> tuple[list[tuple[Position, str, Baseline]], tuple[str, ...]]:
        """Ranges whose loads the topic does not have, the oldest first; and those that have none."""
        found: list[tuple[Position, str, Baseline]] = []
        waiting = []
        for id_range in ranges_of(snapshot):
            try:
                baseline = loaded_from(controls, id_range, str(self.table))
            except NotLoaded:
                waiting.append(id_range.key)
                continue
            known = self._ranges.get(id_range.key)
            if known is not None and known.loads == load_ids(baseline):
                continue
            if baseline.dated and (end is None or baseline.newest > end):
                # Changes of other dates up to there are not captured yet.
                waiting.append(id_range.key)
                continue
            found.append((baseline.newest, id_range.key, baseline))
        return sorted(found, key=lambda each: each[:2]), tuple(waiting)

    @property
    def _ranges(self) -> Mapping[str, Published]:
        return self._step.ranges if self._step is not None else {}

    def _load_step(self, pending: tuple[Position, str, Baseline], chapter: int) -> TopicStep:
        newest, key, baseline = pending
        start = self._step.reached if self._step is not None else None
        at = newest if start is None else max(start, newest)
        before = self._ranges.get(key)
        floor = at if start is not None and at > start else None
        ranges = {**self._ranges, key: Published(load_ids(baseline), floor)}
        former = before.loads if before is not None else ()
        return self._new_step("load", chapter, start, at, ranges, key, former)

    def _new_step(
        self,
        kind: Literal["changes", "load"],
        chapter: int,
        start: Position | None,
        end: Position,
        ranges: Mapping[str, Published],
        id_range: str | None = None,
        former: tuple[str, ...] = (),
    ) -> TopicStep:
        place, name = self._place_now(), self.topic.name
        return TopicStep(
            kind,
            chapter,
            self._stream,
            self._number,
            name,
            place,
            start,
            end,
            ranges,
            id_range,
            former,
            self.sender.declared,
        )

    def _place_now(self) -> Place:
        """Where the topic stands, or stood a while ago: a publisher that comes after us reads on from
        there."""
        if self._place is None or time.monotonic() - self._asked > PLACE_SECONDS:
            self._place, self._asked = self.topic.place(make=True), time.monotonic()
            if self._step is not None:
                self._require_same_topic(self._step, self._place)
        return self._place

    def _follow(self, snapshot: LogSnapshot, controls: Controls, chapter: int, end: Position | None) -> bool:
        """Changes after what the topic has; False if there are none."""
        if self._step is None or end is None or end <= self._step.reached:
            return False
        start = self._step.reached
        positions = waiting_positions(snapshot, self._ranges, start, end)
        of_table = [each.position for each in table_events(snapshot, controls, start, end)]
        if not positions.num_rows and not of_table:
            return False
        cuts = [_position(positions, at) for at in range(STEP_EVENTS - 1, positions.num_rows, STEP_EVENTS)]
        for upto in [*(cut for cut in cuts if cut < end), end]:
            ahead = self._emptied_ahead(controls, upto)
            self._take(snapshot, self._changes_step(chapter, upto, ahead))
            if ahead is not None:
                break
        return True

    def _emptied_ahead(self, controls: Controls, upto: Position) -> Position | None:
        """The first truncate of the step that a range is ahead of."""
        assert self._step is not None
        floors = [each.floor for each in self._ranges.values() if each.floor is not None]
        start = self._step.reached
        found = [each.position for each in controls.truncates if start < each.position <= upto]
        return min((each for each in found if any(each < floor for floor in floors)), default=None)

    def _changes_step(self, chapter: int, upto: Position, ahead: Position | None) -> TopicStep:
        """Up to a truncate where some range is `ahead` of it: its load was told before, and is told again.
        The step has no changes of such a range."""
        assert self._step is not None
        end, ranges = upto if ahead is None else ahead, self._ranges
        if ahead is not None:
            ranges = {key: each for key, each in ranges.items() if each.floor is None or each.floor <= end}
        return self._new_step("changes", chapter, self._step.reached, end, ranges)

    def _take(self, snapshot: LogSnapshot, step: TopicStep) -> None:
        assert self._journal is not None
        if self.sender.refused:
            # What was refused a moment ago may have suspended the table.
            self.sender.handling.require_running()
        self._journal.append(step)
        reach("topic.told")
        self._number = self.sender.send(snapshot, step, Standing())
        self._step = step


def _position(rows: pa.Table, at: int) -> Position:
    return Position(*(rows[name][at].as_py() for name in (EPOCH, COMMIT_POSITION, SEQUENCE)))


class TopicAdapters(Protocol):
    """Where the adapters of a catalog come from (`replication.Replication`)."""

    def store(self) -> EventStore: ...
    def topic(self, projection: TopicProjection, table: TableId) -> Topic: ...


def letters_of(store: EventStore, projection: TopicProjection, table: TableId) -> Handling:
    """What becomes of messages that are too large."""
    letters = store.dead_letters(projection.name, table)
    return Handling(letters, projection.refusals, f"{projection.name} {table}")


def publisher(adapters: TopicAdapters, projection: TopicProjection, table: TableId) -> Publisher:
    """A publisher of one table, which connects when it is first used."""
    store = adapters.store()
    topic, handling = adapters.topic(projection, table), letters_of(store, projection, table)
    shape = next((each for each in projection.shapes if each.table == str(table)), None)
    form = message_form(projection, table)
    sender = StepSender(projection.name, table, topic, form, handling, shape)
    return Publisher(projection.name, table, store, topic, sender)
