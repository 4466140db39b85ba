"""Cutovers as Dagster shows them: an op for each gate, NO-GO before the switch, the ways on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from replication_assets.catalog import Table, WebhookHook
from replication_assets.defs.build import build_definitions
from replication_assets_tests.e2e.cutovers import ACCOUNTS, NAME, bank, handover, steps
from replication_assets_tests.e2e.system import System
from replication_assets_tests.hooks.receiver import Receiver, listening
from replication_assets_tests.postgres_servers import FreshDatabase

OPS = ["writes_stopped", "drained", "validated", "report", "switch", "watch"]


@dataclass
class Board:
    """The definitions of a bank that is ready to be cut over, and where its readers are told to go."""

    system: System
    readers: Receiver
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    def run(self, job: str, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(f"{NAME}_{job}").execute_in_process(
            instance=self.instance, run_config=config, raise_on_error=False
        )


@pytest.fixture
def board(database: FreshDatabase, tmp_path: Path) -> Iterator[Board]:
    with listening() as readers, dg.DagsterInstance.ephemeral() as instance:
        system = bank(
            database,
            tmp_path,
            switch=WebhookHook(f"{readers.url}/switch"),
            back=WebhookHook(f"{readers.url}/back"),
        )
        yield Board(system, readers, build_definitions(system.catalog), instance)


def succeeded(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.node_name for event in result.all_events if event.is_step_success]


def failure(result: dg.ExecuteInProcessResult) -> tuple[str, str, dict[str, Any]]:
    """Where it failed, why, and what its metadata says."""
    (event,) = [each for each in result.all_events if each.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return event.node_name, data.description or "", {k: v.value for k, v in data.metadata.items()}


def metadata(result: dg.ExecuteInProcessResult, op: str) -> dict[str, Any]:
    (event,) = [
        each
        for each in result.all_events
        if each.is_successful_output and each.node_name == op and each.step_output_data.metadata is not None
    ]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def test_the_gates_are_ops_in_order_and_a_cutover_goes_through_to_its_end(board: Board) -> None:
    board.system.execute("UPDATE accounts SET owner = 'late' WHERE id = 5")
    result = board.run("cutover")
    assert result.success
    assert succeeded(result) == OPS
    told = metadata(result, "report")
    assert told["verdict"] == "GO"
    assert told["report"].startswith(f"## GO: cutover {NAME} to lake")
    assert f"| {ACCOUNTS} | 1,200 |" in told["report"]
    assert "| pass | writes stopped |" in told["report"]
    assert metadata(result, "writes_stopped")["writes stopped"].startswith("pass:")
    assert metadata(result, "watch")["verdict"] == "GO"
    marked = board.instance.get_materialized_partitions(dg.AssetKey(["event_store", *ACCOUNTS.split(".")]))
    assert marked, "what its capture wrote is marked, so that others follow"

    refused = board.run("retire", {"ops": {"retire": {"config": {"confirm": "yes"}}}})
    assert "not confirmed" in failure(refused)[1]
    retired = board.run("retire", {"ops": {"retire": {"config": {"confirm": NAME}}}})
    assert retired.success
    assert "removed: app: replication slot" in metadata(retired, "retire")["retirement"]
    assert board.system.source.remains() == ()
    sensor = board.definitions.resolve_sensor_def("app_offsets")
    context = dg.build_sensor_context(
        instance=board.instance, resources={"replication": board.system.replication}
    )
    assert "retired by cutover" in str(sensor(context))


def test_no_go_fails_before_the_switch_with_the_report(board: Board) -> None:
    with psycopg.connect(board.system.dsn, application_name="shop api") as writing:
        writing.execute("DELETE FROM accounts WHERE id = 9")
        result = board.run("cutover")
        writing.rollback()
    assert succeeded(result) == OPS[:3]
    where, why, told = failure(result)
    assert where == "report"
    assert why.startswith(f"cutover {NAME}: NO-GO: writes stopped: not ended: 1 transaction")
    assert "application shop api" in told["report"]
    assert told["verdict"] == "NO-GO"
    assert board.readers.received == []


def test_a_dry_run_succeeds_and_says_what_would_hold_it_up(board: Board) -> None:
    board.system.execute("ALTER TABLE accounts ADD COLUMN kind text DEFAULT 'private'")
    board.system.execute("UPDATE accounts SET kind = 'x' WHERE id = 1")
    board.system.capture()
    result = board.run("plan")
    assert result.success
    told = metadata(result, "plan")
    assert told["verdict"] == "NO-GO"
    assert "| HOLD | loaded |" in told["report"]
    assert steps(board.system) == []


def test_a_dry_run_works_before_everything_is_set_up(board: Board) -> None:
    catalog = replace(board.system.catalog, tables=(*board.system.catalog.tables, Table("app.public.later")))
    job = build_definitions(catalog.validate()).resolve_job_def(f"{NAME}_plan")
    result = job.execute_in_process(instance=board.instance)
    told = metadata(result, "plan")["report"]
    assert "| HOLD | set up | 1 is not (app.public.later: it has no log)" in told


def test_a_switch_that_fails_takes_readers_back_and_says_so(board: Board) -> None:
    board.readers.answer = 500
    where, why, _ = failure(board.run("cutover"))
    assert where == "switch"
    assert "the switch failed: it answered 500; the way back failed too" in why
    board.readers.answer = 200
    assert board.run("back").success
    assert handover(board.system).log.history().switched is None
    assert [told["direction"] for told in board.readers.received] == ["switch", "back", "back"]


def test_a_cutover_that_has_switched_is_only_watched(board: Board) -> None:
    assert board.run("cutover").success
    board.system.execute("UPDATE accounts SET balance = 0 WHERE id = 1")
    where, why, told = failure(board.run("cutover"))
    assert where == "watch"
    assert "no new writes at the source: 1 change of 1 table" in why
    assert told["report"].startswith(f"## NO-GO: watch of cutover {NAME}")
    assert len(board.readers.received) == 1
    assert board.run("back", {"ops": {"back": {"config": {"by_hand": True}}}}).success
    assert len(board.readers.received) == 1
