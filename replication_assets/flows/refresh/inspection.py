"""Every row of a copy read back once, and held against everything that must be true of a masked row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import pyarrow as pa

from replication_assets.core.masking.rules import Keep
from replication_assets.core.refresh.fingerprints import RawFingerprints
from replication_assets.core.refresh.k_anonymity import groups_of
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.refresh.proofs import Proof
from replication_assets.flows.refresh.compiled import TableGuard
from replication_assets.flows.refresh.copied_rows import copied_rows
from replication_assets.flows.refresh.proven import ProvenTable
from replication_assets.flows.refresh.raw_values import raw_fingerprints
from replication_assets.flows.refresh.refreshing import Progress, Refreshing, StepProgress
from replication_assets.flows.refresh.step import guarded, guarded_rows
from replication_assets.flows.refresh.tripwires import Tripwires

MOST_TOLD = 10
"""Problems that a proof lists."""
K_REPORTED = 5
"""Rows that a group should have where no `k_min` is declared."""


@dataclass(frozen=True)
class Inspection:
    """Rows and checksums as they will stand, by table, and what was proven of them."""

    tables: Mapping[str, ProvenTable] = field(hash=False)
    proofs: tuple[Proof, ...]


class _Table:
    """What was seen of one table so far."""

    def __init__(self, guard: TableGuard, raw: RawFingerprints) -> None:
        self.guard, self._raw = guard, raw
        self.rows = self._total = self.values = 0
        self.misfits: list[str] = []
        self.hits: Counter[str] = Counter()
        self.tripwires = Tripwires(guard.name, guard.stored.policy)
        self._kept = kept_columns(guard)

    def look(self, batch: pa.RecordBatch) -> None:
        count, part = self.guard.checksum(batch)
        self.rows, self._total = self.rows + count, self._total + part
        self.values += sum(len(column) - column.null_count for column in batch.columns)
        self.misfits += self.guard.mask.fits(batch)
        self.tripwires.look(batch)
        for found in self._raw.find(self.guard.name, batch, kept=self._kept):
            self.hits[f"{found.table}.{found.column}"] += found.hits

    def anonymity(self, looked: Iterator[pa.RecordBatch]) -> Proof | None:
        """Goes through all of `looked`; None where no columns are declared to tell people apart."""
        policy = self.guard.stored.policy
        declared = policy.quasi_identifiers if policy is not None else ()
        columns = [name for name in declared if name in self.guard.mask.schema.names]
        if policy is None or not columns:
            for _ in looked:
                pass
            return None
        groups = groups_of(looked, columns, policy.k_min or K_REPORTED, self.guard.spill)
        return groups.proof(self.guard.name, columns, enforced=policy.k_min is not None)

    @property
    def proven(self) -> ProvenTable:
        return ProvenTable(self.rows, self._total % 2**64)


def inspect(
    refreshing: Refreshing,
    plan: RefreshPlan,
    tables: Sequence[TableGuard],
    progress: Progress | None,
    *,
    published: bool = False,
) -> Inspection:
    """The copy of a plan that is loaded, or the published one."""
    raw = guarded("verify", refreshing.where, partial(raw_fingerprints, plan, tables))
    seen = [_Table(guard, raw) for guard in tables]
    shadow = None if published else plan
    told = _Told(progress)
    groups = [_inspect(refreshing, each, shadow, told) for each in seen]
    hits = Counter[str]()
    for each in seen:
        hits.update(each.hits)
    texts = _texts(refreshing, shadow, raw, hits, _kept_labels(tables))
    proofs = (_fitting(seen), _absent(raw, hits, texts), _tripped(seen), *filter(None, groups))
    return Inspection({each.guard.name: each.proven for each in seen}, proofs)


def kept_columns(guard: TableGuard) -> frozenset[str]:
    """Columns that are copied as they are."""
    policy = guard.stored.policy
    rules = policy.columns.items() if policy is not None else ()
    return frozenset(name for name, column in rules if isinstance(column.mask, Keep))


def _kept_labels(tables: Sequence[TableGuard]) -> frozenset[str]:
    """What enums of kept columns list: as little a leak as the columns' values."""
    return frozenset(
        label
        for guard in tables
        for column in guard.stored.structure.columns
        if column.name in kept_columns(guard)
        for label in column.labels
    )


class _Told:
    """Progress over all tables."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._rows = progress, 0

    def add(self, table: str, rows: int) -> None:
        self._rows += rows
        if self._progress is not None:
            self._progress(StepProgress("verify", table, "", self._rows, None))


def _inspect(refreshing: Refreshing, table: _Table, shadow: RefreshPlan | None, told: _Told) -> Proof | None:
    read = guarded_rows("verify", table.guard.name, copied_rows(refreshing, table.guard, shadow))
    looked = _looked(read, table.look, partial(told.add, table.guard.name), table.guard.name)
    return guarded("verify", table.guard.name, partial(table.anonymity, looked))


def _looked(
    batches: Iterator[pa.RecordBatch],
    look: Callable[[pa.RecordBatch], None],
    told: Callable[[int], None],
    table: str,
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        guarded("verify", table, partial(look, batch))
        told(batch.num_rows)
        yield batch


def _texts(
    refreshing: Refreshing,
    shadow: RefreshPlan | None,
    raw: RawFingerprints,
    hits: Counter[str],
    labels: frozenset[str],
) -> int:
    """Names, comments, defaults and definitions around the rows: how many, their hits counted."""
    texts = refreshing.target.texts(shadow)
    count = 0
    while part := list(islice(texts, 10_000)):
        count += len(part)
        others = [text for text in part if text not in labels]
        listed = [text for text in part if text in labels]
        found = raw.count(pa.array(others, pa.large_string()))
        found += raw.count(pa.array(listed, pa.large_string()), kept=True)
        if found:
            hits["texts around the rows"] += found
    return count


def _fitting(seen: Sequence[_Table]) -> Proof:
    misfits = list(dict.fromkeys(text for each in seen for text in each.misfits))
    values = sum(each.values for each in seen)
    what = "; ".join(misfits[:MOST_TOLD]) or f"each of {values:,} values is one that its rule makes."
    return Proof("rules", not misfits, what, {"values": values, "problems": len(misfits)})


def _absent(raw: RawFingerprints, hits: Counter[str], texts: int) -> Proof:
    rows = sum(hits.values())
    told = "; ".join(f"{count:,} in {place}" for place, count in hits.most_common(MOST_TOLD))
    what = (
        f"raw values occur: {told}"
        if rows
        else f"none of {len(raw):,} rare raw values occurs in the rows, nor in {texts:,} texts around them."
    )
    figures = {"looked for": len(raw), "share": raw.share, "texts": texts, "hits": rows}
    return Proof("raw values", not rows, what, figures)


def _tripped(seen: Sequence[_Table]) -> Proof:
    found = [tripped for each in seen for tripped in each.tripwires.tripped()]
    unapproved = [told for told, approved in found if not approved]
    approved = [f"{told} (approved)" for told, approved in found if approved]
    what = "; ".join([*unapproved, *approved][:MOST_TOLD]) or "nothing that is kept looks like personal data."
    return Proof("kept columns", not unapproved, what, {"found": len(found), "unapproved": len(unapproved)})
