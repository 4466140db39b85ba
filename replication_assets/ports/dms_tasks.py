"""The port of a replication task of AWS DMS: asked for its state, and told to start, stop and reload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from replication_assets.core.dms_tasks import StartType, TableStatistics, TaskEvent, TaskState


class DmsTaskControl(Protocol):
    """One task. DMS holds all of its state: nothing is remembered here."""

    @property
    def where(self) -> str:
        """The task, in errors."""
        ...

    def state(self) -> TaskState:
        """As it is now.

        Raises:
            SourceNotReady: there is no such task, or we may not ask.
            SourceUnavailable: DMS does not answer.
        """
        ...

    def statistics(self) -> tuple[TableStatistics, ...]:
        """Of every table of the task."""
        ...

    def events(self, task: TaskState) -> tuple[TaskEvent, ...]:
        """What DMS noted of the task in the last 24 hours, the newest first."""
        ...

    def start(self, way: StartType) -> bool:
        """Ask DMS to start it; False if it says that the state does not allow that: somebody else was
        sooner. Of two that ask at once, DMS lets one."""
        ...

    def stop(self) -> bool:
        """Ask DMS to stop it; False if it does not run."""
        ...

    def reload(self, tables: Sequence[tuple[str, str]]) -> None:
        """Have some tables (schema and name) of a running task loaded anew.

        Raises:
            SourceNotReady: the task does not run, or does not load them.
        """
        ...
