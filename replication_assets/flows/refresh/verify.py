"""Verify: proofs on what was loaded, before anybody may read it.

What is read back is what the guard certified; every value fits its rule; values that are rare in the
source do not occur, in rows nor in the texts around them; foreign keys hold. Hooks run between the first
of them and the others, which so see what hooks left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.refresh.proofs import Proof, Verification
from replication_assets.errors import RefreshError
from replication_assets.flows.refresh.compiled import TableGuard, guards
from replication_assets.flows.refresh.content import certified_content, content_proof, stored_content
from replication_assets.flows.refresh.hooks import hooks_began, run_hooks
from replication_assets.flows.refresh.inspection import Inspection, inspect
from replication_assets.flows.refresh.proven import note_verification, proven_tables
from replication_assets.flows.refresh.refreshing import Progress, Refreshing
from replication_assets.flows.refresh.spilling import spilling
from replication_assets.flows.refresh.step import step


def verify_refresh(
    refreshing: Refreshing,
    plan: RefreshPlan,
    *,
    run: str,
    progress: Progress | None = None,
    told: Callable[[Verification], None] | None = None,
) -> Verification:
    """Prove the shadow schema of a plan. The result is in the audit, passed or not; `told` gets it
    either way, before a failed proof is raised.

    Raises:
        VerificationFailed: a proof failed. The next run begins anew.
        RefreshError: not everything is loaded; a hook failed; another plan superseded this one.
    """
    with step(refreshing, plan, "verify", run), spilling(refreshing.limits) as spill:
        tables = guards(refreshing, plan, spill)
        content = _content_and_hooks(refreshing, plan, tables)
        found = inspect(refreshing, plan, tables, progress)
        content = content or _content(refreshing, plan, tables, found)
        proofs = (content, *found.proofs, references_proof(refreshing, plan, tables))
        verification = Verification(proofs)
        note_verification(refreshing, plan, verification, found.tables)
        if told is not None:
            told(verification)
        verification.require(refreshing.where)
    return verification


def _content_and_hooks(
    refreshing: Refreshing, plan: RefreshPlan, tables: Sequence[TableGuard]
) -> Proof | None:
    """Where hooks are about to change the copy: the proof of it before, then the hooks. Else None."""
    if not refreshing.refresh.hooks or hooks_began(refreshing, plan.id):
        return None
    proof = content_proof(
        certified_content(refreshing, plan, tables), stored_content(refreshing, plan, tables)
    )
    if proof.passed:
        run_hooks(refreshing, plan)
    return proof


def _content(
    refreshing: Refreshing, plan: RefreshPlan, tables: Sequence[TableGuard], found: Inspection
) -> Proof:
    """The proof of a copy that no hook changes, or changed in an earlier run that proved the result."""
    if hooks_began(refreshing, plan.id):
        proven = proven_tables(refreshing, plan)
        if proven is None:
            raise RefreshError(
                "its hooks ran before, in part or whole",
                where=refreshing.where,
                fix="start the refresh again: it begins with another copy",
            )
        return content_proof(proven, found.tables)
    stored = found.tables if plan.how == "full" else stored_content(refreshing, plan, tables)
    return content_proof(certified_content(refreshing, plan, tables), stored)


def references_proof(refreshing: Refreshing, plan: RefreshPlan, tables: Sequence[TableGuard]) -> Proof:
    """Foreign keys point at rows, also where the copy does not enforce them."""
    broken = refreshing.target.violations(plan, [each.stored.copy for each in tables])
    count = sum(len(each.stored.structure.foreign_keys) for each in tables)
    told = "; ".join(f"{each.rows:,} rows of {each.table} break {each.foreign_key}" for each in broken)
    what = told or f"{count} foreign keys hold."
    figures = {"foreign keys": count, "violations": sum(each.rows for each in broken)}
    return Proof("references", not broken, what, figures)
