"""How a task of DMS may be started is chosen from what DMS says of it, and nothing is guessed."""

from __future__ import annotations

import datetime as dt

import pytest

from replication_assets.core.dms_tasks import (
    COMPLETE,
    REASONS,
    TaskAction,
    TaskState,
    stop_reason_of,
    way_to_start,
)
from replication_assets.errors import SourceNotReady

NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("status", "migration", "reason", "action", "way"),
    [
        ("ready", "full-load", None, "run", "start-replication"),
        ("ready", "full-load-and-cdc", None, "reload", "start-replication"),
        ("stopped", "full-load", "FULL_LOAD_ONLY_FINISHED", "run", "reload-target"),
        ("stopped", "full-load", "NORMAL", "run", "resume-processing"),
        ("stopped", "full-load-and-cdc", "NORMAL", "run", "resume-processing"),
        ("stopped", "full-load-and-cdc", "NORMAL", "reload", "reload-target"),
        ("failed", "cdc", "RECOVERABLE_ERROR", "run", "resume-processing"),
        ("running", "cdc", None, "run", None),
        ("starting", "full-load", None, "run", None),
    ],
)
def test_the_way_to_start_follows_from_the_state(
    status: str, migration: str, reason: str | None, action: TaskAction, way: str | None
) -> None:
    assert way_to_start(TaskState(status, migration, reason), action, "task") == way


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (TaskState("running", "full-load"), "reload"),
        (TaskState("stopped", "cdc"), "reload"),
        (TaskState("deleting", "full-load"), "run"),
        (TaskState("failed-move", "full-load"), "run"),
        (TaskState("something new", "full-load"), "run"),
    ],
)
def test_what_does_not_fit_the_state_is_refused(state: TaskState, action: TaskAction) -> None:
    with pytest.raises(SourceNotReady, match="task: "):
        way_to_start(state, action, "task")


def test_only_a_known_reason_says_that_a_task_is_complete() -> None:
    complete = {
        reason for reason in (*REASONS, None) if TaskState("stopped", "full-load", reason).is_complete
    }
    assert complete == COMPLETE
    assert stop_reason_of("Stop Reason FULL_LOAD_ONLY_FINISHED") == "FULL_LOAD_ONLY_FINISHED"
    assert stop_reason_of("Stop Reason SOMETHING_NEW") is None
    assert stop_reason_of(None) is None


def test_a_completion_is_named_the_same_each_time_and_another_one_otherwise() -> None:
    done = TaskState("stopped", "full-load", "FULL_LOAD_ONLY_FINISHED", 100, stopped_at=NOON)
    later = TaskState(
        "stopped", "full-load", "FULL_LOAD_ONLY_FINISHED", 100, stopped_at=NOON.replace(hour=13)
    )
    loaded = TaskState("running", "full-load-and-cdc", None, 100, load_finished_at=NOON)
    loading = TaskState("running", "full-load-and-cdc", None, 99)
    names = [done.completion, later.completion, loaded.completion]
    assert None not in names
    assert len(set(names)) == 3
    assert loading.completion is None
    assert TaskState("stopped", "full-load", "NORMAL", 100, stopped_at=NOON).completion is None
