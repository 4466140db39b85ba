"""The port of a topic that follows the event store, and of the journal that makes each message stand once.

A step is some messages of one table, and a pure function of its line in the journal and of the store.
The line is told *before* any of them is sent. Whoever comes after a crash makes the messages of the last
line again, asks the topic how far each partition got, and sends the rest: with the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from replication_assets.core.positions import Position


@dataclass(frozen=True, slots=True)
class Published:
    """One id range in a topic: the ids of the loads that its rows come from, and how far it is ahead of
    its table: changes up to `floor` are in the rows of its load."""

    loads: tuple[str, ...]
    floor: Position | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a topic stood: which topic it is, and the next offset of each partition. A topic whose ends
    cannot be asked for has one partition here, and `at`, its own time then in ms since 1970."""

    topic_id: str
    offsets: tuple[int, ...]
    at: int | None = None


@dataclass(frozen=True, slots=True)
class TopicStep:
    """One line. `changes` after `start` up to `end`, or the `load` of `id_range` as of `end`, of rows that
    `former` loads had given it before.

    `stream` names all messages of a table from one beginning on, `first` is the number of the step's first
    one; the topic stood at `place` before. `chapter` is that of the log. `ranges` are in the topic after
    the step, up to `reached`. `declared` is a hash of what made messages of events then; None in lines
    that were told before there was one.
    """

    kind: Literal["changes", "load"]
    chapter: int
    stream: str
    first: int
    topic: str
    place: Place
    start: Position | None
    end: Position
    ranges: Mapping[str, Published]
    id_range: str | None = None
    former: tuple[str, ...] = ()
    declared: str | None = None

    @property
    def reached(self) -> Position:
        """How far all ranges are in the topic after the step. A load takes none of them further."""
        return self.end if self.kind == "changes" or self.start is None else self.start

    @property
    def is_mark(self) -> bool:
        """Whether it has no messages, and says that all before it stand."""
        return self.kind == "changes" and self.start == self.end


class TopicJournal(Protocol):
    """The steps of one table of one projection. One instance belongs to one publisher."""

    def last(self) -> TopicStep | None:
        """None before the first."""
        ...

    def append(self, step: TopicStep) -> None:
        """Durable when it returns.

        Raises:
            CommitConflict: another publisher told a step since this journal was read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message, with its place in its stream. Without a value it is a tombstone, and has the number of
    the delete before it. What is to be read `everywhere` comes after all before it, and before all after
    it, wherever those are read."""

    key: bytes
    value: bytes | None
    partition: int
    number: int
    position: Position
    everywhere: bool = False

    def __repr__(self) -> str:
        return f"Outgoing({self.partition}, {self.number}, {self.position})"


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What stands of a stream: all up to the `greatest` number of each partition, or where a topic keeps the
    order of each key alone, the `numbers` that were found (int64, rising)."""

    greatest: Mapping[int, int] = field(default_factory=dict)
    numbers: np.ndarray | None = None

    def has(self, message: Outgoing) -> bool:
        """A tombstone may be missing where its delete was the last that stands."""
        last = self.greatest.get(message.partition, 0)
        if self.numbers is None:
            return message.number < last or (message.number == last and message.value is not None)
        if message.everywhere:
            # It may stand in a part of the topic only, unless something was sent after it.
            return message.number < last
        at = int(np.searchsorted(self.numbers, message.number))
        return at < len(self.numbers) and int(self.numbers[at]) == message.number


class Topic(Protocol):
    """One topic of a cluster, as the publisher of one table uses it. One thread."""

    @property
    def name(self) -> str: ...

    @property
    def forgets(self) -> bool:
        """Whether what stands may soon be gone, so that it is to be kept elsewhere that a step is whole."""
        ...

    def fits(self, message: Outgoing) -> bool:
        """Whether it is no larger than the brokers are said to take."""
        ...

    def place(self, *, make: bool = False) -> Place:
        """Where it stands now; nowhere, without partitions, if it is not there and is to be made when it is
        written to. With `make` it is made then.

        Raises:
            TargetError: there is no such topic.
        """
        ...

    def reached(self, stream: str, table: str, since: Place) -> Standing:
        """What stands of the stream, of messages after `since`."""
        ...

    def send(self, stream: str, table: str, messages: Sequence[Outgoing]) -> frozenset[int]:
        """Append them, at least each key's in their order; all stand when it returns, but for those that
        are larger than the broker takes: their places in `messages` are returned.

        Raises:
            TargetUnavailable: the brokers did not take them for long. Some may stand.
            TargetError: the brokers refuse us.
        """
        ...
