"""Cutovers as jobs: every gate an op, the report in its metadata, and the ways on from there.

`<cutover>_cutover` runs `writes_stopped -> drained -> validated -> report -> switch -> watch`;
NO-GO fails it at `report`, before `switch`. `<cutover>_plan` is its dry run, `<cutover>_back` the
way back, `<cutover>_retire` the end. What was done is recorded beside the event store, so that a
run that is started again, or another job, knows where readers are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dagster as dg
from pydantic import Field

from replication_assets.catalog import Catalog, Cutover
from replication_assets.core.cutover import Gate, Report
from replication_assets.core.cutover_report import markdown
from replication_assets.defs import naming
from replication_assets.defs.failures import explained
from replication_assets.defs.following import CaptureMarks
from replication_assets.errors import CutoverError
from replication_assets.flows.capture import FlushReceipt
from replication_assets.flows.cutover import steps as steps
from replication_assets.flows.cutover.attempt import Attempt, begin, require_go
from replication_assets.flows.cutover.handover import Handover
from replication_assets.flows.cutover.plan import plan
from replication_assets.flows.cutover.retire import retire
from replication_assets.flows.cutover.switch import back, switch
from replication_assets.flows.cutover.watch import watch
from replication_assets.replication import Replication

Parts = dg.ResourceParam[Replication]


def cutover_jobs(catalog: Catalog) -> list[dg.JobDefinition]:
    """The jobs of every declared cutover."""
    return [job for cutover in catalog.cutovers for job in _jobs(cutover)]


def _jobs(cutover: Cutover) -> list[dg.JobDefinition]:
    return [_plan_job(cutover), _cutover_job(cutover), _back_job(cutover), _retire_job(cutover)]


def _op(cutover: Cutover, name: str, description: str, **options: object) -> Callable[..., dg.OpDefinition]:
    """An op of this cutover; in its job it goes by its short name."""
    decorate: Callable[..., dg.OpDefinition] = dg.op(  # type: ignore[call-overload]
        name=f"{naming.plain(cutover.name)}_{name}", description=description, **options
    )
    return decorate


def _cutover_job(cutover: Cutover) -> dg.JobDefinition:
    work = _steps(cutover)

    @dg.job(
        name=f"{naming.plain(cutover.name)}_cutover",
        executor_def=dg.in_process_executor,
        description=(
            f"Hands reads over to `{cutover.projection}`: writes stopped, drained, validated, GO or NO-GO, "
            f"switch, and a watch of {cutover.watch_seconds:g} s."
        ),
    )
    def job() -> None:
        passed = None
        for op in work:
            short = op.name.removeprefix(f"{naming.plain(cutover.name)}_")
            passed = op.alias(short)() if passed is None else op.alias(short)(passed)

    return job


def _steps(cutover: Cutover) -> list[dg.OpDefinition]:
    """One op for each step. What goes from one to the next is the attempt as it stands."""

    @_op(cutover, "writes_stopped", "Nobody writes to the tables, and all they wrote is captured.")
    def writes_stopped(context: dg.OpExecutionContext, replication: Parts) -> Attempt:
        with _at_work(context, replication, cutover) as handover:
            return _told(context, steps.writes_stopped(handover, begin(handover)), 0)

    @_op(cutover, "drained", "Every id range is loaded and projected; no dead letter is open.")
    def drained(context: dg.OpExecutionContext, replication: Parts, attempt: Attempt) -> Attempt:
        with _at_work(context, replication, cutover) as handover:
            return _told(context, steps.drained(handover, attempt), len(attempt.gates))

    @_op(cutover, "validated", "Source, event store and projection hold the same rows.")
    def validated(context: dg.OpExecutionContext, replication: Parts, attempt: Attempt) -> Attempt:
        with _at_work(context, replication, cutover) as handover:
            return _told(context, steps.validated(handover, attempt), len(attempt.gates))

    @_op(cutover, "report", "GO, or NO-GO and the end of the run.")
    def report(
        context: dg.OpExecutionContext, replication: Parts, attempt: Attempt
    ) -> tuple[Attempt, Report]:
        with _at_work(context, replication, cutover) as handover:
            decided = steps.decide(handover, attempt)
            if attempt.switched_at is None:
                _require_go(context, handover, decided[1])
            else:
                context.log.info(f"switched already, at {attempt.switched_at}: only watched")
            return decided

    @_op(cutover, "switch", "Points readers at the projection; if that fails, back at the source.")
    def point_readers(
        context: dg.OpExecutionContext, replication: Parts, decided: tuple[Attempt, Report]
    ) -> Attempt:
        with _at_work(context, replication, cutover) as handover:
            attempt = switch(handover, *decided)
            context.log.info(f"readers are at {cutover.projection} since {attempt.switched_at}")
            return attempt

    @_op(cutover, "watch", "Looks on: no new writes, no lag, nothing refused, nothing that differs.")
    def look_on(context: dg.OpExecutionContext, replication: Parts, attempt: Attempt) -> None:
        with _at_work(context, replication, cutover) as handover:
            _require_go(context, handover, watch(handover, attempt)[1])

    return [writes_stopped, drained, validated, report, point_readers, look_on]


def _plan_job(cutover: Cutover) -> dg.JobDefinition:
    class PlanConfig(dg.Config):
        capture: bool = Field(
            False, description="Capture what is committed, so that every row can be compared."
        )

    @_op(cutover, "dry_run", "What would hold the cutover up if it began now. Reads only.")
    def dry_run(context: dg.OpExecutionContext, config: PlanConfig, replication: Parts) -> None:
        with _at_work(context, replication, cutover) as handover:
            report = plan(handover, capture=config.capture)
        _show(context, report)

    @dg.job(
        name=f"{naming.plain(cutover.name)}_plan",
        executor_def=dg.in_process_executor,
        description=f"Dry run of cutover `{cutover.name}`; succeeds whatever it finds.",
    )
    def job() -> None:
        dry_run.alias("plan")()

    return job


def _back_job(cutover: Cutover) -> dg.JobDefinition:
    class BackConfig(dg.Config):
        by_hand: bool = Field(False, description="Only note that somebody took readers back.")

    @_op(cutover, "take_back", "Points readers at the source again.")
    def take_back(context: dg.OpExecutionContext, config: BackConfig, replication: Parts) -> None:
        with explained():
            handover = Handover.of(replication, cutover.name)
            back(handover, by_hand=config.by_hand)
        context.log.info(f"{cutover.name}: {handover.log.history()}")

    @dg.job(
        name=f"{naming.plain(cutover.name)}_back",
        executor_def=dg.in_process_executor,
        description=f"The way back of cutover `{cutover.name}`.",
    )
    def job() -> None:
        take_back.alias("back")()

    return job


def _retire_job(cutover: Cutover) -> dg.JobDefinition:
    class RetireConfig(dg.Config):
        confirm: str = Field(description="The name of the cutover, typed once more.")
        force: bool = Field(
            False, description="Although it did not pass, or others need the source; ends running captures."
        )

    @_op(cutover, "drop", "Removes what capture made in the source; proves that nothing is left.")
    def drop(context: dg.OpExecutionContext, config: RetireConfig, replication: Parts) -> None:
        with explained():
            handover = Handover.of(replication, cutover.name)
            done = retire(handover, confirm=config.confirm, force=config.force)
        lines = [f"- removed: {line}" for line in done.removed] + [f"- kept: {line}" for line in done.kept]
        context.add_output_metadata({"retirement": dg.MetadataValue.md("\n".join(lines))})

    @dg.job(
        name=f"{naming.plain(cutover.name)}_retire",
        executor_def=dg.in_process_executor,
        description=f"Removes what replication keeps at the source, once cutover `{cutover.name}` passed.",
    )
    def job() -> None:
        drop.alias("retire")()

    return job


@contextmanager
def _at_work(
    context: dg.OpExecutionContext, replication: Replication, cutover: Cutover
) -> Iterator[Handover]:
    """The cutover, with marks for what its captures write: other projections follow them."""
    with explained():
        handover = Handover.of(replication, cutover.name)
        marks: list[CaptureMarks] = []

        def mark(receipt: FlushReceipt) -> None:
            if not marks:
                # Not before there is something to mark: a dry run works without any log.
                tables = {table.id: table for source in handover.sources for table in handover.open(source)}
                marks.append(CaptureMarks(context, handover.store, tables))
            marks[0].add(receipt)

        try:
            yield replace(handover, on_flush=mark)
        finally:
            for each in marks:
                each.report()


def _told(context: dg.OpExecutionContext, attempt: Attempt, before: int) -> Attempt:
    """The gates that this op added, in its log and its metadata."""
    for gate in attempt.gates[before:]:
        tell = context.log.info if gate.passed else context.log.warning
        tell(f"{'pass' if gate.passed else 'HOLD'} {gate.name}: {gate.what}")
    context.add_output_metadata({gate.name: _shown(gate) for gate in attempt.gates[before:]})
    return attempt


def _shown(gate: Gate) -> dg.MetadataValue:
    facts = "".join(f"\n- {name}: {figure}" for name, figure in gate.facts)
    fix = f"\n\n**Fix:** {gate.fix}" if gate.fix and not gate.passed else ""
    return dg.MetadataValue.md(f"{'pass' if gate.passed else 'HOLD'}: {gate.what}{facts}{fix}")


def _show(context: dg.OpExecutionContext, report: Report) -> None:
    held = ", ".join(gate.name for gate in report.holding_up) or "nothing"
    context.log.info(f"{report.verdict}: held up by {held}")
    context.add_output_metadata({"verdict": report.verdict, "report": dg.MetadataValue.md(markdown(report))})


def _require_go(context: dg.OpExecutionContext, handover: Handover, report: Report) -> None:
    """Show the report of this op; a NO-GO is its failure, with the report in its metadata."""
    if report.verdict == "GO":
        _show(context, report)
        return
    try:
        require_go(handover, report)
    except CutoverError as error:
        shown: dict[str, Any] = {
            "verdict": report.verdict,
            "report": dg.MetadataValue.md(markdown(report)),
            "fix": error.fix,
        }
        raise dg.Failure(str(error), metadata=shown, allow_retries=False) from error
