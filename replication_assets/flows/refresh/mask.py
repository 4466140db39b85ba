"""Mask: the only step that sees raw rows. Reads, masks, proves, seals and stages them, range by range.

Raw rows are folded from the event store into memory, and a private folder where memory is not enough
(`spilling`). They never leave this process. What is staged is sealed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from replication_assets.core.masking.batches import MaskedBatch, RawBatch
from replication_assets.core.masking.seal import Role, SealedBatch
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.refresh.subset import Subset
from replication_assets.errors import RefreshError
from replication_assets.flows.refresh.chunks import chunks_of
from replication_assets.flows.refresh.compiled import TableGuard, guards
from replication_assets.flows.refresh.raw_rows import raw_rows
from replication_assets.flows.refresh.refreshing import Progress, Refreshing, StepProgress
from replication_assets.flows.refresh.seed_rows import generated_rows
from replication_assets.flows.refresh.spilling import spilling
from replication_assets.flows.refresh.staged import due_ranges, require_staged
from replication_assets.flows.refresh.step import guarded, guarded_rows, step
from replication_assets.flows.refresh.subset import planned_subset


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
    started = time.monotonic()
    with step(refreshing, plan, "mask", run), spilling(refreshing.limits) as spill:
        work = _Masking(refreshing, plan, guards(refreshing, plan, spill), progress)
        resumed = work.stage_all()
        certificates = require_staged(refreshing, plan)
        rows: dict[str, int] = {str(table.table): 0 for table in plan.tables}
        counts: dict[str, dict[str, int]] = {table: {} for table in rows}
        for each in certificates:
            rows[each.claims.table] += each.rows
            tally = counts[each.claims.table]
            for label, count in each.counts.items():
                tally[label] = tally.get(label, 0) + count
        refreshing.note(plan.id, "mask", {"rows": rows, "counts": counts, "resumed": resumed})
    return MaskReceipt(plan.id, rows, counts, resumed, time.monotonic() - started)


class _Masking:
    """The state of one mask step; what is done already, the staging knows."""

    def __init__(
        self,
        refreshing: Refreshing,
        plan: RefreshPlan,
        tables: tuple[TableGuard, ...],
        progress: Progress | None,
    ) -> None:
        self._refreshing, self._plan, self._progress = refreshing, plan, progress
        self._guards = {each.name: each for each in tables}
        self._subset: Subset | None = None
        known = [table.rows for table in plan.tables]
        self._expected = sum(each or 0 for each in known) if None not in known else None
        self._rows = 0

    def stage_all(self) -> int:
        """Stage what is due; how many ranges were staged before."""
        staging = self._refreshing.staging
        done = staging.completed()
        if done:
            self._rows = sum(each.rows for each in staging.certificates())
        due = list(due_ranges(self._refreshing, self._plan))
        todo = [place for place in due if place not in done]
        if todo:
            self._choose()
        for table, role, key in todo:
            staging.restart(table, role, key)
            chunks = 0
            for sealed in self._sealed(self._guards[table], role, key):
                staging.put(sealed)
                chunks += 1
                self._count(table, key, sealed.certificate.rows)
            staging.complete(table, role, key, chunks)
        return len(due) - len(todo)

    def _choose(self) -> None:
        """The rows of the subset, if there is one: the same that the plan chose. Every guard then reads
        the columns that they are told by."""
        chosen = planned_subset(self._refreshing, tuple(self._guards.values()))
        if chosen is not None:
            self._subset = chosen
            for name, guard in self._guards.items():
                self._guards[name] = replace(guard, also=frozenset(chosen.key(guard.planned.table)))

    def _sealed(self, guard: TableGuard, role: Role, key: str) -> Iterator[SealedBatch]:
        if role == "generated":
            made = guarded("mask", guard.name, lambda: self._generated(guard))
            yield from (guard.seal_masked(each, role, f"{key}.{number}") for number, each in enumerate(made))
            return
        rows = guarded_rows("mask", guard.name, raw_rows(guard, role, key, self._subset))
        for number, chunk in enumerate(chunks_of(rows, self._refreshing.refresh.chunk_rows)):
            name = f"{key}.{number}"
            raw = RawBatch(chunk)
            yield guarded("mask", guard.name, partial(guard.seal_raw, raw, role, name))

    def _generated(self, guard: TableGuard) -> list[MaskedBatch]:
        seeds = [each for each in self._refreshing.refresh.seed_rows if each.table == guard.name]
        return [generated_rows(seed, guard.mask) for seed in seeds]

    def _count(self, table: str, id_range: str, rows: int) -> None:
        self._rows += rows
        most = self._refreshing.refresh.max_rows
        if most is not None and self._plan.how == "full" and self._rows > most:
            raise RefreshError(
                f"more than max_rows={most:,} rows, where {self._expected} were expected",
                where=self._refreshing.where,
                fix="copy a smaller subset, or raise max_rows",
            )
        if self._progress is not None:
            self._progress(StepProgress("mask", table, id_range, self._rows, self._expected))
