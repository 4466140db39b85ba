"""The first proof: what is read back is, row for row, what the guard certified."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.refresh.proofs import Proof
from replication_assets.errors import RefreshError
from replication_assets.flows.refresh.compiled import TableGuard
from replication_assets.flows.refresh.proven import ProvenTable
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.staged import certified, require_masked

Content = Mapping[str, ProvenTable]
"""Rows and checksums by table, or by table and role where a copy is brought forward by changes."""

CONTENT = "content"


def certified_content(refreshing: Refreshing, plan: RefreshPlan, tables: Sequence[TableGuard]) -> Content:
    """What certificates promise; for changes also what the record of the published copy does."""
    certificates = require_masked(refreshing, plan)
    if plan.how == "full":
        return {
            each.name: ProvenTable(*certified(certificates, each.name, "rows", "generated"))
            for each in tables
        }
    published = refreshing.target.published()
    if published is None:
        raise RefreshError(
            "there is no published copy any more", where=refreshing.where, fix="start it again"
        )
    found = {str(each.table): ProvenTable(each.rows, each.checksum) for each in published.tables}
    for each in tables:
        found[f"{each.name} upserts"] = ProvenTable(*certified(certificates, each.name, "upserts"))
        found[f"{each.name} deletes"] = ProvenTable(*certified(certificates, each.name, "deletes"))
    return found


def stored_content(refreshing: Refreshing, plan: RefreshPlan, tables: Sequence[TableGuard]) -> Content:
    """The same, read back from the target."""
    target = refreshing.target
    if plan.how == "full":
        return {each.name: summed(each, target.read(each.stored.copy, plan)) for each in tables}
    found: dict[str, ProvenTable] = {}
    for each in tables:
        found[each.name] = summed(each, target.read(each.stored.copy, None))
        for role in ("upserts", "deletes"):
            found[f"{each.name} {role}"] = summed(each, target.read(each.stored.copy, plan, role))
    return found


def summed(guard: TableGuard, batches: Iterable[pa.RecordBatch]) -> ProvenTable:
    rows = total = 0
    for batch in batches:
        count, part = guard.checksum(batch)
        rows, total = rows + count, total + part
    return ProvenTable(rows, total % 2**64)


def content_proof(promised: Content, found: Content) -> Proof:
    """Whether both are the same, table by table."""
    wrong = []
    for name in sorted({*promised, *found}):
        due, there = promised.get(name), found.get(name)
        if due is None or there is None:
            wrong.append(f"{name} is {'not certified' if due is None else 'missing'}")
        elif due.rows != there.rows:
            wrong.append(f"{name} has {there.rows:,} rows where {due.rows:,} were certified")
        elif due != there:
            wrong.append(f"{name} has other rows than were certified")
    rows = sum(each.rows for each in found.values())
    what = "; ".join(wrong) or f"{rows:,} rows were read back, and are those that the guard certified."
    return Proof(CONTENT, not wrong, what, {"rows": rows, "tables": len(found), "different": len(wrong)})
