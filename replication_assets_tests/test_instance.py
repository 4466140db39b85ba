"""The shipped dagster.yaml and workspace.yaml: they load, and say what the documents promise."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.run_coordinator import QueuedRunCoordinator

ROOT = Path(__file__).parent.parent


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as loaded:
        yield loaded


def test_the_instance_needs_no_database_server(instance: dg.DagsterInstance) -> None:
    assert instance.event_log_storage.__class__.__name__ == "SqliteEventLogStorage"


def test_nothing_is_sent_to_others(instance: dg.DagsterInstance) -> None:
    assert instance.get_settings("telemetry") == {"enabled": False}
    assert not instance.nux_enabled


def test_queued_runs_wait_a_second_at_most(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
    assert instance.run_coordinator.dequeue_interval_seconds == 1


def test_pools_bound_the_load_on_a_source_op_by_op(instance: dg.DagsterInstance) -> None:
    pools = instance.get_concurrency_config().pool_config
    assert pools.pool_granularity is not None
    assert (pools.pool_granularity.value, pools.default_pool_limit) == ("op", 4)


def test_a_killed_run_frees_its_slots_and_starts_again(instance: dg.DagsterInstance) -> None:
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] == 5
    assert instance.run_retries_enabled


def test_a_failed_op_is_retried_by_its_own_policy_alone(instance: dg.DagsterInstance) -> None:
    assert instance.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False


def test_the_workspace_names_the_module_of_the_definitions() -> None:
    (location,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert location["python_module"]["module_name"] == "replication_assets.definitions"
