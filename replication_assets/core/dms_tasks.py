"""A replication task of AWS DMS: what its states mean, and how it may be started from each.

DMS refuses a start that does not fit the state, and takes one that fits and is wrong: a first start
again would load nothing, a resume of a finished full load is refused, a reload of a task that captures
changes loads everything anew. So the way is chosen here, from what DMS itself says.

| status | run | reload |
|---|---|---|
| `ready` | `start-replication`: it never ran | the same |
| `stopped`, `failed` | `resume-processing`; `reload-target` if a full load alone ended | `reload-target` |
| `starting`, `running` | watched: it is never started twice | refused |
| `creating`, `modifying`, `moving`, `stopping`, `testing` | waited for | waited for |
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from replication_assets.errors import SourceNotReady

TaskAction: TypeAlias = Literal["run", "reload", "stop"]
ACTIONS: tuple[TaskAction, ...] = get_args(TaskAction)
StartType: TypeAlias = Literal["start-replication", "resume-processing", "reload-target"]

STARTED = frozenset({"starting", "running"})
ENDED = frozenset({"stopped", "failed"})
PASSING = frozenset({"creating", "modifying", "moving", "stopping", "testing"})
"""States that end by themselves."""

COMPLETE = frozenset(
    {
        "FULL_LOAD_ONLY_FINISHED",
        "STOPPED_AFTER_FULL_LOAD",
        "STOPPED_AFTER_CACHED_EVENTS",
        "STOPPED_AT_SERVER_TIME",
        "STOPPED_AT_COMMIT_TIME",
    }
)
"""Reasons of a task that did all that it was to do. Others, and none, do not say so."""

REASONS = COMPLETE | {
    "NORMAL",
    "RECOVERABLE_ERROR",
    "FATAL_ERROR",
    "STOPPED_AFTER_DDL_APPLY",
    "STOPPED_DUE_TO_LOW_MEMORY",
    "STOPPED_DUE_TO_LOW_DISK",
}
FAILED_TABLES = frozenset({"Table error", "Table cancelled", "Table does not exist"})


@dataclass(frozen=True, slots=True)
class TaskState:
    """What DMS says of a task. `migration` is its type; `stop_reason` the one of `REASONS` that its own
    words hold, `loaded_percent` of its full load, `identifier` its name. Messages of failures are
    not kept: they may quote data."""

    status: str
    migration: str
    stop_reason: str | None = None
    loaded_percent: int = 0
    tables_errored: int = 0
    started_at: dt.datetime | None = None
    stopped_at: dt.datetime | None = None
    load_finished_at: dt.datetime | None = None
    identifier: str = ""

    @property
    def captures(self) -> bool:
        """Whether it goes on with changes."""
        return self.migration != "full-load"

    @property
    def is_complete(self) -> bool:
        """All that it was to do is done: what it wrote is whole."""
        return self.status == "stopped" and self.stop_reason in COMPLETE

    @property
    def is_loaded(self) -> bool:
        """It runs, its full load is done, and changes follow."""
        done = self.migration == "cdc" or self.loaded_percent >= 100
        return self.status == "running" and self.captures and done

    @property
    def completion(self) -> str | None:
        """Names what was completed last, the same each time it is asked: a full load, or all of it."""
        if self.is_complete:
            return f"complete {self.stopped_at or self.started_at}"
        if self.is_loaded and self.migration != "cdc" and self.load_finished_at is not None:
            return f"loaded {self.load_finished_at}"
        return None


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Something that DMS noted of a task: when, and of which kinds (`state change`, `failure`). Its words are
    not kept, as those of failures are not."""

    at: dt.datetime
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """Counts of one table, as DMS gives them."""

    schema: str
    table: str
    state: str
    loaded: int
    inserts: int
    updates: int
    deletes: int
    ddls: int
    load_errors: int
    validation: str

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.table}"


def stop_reason_of(text: str | None) -> str | None:
    """The reason in DMS's words (`Stop Reason FULL_LOAD_ONLY_FINISHED`), None for words that are not
    known."""
    words = (text or "").replace(",", " ").split()
    return next((word for word in words if word in REASONS), None)


def way_to_start(state: TaskState, action: TaskAction, where: str) -> StartType | None:
    """How DMS is to be asked to start the task; None where it runs already.

    Raises:
        SourceNotReady: it cannot be started from its state, or not in this way.
    """
    if state.status in STARTED:
        if action == "reload":
            raise SourceNotReady(
                "the task runs, and a reload would begin it anew",
                where=where,
                fix="stop it before, or name tables",
            )
        return None
    if action == "reload" and state.migration == "cdc":
        raise SourceNotReady("the task captures changes only: there is nothing to load", where=where)
    if state.status == "ready":
        return "start-replication"
    if state.status in ENDED:
        again = not state.captures and state.stop_reason == "FULL_LOAD_ONLY_FINISHED"
        return "reload-target" if action == "reload" or again else "resume-processing"
    raise SourceNotReady(
        f"a task that is {state.status} cannot be started",
        where=where,
        fix="look at it in the console of DMS",
    )


def failed_tables(statistics: tuple[TableStatistics, ...]) -> tuple[str, ...]:
    """Tables that DMS gave up, while it calls the task finished."""
    return tuple(each.name for each in statistics if each.state in FAILED_TABLES)
