"""Where in a source's change stream an event sits.

A position is `(epoch, commit, sequence)`, compared in that order and total per source.

* `epoch` (int32) rises when the source's log starts anew: a restore, a failover, a
  recreated slot. Without it a restored server's smaller log numbers would sort before
  what is already stored.
* `commit` (int64) is the place of the transaction's commit in the source's log; the
  encoding is the source adapter's (PostgreSQL: the LSN of the commit record).
* `sequence` (int64) orders the changes inside one commit, from 1. Rows of a load carry 0:
  at equal `commit` every change is newer than the load that preceded it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1

_TEXT = re.compile(r"([0-9a-f]{8})-([0-9a-f]{16})-([0-9a-f]{16})")


@dataclass(frozen=True, order=True, slots=True)
class Position:
    """One place in a source's change stream; see the module for the three parts."""

    epoch: int
    commit: int
    sequence: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.epoch <= INT32_MAX:
            raise ValueError(f"epoch {self.epoch} is outside int32")
        if not 0 <= self.commit <= INT64_MAX:
            raise ValueError(f"commit position {self.commit} is outside int64")
        if not 0 <= self.sequence <= INT64_MAX:
            raise ValueError(f"sequence {self.sequence} is outside int64")

    def __str__(self) -> str:
        return f"{self.epoch:08x}-{self.commit:016x}-{self.sequence:016x}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """The inverse of `str()`. The text form sorts as the position does.

        Raises:
            ValueError: the text is not of the form `str()` writes.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a position (epoch-commit-sequence in hex)")
        return cls(*(int(part, 16) for part in match.groups()))

    def end_of_commit(self) -> Position:
        """The greatest position of the same commit: everything in it sorts at or before this."""
        return Position(self.epoch, self.commit, INT64_MAX)
