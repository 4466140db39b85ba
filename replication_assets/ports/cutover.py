"""The ports of a cutover: what points readers elsewhere, and the record of its attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from replication_assets.core.cutover import CutoverFact, CutoverHistory

Direction: TypeAlias = Literal["switch", "back"]


@dataclass(frozen=True, slots=True)
class HookCall:
    """What a hook is told.

    `switch` points readers at `projection`, `back` points them at the sources again. A hook is
    called at most once for each `attempt` and `direction`; after a process was killed, another
    attempt may call it again, so that it must bear to find its work done. `positions` is the
    last position of each source that the projection holds, as text.
    """

    cutover: str
    direction: Direction
    attempt: str
    projection: str
    tables: tuple[str, ...]
    positions: Mapping[str, str] = field(default_factory=dict, hash=False)


class SwitchHook(Protocol):
    """Points readers at one side."""

    @property
    def where(self) -> str:
        """What is called, for errors and logs, without any secret part of it."""
        ...

    def call(self, call: HookCall) -> None:
        """Returns when readers are there.

        Raises:
            HookFailed: it said no, or did not answer; readers may be on either side.
            SecretError: the address cannot be resolved.
        """
        ...


class CutoverLog(Protocol):
    """The facts of one cutover. Append-only."""

    def history(self) -> CutoverHistory: ...

    def append(self, fact: CutoverFact, after: int) -> None:
        """Durable when it returns.

        Raises:
            CommitConflict: the log no longer holds exactly `after` facts: somebody else runs,
                or ran, the same cutover.
        """
        ...
