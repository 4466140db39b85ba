"""Mask: the only step that sees raw rows. Reads, masks, proves, seals and stages them, range by range.

Raw rows are folded from the event store into memory (and DuckDB's spill, where memory is not enough),
and never leave this process. What is staged is sealed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.flows.refresh.refreshing import Progress, Refreshing


@dataclass(frozen=True, slots=True)
class MaskReceipt:
    """What is staged: `rows` by table, and by table and rule how many values (`counts`). `resumed`:
    ranges that an earlier run had staged."""

    id: str
    rows: Mapping[str, int] = field(hash=False)
    counts: Mapping[str, Mapping[str, int]] = field(hash=False)
    resumed: int
    seconds: float


def mask_refresh(
    refreshing: Refreshing, plan: RefreshPlan, *, run: str, progress: Progress | None = None
) -> MaskReceipt:
    """Stage every range of the plan that is not staged yet.

    Raises:
        GuardError: a value that its rule cannot mask, or left as it was.
        RefreshError: more rows than `max_rows`; another plan superseded this one.
    """
    raise NotImplementedError
