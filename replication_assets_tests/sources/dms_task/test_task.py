"""A task of DMS is started once and in the way that fits, watched, stopped, and told apart when it fails."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from replication_assets.errors import SourceError, SourceNotReady, SourceUnavailable
from replication_assets.flows.dms_task import act
from replication_assets.secret_references import EnvVar
from replication_assets.sources.dms_task.control import Boto3DmsTask
from replication_assets_tests.dms_servers import DmsServer, running_dms
from replication_assets_tests.dynamodb_servers import DynamoDbServer


@pytest.fixture
def dms(moto_dynamodb: DynamoDbServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[DmsServer]:
    monkeypatch.setenv("TEST_AWS_KEY", moto_dynamodb.access_key)
    monkeypatch.setenv("TEST_AWS_SECRET", moto_dynamodb.secret_key)
    with running_dms(moto_dynamodb) as server:
        yield server


def control(dms: DmsServer, arn: str) -> Boto3DmsTask:
    return Boto3DmsTask(arn, dms.endpoint_url, EnvVar("TEST_AWS_KEY"), EnvVar("TEST_AWS_SECRET"))


def never() -> None:
    raise AssertionError("it waits")


def once(step: Callable[[], None]) -> Callable[[], None]:
    """A wait in which something happens, once."""
    steps = [step]
    return lambda: steps.pop()() if steps else never()


def statistics(state: str = "Table completed") -> list[dict[str, object]]:
    row = {"SchemaName": "shop", "TableName": "widgets", "Inserts": 3, "Updates": 2, "Deletes": 1}
    return [row | {"FullLoadRows": 1000, "TableState": state}]


def test_a_new_task_is_started_and_watched_until_changes_follow_its_load(dms: DmsServer) -> None:
    arn = dms.task()
    dms.statistics[arn] = statistics()
    receipt = act(control(dms, arn), "run", wait=never)
    assert (receipt.started, receipt.state.status) == ("start-replication", "running")
    (table,) = receipt.statistics
    assert (table.name, table.loaded, table.inserts, table.updates, table.deletes) == (
        "shop.widgets",
        1000,
        3,
        2,
        1,
    )
    assert act(control(dms, arn), "run", wait=never).started is None
    assert dms.starts() == ["start-replication"]


def test_events_are_told_with_their_kind_and_never_with_their_words(dms: DmsServer) -> None:
    arn = dms.task()
    name = control(dms, arn).state().identifier
    dms.events[name] = [
        {"Date": 1_700_000_000.0, "EventCategories": ["state change"], "Message": "started"},
        {"Date": 1_700_000_060.0, "EventCategories": ["failure"], "Message": "row ('Ann') failed"},
    ]
    receipt = act(control(dms, arn), "run", wait=never)
    newest, oldest = receipt.events
    assert (newest.categories, oldest.categories) == (("failure",), ("state change",))
    assert newest.at == dt.datetime(2023, 11, 14, 22, 14, 20, tzinfo=dt.UTC)
    assert "Ann" not in repr(receipt)


def test_a_full_load_is_watched_to_its_end_and_loads_anew_the_next_time(dms: DmsServer) -> None:
    arn = dms.task("full-load")
    receipt = act(control(dms, arn), "run", wait=once(lambda: dms.end(arn, "FULL_LOAD_ONLY_FINISHED")))
    assert (receipt.state.is_complete, receipt.state.stop_reason) == (True, "FULL_LOAD_ONLY_FINISHED")
    assert receipt.state.completion is not None
    act(control(dms, arn), "run", wait=once(lambda: dms.end(arn, "FULL_LOAD_ONLY_FINISHED")))
    assert dms.starts() == ["start-replication", "reload-target"]


def test_a_stopped_task_resumes_and_reloads_when_it_is_told_to(dms: DmsServer) -> None:
    arn = dms.task()
    act(control(dms, arn), "run", wait=never)
    assert act(control(dms, arn), "stop", wait=never).state.status == "stopped"
    assert act(control(dms, arn), "stop", wait=never).state.status == "stopped"
    act(control(dms, arn), "run", wait=never)
    act(control(dms, arn), "stop", wait=never)
    act(control(dms, arn), "reload", wait=never)
    assert dms.starts() == ["start-replication", "resume-processing", "reload-target"]
    with pytest.raises(SourceNotReady, match="a reload would begin it anew"):
        act(control(dms, arn), "reload", wait=never)


def test_tables_of_a_running_task_are_reloaded_ten_at_a_time(dms: DmsServer) -> None:
    arn = dms.task()
    act(control(dms, arn), "run", wait=never)
    act(control(dms, arn), "reload", tables=[("shop", f"t{n}") for n in range(23)], wait=never)
    asked = [body["TablesToReload"] for operation, body in dms.asked if operation == "ReloadTables"]
    assert [len(tables) for tables in asked] == [10, 10, 3]
    dms.refused["ReloadTables"] = "InvalidResourceStateFault"
    with pytest.raises(SourceNotReady, match="only while it runs"):
        act(control(dms, arn), "reload", tables=[("shop", "t")], wait=never)


def test_of_two_that_start_it_at_once_one_starts_it_and_both_watch(dms: DmsServer) -> None:
    arn = dms.task()
    found = control(dms, arn)
    # Both have seen that it is ready, before either asks.
    states = iter([found.state(), found.state()])
    first_look = Seen(found, states)
    with ThreadPoolExecutor(2) as threads:
        receipts = list(threads.map(lambda each: act(each, "run", wait=never), [first_look, first_look]))
    assert sorted(str(receipt.started) for receipt in receipts) == ["None", "start-replication"]
    assert {receipt.state.status for receipt in receipts} == {"running"}


class Seen:
    """A control of which the first looks saw the task as it was before."""

    def __init__(self, control: Boto3DmsTask, states: Iterator[object]) -> None:
        self._control, self._states = control, states
        self.where, self.statistics, self.events = control.where, control.statistics, control.events
        self.start, self.stop, self.reload = control.start, control.stop, control.reload

    def state(self):  # type: ignore[no-untyped-def]
        return next(self._states, None) or self._control.state()


def test_states_that_pass_are_waited_for(dms: DmsServer) -> None:
    arn = dms.task()
    dms.told[arn] = {"Status": "modifying"}
    seen: list[str] = []

    def settle() -> None:
        dms.told[arn] = {"Status": "ready"}

    act(control(dms, arn), "run", wait=once(settle), told=lambda state: seen.append(state.status))
    assert seen == ["modifying", "ready", "running"]


@pytest.mark.parametrize("reason", ["FATAL_ERROR", "STOPPED_DUE_TO_LOW_DISK", "NORMAL"])
def test_a_task_that_stops_before_its_end_fails_the_run_with_the_reason(dms: DmsServer, reason: str) -> None:
    arn = dms.task("full-load")
    secret = "canary-4d1"
    with pytest.raises(SourceError, match=f"the task stopped for {reason}") as raised:
        act(
            control(dms, arn),
            "run",
            wait=once(lambda: dms.end(arn, reason, LastFailureMessage=f"row {secret}")),
        )
    assert secret not in str(raised.value)


def test_tables_that_dms_gave_up_fail_the_run_although_the_task_is_finished(dms: DmsServer) -> None:
    arn = dms.task("full-load")
    dms.statistics[arn] = statistics("Table error")
    with pytest.raises(SourceError, match=r"DMS gave up shop\.widgets"):
        act(control(dms, arn), "run", wait=once(lambda: dms.end(arn, "FULL_LOAD_ONLY_FINISHED")))


def test_a_task_that_is_not_there_or_denied_is_told_with_what_is_missing(dms: DmsServer) -> None:
    missing = control(dms, "arn:aws:dms:eu-central-1:123456789012:task:none")
    with pytest.raises(SourceNotReady, match="DMS task none: there is no such task"):
        missing.state()
    arn = dms.task()
    dms.refused["StartReplicationTask"] = "AccessDeniedFault"
    with pytest.raises(SourceNotReady, match="grant dms:DescribeReplicationTasks"):
        act(control(dms, arn), "run", wait=never)
    gone = Boto3DmsTask(arn, "http://127.0.0.1:9", EnvVar("TEST_AWS_KEY"), EnvVar("TEST_AWS_SECRET"))
    with pytest.raises(SourceUnavailable, match="DMS does not answer"):
        gone.state()
