"""The port of a topic's offset journal: which offsets belong to which commit position.

A topic has one offset for each partition, and a position has one number. So a capture of topics cuts
what it reads into blocks, and tells each block's end here *before* any of it is committed to a table.
A capture that died between the commits of two tables reads the same blocks again, with the same
positions, and each table drops what it has: exactly once, whatever the broker's own groups say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """Where a block ends: the next offset of every partition of every topic, by the partition's
    number. `commit` is their sum, so it rises with every message. `tables` are captured by then.
    `start` is the commit position at which the capture began."""

    commit: int
    offsets: Mapping[str, tuple[int, ...]]
    tables: tuple[str, ...]
    start: int


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A message that could not be understood, as it stood in the topic: the dead letter of a source.
    Never shown as a whole: `key` and `value` hold what the producer wrote."""

    topic: str
    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None

    def __repr__(self) -> str:
        return f"RefusedMessage({self.topic!r}, {self.partition}, {self.offset}, {self.reason!r})"


class OffsetJournal(Protocol):
    """The journal of one source. Append-only."""

    def last(self) -> BlockEnd | None:
        """The newest block's end; None before the first, and after `close`."""
        ...

    def since(self, commit: int) -> tuple[BlockEnd, ...]:
        """The newest end at `commit`, and the ends after it; empty if none is at `commit`."""
        ...

    def append(self, end: BlockEnd) -> None:
        """Durable when it returns.

        Raises:
            CommitConflict: somebody else told an end since this journal was read.
        """
        ...

    def close(self) -> None:
        """What was told so far belongs to a capture that is over. Idempotent."""
        ...

    def refuse(self, messages: Sequence[RefusedMessage]) -> None:
        """Keep them. Durable when it returns; a message that is told twice is kept once."""
        ...

    def refused(self) -> tuple[RefusedMessage, ...]:
        """Every message that was refused, oldest first."""
        ...
