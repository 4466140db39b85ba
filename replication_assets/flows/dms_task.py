"""Runs a replication task of AWS DMS: starts it in the way that its state asks for, and watches it.

DMS holds the state, so a run that died leaves nothing behind: the next one finds the task as it is, and
watches it. Of two that start it at once DMS refuses one, which then watches what the other started.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from replication_assets.core.dms_tasks import (
    ENDED,
    PASSING,
    STARTED,
    StartType,
    TableStatistics,
    TaskAction,
    TaskEvent,
    TaskState,
    failed_tables,
    way_to_start,
)
from replication_assets.errors import SourceError, SourceNotReady
from replication_assets.ports.dms_tasks import DmsTaskControl

Wait = Callable[[], None]
"""Waits for a moment; what it raises ends the watching, and leaves the task as it is."""
Told = Callable[[TaskState], None]
"""Called with each state that is seen."""


@dataclass(frozen=True, slots=True)
class TaskReceipt:
    """How a task was left. `started` is None where it ran already, or was not to be started."""

    started: StartType | None
    state: TaskState
    statistics: tuple[TableStatistics, ...]
    events: tuple[TaskEvent, ...]


def act(
    control: DmsTaskControl,
    action: TaskAction,
    *,
    tables: Sequence[tuple[str, str]] = (),
    wait: Wait,
    told: Told = lambda _: None,
) -> TaskReceipt:
    """Run the task to where it needs nobody: its end, or changes that follow a finished full load. Or
    load some `tables` of it anew while it runs; or stop it.

    Raises:
        SourceNotReady: the state does not allow it.
        SourceError: the task failed, or DMS gave up some of its tables.
    """
    if action == "stop":
        return _stopped(control, wait, told)
    if tables:
        if action != "reload":
            raise SourceNotReady(
                "tables are named and not to be reloaded", where=control.where, fix="action: reload"
            )
        control.reload(tables)
        return _receipt(control, None, control.state())
    started = _started(control, action, wait, told)
    return _watched(control, started, wait, told)


def _settled(control: DmsTaskControl, wait: Wait, told: Told) -> TaskState:
    """The state, once it is not one that passes."""
    while (state := control.state()).status in PASSING:
        told(state)
        wait()
    told(state)
    return state


def _started(control: DmsTaskControl, action: TaskAction, wait: Wait, told: Told) -> StartType | None:
    way = way_to_start(_settled(control, wait, told), action, control.where)
    if way is None or control.start(way):
        return way
    now = _settled(control, wait, told)
    if now.status in STARTED and action == "run":
        return None
    raise SourceNotReady(
        f"DMS does not let a task be started that is {now.status}",
        where=control.where,
        fix="somebody else acts on it; look at it, and run it again",
    )


def _watched(control: DmsTaskControl, started: StartType | None, wait: Wait, told: Told) -> TaskReceipt:
    while True:
        state = _settled(control, wait, told)
        if state.status in ENDED or state.is_loaded:
            break
        if state.status not in STARTED:
            raise SourceError(f"the task is {state.status}", where=control.where, fix="see DMS's console")
        wait()
    statistics = control.statistics()
    if state.status in ENDED and not state.is_complete:
        reason = state.stop_reason or "a reason that DMS does not tell"
        raise SourceError(
            f"the task {state.status} for {reason}, and is not complete",
            where=control.where,
            fix="see its log; a run goes on from where it stopped",
        )
    lost = failed_tables(statistics)
    if lost or state.tables_errored:
        names = ", ".join(lost) or f"{state.tables_errored} tables"
        raise SourceError(
            f"DMS gave up {names}",
            where=control.where,
            fix="see the task's log, mend the cause, and reload them",
        )
    return TaskReceipt(started, state, statistics, control.events(state))


def _stopped(control: DmsTaskControl, wait: Wait, told: Told) -> TaskReceipt:
    if _settled(control, wait, told).status in STARTED:
        control.stop()
    while (state := _settled(control, wait, told)).status in STARTED:
        wait()
    return _receipt(control, None, state)


def _receipt(control: DmsTaskControl, started: StartType | None, state: TaskState) -> TaskReceipt:
    return TaskReceipt(started, state, control.statistics(), control.events(state))
