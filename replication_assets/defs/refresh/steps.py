"""The five steps of a refresh as ops. Each takes what the one before it gives, and calls one function.

What goes from op to op names the plan and nothing else: rows travel sealed, through the staging area of
the event store. Figures and proofs are in the metadata; cell values never are.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
from pydantic import Field

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.refresh.proofs import Verification
from replication_assets.declarations import EnvironmentRefresh
from replication_assets.defs import naming
from replication_assets.defs.failures import explained
from replication_assets.defs.refresh.checks import proof_evaluations, proofs_shown
from replication_assets.defs.refresh.flight import require_alone
from replication_assets.defs.refresh.guard import registered, require_guarded
from replication_assets.flows.refresh.load import load_refresh
from replication_assets.flows.refresh.mask import mask_refresh
from replication_assets.flows.refresh.plan import explain, plan_refresh
from replication_assets.flows.refresh.publish import publish_refresh
from replication_assets.flows.refresh.refreshing import Progress, Refreshing, StepProgress
from replication_assets.flows.refresh.verify import verify_refresh
from replication_assets.replication import Replication

Parts = dg.ResourceParam[Replication]
LOG_SECONDS = 5.0


@dataclass(frozen=True)
class Planned:
    """A plan on its way to the mask."""

    plan: str


@dataclass(frozen=True)
class Masked:
    """A plan whose rows are all masked, sealed and staged."""

    plan: str


@dataclass(frozen=True)
class Loaded:
    """A plan whose sealed rows are all in the shadow schema."""

    plan: str


@dataclass(frozen=True)
class Verified:
    """A plan whose copy passed every proof."""

    plan: str


def _passes(name: str, kind: type) -> dg.DagsterType:
    return dg.DagsterType(
        name=name,
        type_check_fn=lambda _, value: type(value) is kind,
        description=(kind.__doc__ or "").strip(),
    )


PLANNED = _passes("PlannedRefresh", Planned)
MASKED = _passes("MaskedRefresh", Masked)
LOADED = _passes("LoadedRefresh", Loaded)
VERIFIED = _passes("VerifiedRefresh", Verified)


class RefreshConfig(dg.Config):
    """What may be asked of one run."""

    fresh: bool = Field(
        False, description="Begin anew, even if a failed run of this refresh could be resumed."
    )


def refresh_steps(
    refresh: EnvironmentRefresh, events: Sequence[str], outputs: dict[str, dg.AssetKey]
) -> tuple[dg.OpDefinition, ...]:
    """Plan, mask, load, verify and publish of one refresh. `plan` has an input for the events of each
    table, by these names, `publish` an output for each asset."""
    return (
        _plan(refresh, events),
        _mask(refresh),
        _load(refresh),
        _verify(refresh),
        _publish(refresh, outputs),
    )


def _step(refresh: EnvironmentRefresh, step: str, **options: Any) -> Callable[[Any], dg.OpDefinition]:
    """An op of this refresh, known to the guard."""

    def decorate(compute: Any) -> dg.OpDefinition:
        tags = {naming.REFRESH_TAG: refresh.name, naming.ENVIRONMENT_TAG: refresh.environment}
        made = dg.op(name=f"{naming.plain(refresh.name)}_{step}", tags=tags, **options)(compute)
        return registered(made, refresh.name, step)

    return decorate


@contextmanager
def _at_work(
    context: dg.OpExecutionContext, environments: Replication, refresh: EnvironmentRefresh
) -> Iterator[Refreshing]:
    with explained():
        require_guarded([context.job_def])
        yield Refreshing.of(environments, refresh.name, who=f"dagster run {context.run_id}")


def _plan(refresh: EnvironmentRefresh, events: Sequence[str]) -> dg.OpDefinition:
    @_step(
        refresh,
        "plan",
        ins={name: dg.In(dg.Nothing) for name in events},
        out=dg.Out(PLANNED),
        description="What is copied, as of when and how much. Refuses before any row is read.",
    )
    def plan(context: dg.OpExecutionContext, config: RefreshConfig, environments: Parts) -> Planned:
        require_alone(context, refresh.name)
        with _at_work(context, environments, refresh) as refreshing:
            made = plan_refresh(refreshing, run=context.run_id, fresh=config.fresh)
            words = explain(refreshing, made)
        context.log.info(words)
        context.add_output_metadata(
            {"plan": dg.MetadataValue.md(f"```\n{words}\n```"), "refresh id": made.id}
        )
        return Planned(made.to_json())

    return plan


def _mask(refresh: EnvironmentRefresh) -> dg.OpDefinition:
    @_step(
        refresh,
        "mask",
        ins={"planned": dg.In(PLANNED)},
        out=dg.Out(MASKED),
        description="Reads the event store, masks and seals: the one step that sees raw rows.",
    )
    def mask(context: dg.OpExecutionContext, environments: Parts, planned: Planned) -> Masked:
        with _at_work(context, environments, refresh) as refreshing:
            plan = RefreshPlan.from_json(planned.plan)
            done = mask_refresh(refreshing, plan, run=context.run_id, progress=_logged(context))
        context.add_output_metadata(
            {
                "rows": sum(done.rows.values()),
                "ranges resumed": done.resumed,
                "seconds": done.seconds,
                "rules": dg.MetadataValue.md(_counts(done.counts)),
            }
        )
        return Masked(planned.plan)

    return mask


def _load(refresh: EnvironmentRefresh) -> dg.OpDefinition:
    @_step(
        refresh,
        "load",
        ins={"masked": dg.In(MASKED)},
        out=dg.Out(LOADED),
        description="Takes sealed rows alone, into a schema that nobody reads yet.",
    )
    def load(context: dg.OpExecutionContext, environments: Parts, masked: Masked) -> Loaded:
        with _at_work(context, environments, refresh) as refreshing:
            plan = RefreshPlan.from_json(masked.plan)
            done = load_refresh(refreshing, plan, run=context.run_id, progress=_logged(context))
        context.add_output_metadata(
            {
                "rows": done.rows,
                "chunks": done.chunks,
                "chunks resumed": done.resumed,
                "seconds": done.seconds,
            }
        )
        return Loaded(masked.plan)

    return load


def _verify(refresh: EnvironmentRefresh) -> dg.OpDefinition:
    @_step(
        refresh,
        "verify",
        ins={"loaded": dg.In(LOADED)},
        out=dg.Out(VERIFIED),
        description="Holds the loaded copy against what was certified. Nothing unproven is published.",
    )
    def verify(context: dg.OpExecutionContext, environments: Parts, loaded: Loaded) -> Verified:
        plan = RefreshPlan.from_json(loaded.plan)

        def proven(found: Verification) -> None:
            for evaluation in proof_evaluations(refresh, plan, found):
                # Dagster takes them here, as of any op; its annotation forgets to say so.
                context.log_event(evaluation)  # type: ignore[arg-type]
            context.add_output_metadata(proofs_shown(found))

        with _at_work(context, environments, refresh) as refreshing:
            verify_refresh(refreshing, plan, run=context.run_id, progress=_logged(context), told=proven)
        return Verified(loaded.plan)

    return verify


def _publish(refresh: EnvironmentRefresh, outputs: dict[str, dg.AssetKey]) -> dg.OpDefinition:
    @_step(
        refresh,
        "publish",
        ins={"verified": dg.In(VERIFIED)},
        out={name: dg.Out(dg.Nothing) for name in outputs},
        description="Makes the copy what readers see, in one step.",
    )
    def publish(
        context: dg.OpExecutionContext, environments: Parts, verified: Verified
    ) -> Iterator[dg.Output[None]]:
        plan = RefreshPlan.from_json(verified.plan)
        with _at_work(context, environments, refresh) as refreshing:
            copy = publish_refresh(refreshing, plan, run=context.run_id)
        figures: dict[dg.AssetKey, dict[str, Any]] = {
            naming.copy_key(refresh.environment, each.table): {
                "dagster/row_count": each.rows,
                "position": str(each.as_of),
                "policy": copy.policy,
                "key id": copy.key_id,
                "refresh id": copy.id,
            }
            for each in copy.tables
        }
        for key, figure in figures.items():
            if key not in outputs.values():
                context.log_event(dg.AssetMaterialization(key, metadata=figure))
        for name, key in outputs.items():
            yield dg.Output(None, name, metadata=figures.get(key, {}))

    return publish


def _counts(counts: Mapping[str, Mapping[str, int]]) -> str:
    """How many values of each table each rule made."""
    lines = [
        f"| {table} | {rule} | {values:,} |"
        for table, rules in sorted(counts.items())
        for rule, values in sorted(rules.items())
    ]
    return "\n".join(["| table | column: rule | values |", "|---|---|---:|", *lines])


def _logged(context: dg.OpExecutionContext) -> Progress:
    """A line in the log of the run now and then."""
    told = 0.0

    def progress(step: StepProgress) -> None:
        nonlocal told
        if (now := time.monotonic()) - told >= LOG_SECONDS:
            told = now
            of = f" of {step.of:,}" if step.of is not None else ""
            context.log.info(f"{step.step}: {step.table} {step.id_range}, {step.rows:,}{of} rows")

    return progress
