"""Every row of a copy read back once, and held against everything that must be true of a masked row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.refresh.proofs import Proof
from replication_assets.flows.refresh.compiled import TableGuard
from replication_assets.flows.refresh.copied_rows import copied_rows
from replication_assets.flows.refresh.proven import ProvenTable
from replication_assets.flows.refresh.refreshing import Progress, Refreshing, StepProgress
from replication_assets.flows.refresh.step import guarded, guarded_rows

MOST_TOLD = 10
"""Problems that a proof lists."""


@dataclass(frozen=True)
class Inspection:
    """Rows and checksums as they will stand, by table, and what was proven of them."""

    tables: Mapping[str, ProvenTable] = field(hash=False)
    proofs: tuple[Proof, ...]


@dataclass
class _Table:
    """What was seen of one table so far."""

    guard: TableGuard
    rows: int = 0
    total: int = 0
    values: int = 0
    misfits: list[str] = field(default_factory=list)

    def look(self, batch: pa.RecordBatch) -> None:
        count, part = self.guard.checksum(batch)
        self.rows, self.total = self.rows + count, self.total + part
        self.values += sum(len(column) - column.null_count for column in batch.columns)
        self.misfits += self.guard.mask.fits(batch)

    @property
    def proven(self) -> ProvenTable:
        return ProvenTable(self.rows, self.total % 2**64)


def inspect(
    refreshing: Refreshing,
    plan: RefreshPlan | None,
    tables: Sequence[TableGuard],
    progress: Progress | None,
) -> Inspection:
    """The copy of a plan that is loaded, or the published one (None)."""
    seen = [_Table(guard) for guard in tables]
    rows = 0
    for each in seen:
        read = guarded_rows("verify", each.guard.name, copied_rows(refreshing, each.guard, plan))
        for batch in read:
            guarded("verify", each.guard.name, partial(each.look, batch))
            rows += batch.num_rows
            if progress is not None:
                progress(StepProgress("verify", each.guard.name, "", rows, None))
    return Inspection({each.guard.name: each.proven for each in seen}, (_fitting(seen),))


def _fitting(seen: Sequence[_Table]) -> Proof:
    misfits = list(dict.fromkeys(text for each in seen for text in each.misfits))
    values = sum(each.values for each in seen)
    what = "; ".join(misfits[:MOST_TOLD]) or f"each of {values:,} values is one that its rule makes."
    return Proof("rules", not misfits, what, {"values": values, "problems": len(misfits)})
