"""Proofs of a copy as asset checks: recorded by the refresh that made it, repeated whenever asked for."""

from collections.abc import Iterator

import dagster as dg

from replication_assets.catalog import Catalog, Table
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.refresh.proofs import Verification
from replication_assets.declarations import EnvironmentRefresh
from replication_assets.defs import naming
from replication_assets.defs.failures import explained
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.verify_published import verify_published
from replication_assets.replication import Replication

MASKED = "masked"
"""The copy is what the guard certified, and nothing in it is raw."""


def masked_checks(catalog: Catalog) -> list[dg.AssetChecksDefinition]:
    """`masked` of each copy of each environment; a run of it proves the environment's copies anew."""
    return [
        _check(refresh, [naming.copy_key(refresh.environment, table.id) for table in tables])
        for refresh, tables in owned_copies(catalog)
        if tables
    ]


def owned_copies(catalog: Catalog) -> Iterator[tuple[EnvironmentRefresh, list[Table]]]:
    """Each refresh with the tables whose copies are its assets: those that no refresh before it
    copies into the same environment. Others report what they make of the same assets."""
    taken: set[dg.AssetKey] = set()
    for refresh in catalog.refreshes:
        mine = [
            table
            for table in catalog.refreshed(refresh)
            if naming.copy_key(refresh.environment, table.id) not in taken
        ]
        taken |= {naming.copy_key(refresh.environment, table.id) for table in mine}
        yield refresh, mine


def _check(refresh: EnvironmentRefresh, keys: list[dg.AssetKey]) -> dg.AssetChecksDefinition:
    description = "Checksums as certified, every value what its rule makes, no raw value, no marker amiss."

    @dg.multi_asset_check(
        name=f"{naming.plain(refresh.name)}_{MASKED}",
        specs=[dg.AssetCheckSpec(MASKED, asset=key, description=description) for key in keys],
        can_subset=True,
    )
    def check(
        context: dg.AssetCheckExecutionContext, replication: dg.ResourceParam[Replication]
    ) -> Iterator[dg.AssetCheckResult]:
        if keys[0] in context.job_def.asset_layer.executable_asset_keys:
            context.log.info("the refresh proves its copy itself, before it is published")
            return
        with explained():
            found = verify_published(
                Refreshing.of(replication, refresh.name, who=f"dagster run {context.run.run_id}")
            )
        for key in sorted({each.asset_key for each in context.selected_asset_check_keys}):
            yield dg.AssetCheckResult(
                passed=found.passed, asset_key=key, check_name=MASKED, metadata=proofs_shown(found)
            )

    return check


def proof_evaluations(
    refresh: EnvironmentRefresh, plan: RefreshPlan, found: Verification
) -> Iterator[dg.AssetCheckEvaluation]:
    """What a refresh found of the copy that it is about to publish."""
    for copied in plan.tables:
        yield dg.AssetCheckEvaluation(
            asset_key=naming.copy_key(refresh.environment, copied.table),
            check_name=MASKED,
            passed=found.passed,
            metadata=proofs_shown(found),
        )


def proofs_shown(found: Verification) -> dict[str, str | float]:
    """Each proof in a line of its own, and its figures, which Dagster plots over time."""
    shown: dict[str, str | float] = {
        proof.name: f"{'holds' if proof.passed else 'FAILS'}: {proof.what}" for proof in found.proofs
    }
    for proof in found.proofs:
        shown |= {f"{proof.name}/{figure}": value for figure, value in proof.figures.items()}
    return shown
