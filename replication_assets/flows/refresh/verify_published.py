"""Verify, any time later: the proofs once more, on the copy that readers see."""

from __future__ import annotations

from replication_assets.core.refresh.plan import CopiedTable, RefreshPlan
from replication_assets.core.refresh.proofs import Proof, Verification
from replication_assets.core.sql import Spill
from replication_assets.errors import GuardError, PolicyError, RefreshError, StoreCorrupt
from replication_assets.flows.refresh.compiled import guards
from replication_assets.flows.refresh.content import content_proof
from replication_assets.flows.refresh.inspection import inspect
from replication_assets.flows.refresh.proven import ProvenTable, note_verified_again
from replication_assets.flows.refresh.refreshing import Progress, Refreshing, require_marker
from replication_assets.flows.refresh.spilling import spilling
from replication_assets.ports.environment import PublishedCopy


def verify_published(refreshing: Refreshing, *, progress: Progress | None = None) -> Verification:
    """Prove the published copy of an environment: marker, audit chain, rows against the record of the
    publication, values against their rules, rare values of the source's rows as of today, and texts.
    Appended to the audit; returned whether it passed or not.

    Raises:
        RefreshError: nothing was published, or another refresh published it.
    """
    published = refreshing.target.published()
    if published is None or published.refresh != refreshing.refresh.name:
        what = "nothing is published" if published is None else f"refresh {published.refresh} published it"
        raise RefreshError(what, where=refreshing.where, fix="run the refresh first")
    audit = _audit_proof(refreshing, published)
    with spilling(refreshing.limits) as spill:
        proofs = [_marker_proof(refreshing), audit, *_copy_proofs(refreshing, published, progress, spill)]
    found = Verification(tuple(proofs))
    if audit.passed:
        note_verified_again(refreshing, published.id, found)
    return found


def _marker_proof(refreshing: Refreshing) -> Proof:
    try:
        marker = require_marker(refreshing.environment, refreshing.target, refreshing.keys())
    except GuardError as error:
        return Proof("marker", False, error.what)
    return Proof("marker", True, f"the database says that it is {marker.environment}, key {marker.key_id}.")


def _audit_proof(refreshing: Refreshing, published: PublishedCopy) -> Proof:
    try:
        lines = refreshing.audit.lines()
    except StoreCorrupt as error:
        return Proof("audit", False, error.what)
    noted = [line for line in lines if line.what == "publish" and line.refresh_id == published.id]
    figures = {"lines": len(lines)}
    if not noted:
        return Proof("audit", False, "the audit has no line of this publication", figures)
    return Proof("audit", True, f"{len(lines)} lines follow one another.", figures)


def _copy_proofs(
    refreshing: Refreshing, published: PublishedCopy, progress: Progress | None, spill: Spill
) -> list[Proof]:
    try:
        plan = _as_plan(refreshing, published)
        tables = guards(refreshing, plan, spill)
    except PolicyError as error:
        return [Proof("policy", False, f"the policy does not fit any more: {len(error.problems)} problems")]
    except RefreshError as error:
        return [Proof("policy", False, f"{error.what}: the copy is proven by the next refresh")]
    found = inspect(refreshing, plan, tables, progress, published=True)
    record = {str(each.table): ProvenTable(each.rows, each.checksum) for each in published.tables}
    return [content_proof(record, found.tables), *found.proofs]


def _as_plan(refreshing: Refreshing, published: PublishedCopy) -> RefreshPlan:
    """The plan that the copy came from, as far as its record tells."""
    tables = tuple(CopiedTable(each.table, each.as_of, (), each.structure) for each in published.tables)
    return RefreshPlan(
        published.id,
        published.refresh,
        refreshing.environment.name,
        published.policy,
        published.key_id,
        "full",
        tables,
    )
