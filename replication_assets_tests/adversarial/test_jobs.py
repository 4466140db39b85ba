"""Jobs put together in code to lead around the mask, and what a run's own page shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from replication_assets import guarded
from replication_assets.core.masking.rules import PythonRule
from replication_assets.defs.build import build_definitions
from replication_assets.defs.refresh.guard import ENVIRONMENTS
from replication_assets.defs.refresh.steps import refresh_steps
from replication_assets.errors import GuardError
from replication_assets_tests.adversarial.vault import Attack, canaries_in

FUNCTIONS = "replication_assets_tests.adversarial.functions"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def resources(attack: Attack) -> dict[str, dg.ResourceDefinition]:
    return {ENVIRONMENTS: dg.ResourceDefinition.hardcoded_resource(attack.system.replication)}


def steps(attack: Attack) -> tuple[dg.OpDefinition, ...]:
    return refresh_steps(attack.catalog.refreshes[0], [], {})


def test_a_job_that_leaves_the_mask_out_is_refused_with_the_definitions(attack: Attack) -> None:
    plan, _, load, verify, publish = steps(attack)

    @dg.job(resource_defs=resources(attack))
    def rewired() -> None:
        publish(verify(load(plan())))

    attack.refused(
        GuardError, "step load of refresh nightly takes", lambda: guarded(dg.Definitions(jobs=[rewired]))
    )


def test_a_job_that_nobody_looked_at_stops_before_its_first_step(
    attack: Attack, instance: dg.DagsterInstance
) -> None:
    plan, _, load, verify, publish = steps(attack)

    @dg.op
    def forged(planned: Any) -> Any:
        return type("Masked", (), {"plan": planned.plan})()

    @dg.job(resource_defs=resources(attack))
    def rewired() -> None:
        publish(verify(load(forged(plan()))))

    done = rewired.execute_in_process(instance=instance, raise_on_error=False)
    assert not done.success
    assert [event.step_key for event in done.get_step_failure_events()] == ["nightly_plan"]
    assert not attack.published()


def test_an_asset_a_hook_and_a_resource_that_ask_for_the_environments_are_refused(attack: Attack) -> None:
    @dg.asset(required_resource_keys={ENVIRONMENTS})
    def copied() -> None: ...

    @dg.success_hook(required_resource_keys={ENVIRONMENTS})
    def afterwards(context: dg.HookContext) -> None: ...

    @dg.op
    def innocent() -> None: ...

    @dg.job(resource_defs=resources(attack), hooks={afterwards})
    def hooked() -> None:
        innocent()

    @dg.io_manager(required_resource_keys={ENVIRONMENTS})
    def writer(context: dg.InitResourceContext) -> Any: ...

    @dg.job(resource_defs={**resources(attack), "io_manager": writer})
    def written() -> None:
        innocent()

    for definitions in (
        dg.Definitions(assets=[copied], resources=resources(attack)),
        dg.Definitions(jobs=[hooked]),
        dg.Definitions(jobs=[written]),
    ):
        attack.refused(
            GuardError,
            "asks for `environments`",
            lambda definitions=definitions: guarded(definitions),  # type: ignore[misc]
        )


def test_no_event_of_a_run_and_no_metadata_of_its_assets_holds_a_value(
    attack: Attack, instance: dg.DagsterInstance
) -> None:
    job = build_definitions(attack.catalog).resolve_job_def("nightly")
    done = job.execute_in_process(instance=instance)
    events = "\n".join(str(entry) for entry in instance.all_logs(done.run_id))
    assert done.success
    assert "dagster/row_count" in events
    assert canaries_in(events) == []


def test_no_event_of_a_run_that_fails_quotes_what_a_function_said(
    attack: Attack, instance: dg.DagsterInstance
) -> None:
    there = attack.on("papers").ruled("papers", text=("pii.text", PythonRule(f"{FUNCTIONS}:raising", "x")))
    job = build_definitions(there.catalog).resolve_job_def("nightly")
    done = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not done.success
    events = "\n".join(str(entry) for entry in instance.all_logs(done.run_id))
    assert "raised ValueError at line" in events
    assert canaries_in(events) == []
