"""Load: sealed batches from the staging into the shadow schema of the target, chunk by chunk.

Needs no key: the target itself checks each seal with the public key in its marker.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from replication_assets.core.masking.seal import Certificate
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.errors import GuardError
from replication_assets.flows.refresh.refreshing import Progress, Refreshing, StepProgress
from replication_assets.flows.refresh.staged import require_masked
from replication_assets.flows.refresh.step import step
from replication_assets.flows.refresh.tables import copies, planned_tables
from replication_assets.ports.environment import TableCopy


@dataclass(frozen=True, slots=True)
class LoadReceipt:
    """`chunks` and `rows` of the shadow schema; `resumed` chunks were there before."""

    id: str
    chunks: int
    rows: int
    resumed: int
    seconds: float


def load_refresh(
    refreshing: Refreshing, plan: RefreshPlan, *, run: str, progress: Progress | None = None
) -> LoadReceipt:
    """Load every staged chunk that is not loaded yet; then keys, indexes, defaults and sequences.

    Raises:
        GuardError: a batch is not what the guard sealed for this plan; nothing of it was loaded.
        VerificationFailed: rows break a key.
        RefreshError: not everything is staged; another plan superseded this one.
    """
    started = time.monotonic()
    with step(refreshing, plan, "load", run):
        tables = copies(planned_tables(refreshing, plan))
        certificates = require_masked(refreshing, plan)
        refreshing.target.begin(plan, tables)
        rows, resumed = _load_chunks(refreshing, plan, tables, certificates, progress)
        refreshing.target.finish(plan, tables)
        receipt = LoadReceipt(plan.id, len(certificates), rows, resumed, time.monotonic() - started)
        body = {"chunks": receipt.chunks, "rows": rows, "resumed": resumed}
        refreshing.note(plan.id, "load", body)
    return receipt


def _load_chunks(
    refreshing: Refreshing,
    plan: RefreshPlan,
    tables: list[TableCopy],
    certificates: tuple[Certificate, ...],
    progress: Progress | None,
) -> tuple[int, int]:
    """Rows loaded in all, and chunks that were there before."""
    by_name: Mapping[str, TableCopy] = {str(copy.structure.table): copy for copy in tables}
    loaded = refreshing.target.loaded(plan)
    expected = sum(each.rows for each in certificates)
    rows = resumed = 0
    for certificate in certificates:
        claims = certificate.claims
        place = (claims.table, claims.role, claims.chunk)
        if place in loaded:
            resumed += 1
            _require_same(certificate, loaded[place])
        else:
            sealed = refreshing.staging.get(certificate)
            refreshing.target.load(plan, by_name[claims.table], sealed)
        rows += certificate.rows
        if progress is not None:
            progress(StepProgress("load", claims.table, claims.chunk.rpartition(".")[0], rows, expected))
    return rows, resumed


def _require_same(certificate: Certificate, rows: int) -> None:
    if rows != certificate.rows:
        raise GuardError(
            f"{rows} rows are loaded of a chunk of {certificate.rows}",
            where=f"{certificate.claims.table} {certificate.claims.chunk}",
            fix="start the refresh again: it begins anew",
        )
