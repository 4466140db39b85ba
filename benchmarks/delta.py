"""Changes brought into a Delta table of many partitions, beside what one would write by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.event_sample import TABLE, Events, Numbers, add, history, rows, store_of
from benchmarks.measure.machine import versions
from benchmarks.measure.report import Plot, Report, Table, Target
from benchmarks.measure.runs import Run, Timed, by_turns, run
from benchmarks.measure.scale import Scale
from replication_assets.core.id_ranges import IdRanges
from replication_assets.event_store import DeltaEventStore

TOUCHED = (1, 6, 51)
"""Partitions that changes touch; there are as many as the last."""
TOUCHED_SHORT = (1, 2, 4)
PART = "part"
ABOUT = (
    "Updates of random rows that are in 1, 6 or all of 51 partitions of `order_events`: the projection from"
    " the event log (`project_range` for each touched id range), deltalake's MERGE with the partitions in"
    " its predicate, and an overwrite of the touched partitions whose new rows are in memory already: it"
    " reads nothing, and so is the limit. A plain append of the changes leaves the merging to readers."
)
NOTES = (
    "Processor time of a touched id range of 20,000 rows with 3,300 changes, as profiled: 0.04 s to find the"
    " net changes, 0.02 to find the rows that they replace, 0.03 to read the files, 0.04 to encode the new"
    " ones (zstd), 0.04 to open the two logs and read their registers, 0.01 to commit; the first range opens"
    " two DuckDB engines besides (0.05), which the others use again. About half of it does not grow with the"
    " range, so small ranges cost several times the overwrite, which reads nothing and commits once for all"
    " partitions. To reach it one would open the table once for a run of many ranges (0.03 s) and commit"
    " ranges together, which gives up that each has its own checkpoint and its own retry."
)


@dataclass(frozen=True, slots=True)
class Sample:
    """`table` is a plain Delta table, `lake` a filled projection. Of each number of touched
    partitions a store with the same updates."""

    home: Path
    keys: int
    changes: int
    touched_counts: tuple[int, int, int] = TOUCHED

    @property
    def partitions(self) -> int:
        return self.touched_counts[-1]

    @property
    def ids(self) -> IdRanges:
        width = self.keys // self.partitions
        bounds = tuple(1 + width * number for number in range(1, self.partitions))
        return IdRanges("integer", "id", bounds, None, self.partitions)

    def updated(self, touched: int) -> Numbers:
        """Ids of the rows that change: any of the last `touched` partitions."""
        first = self.keys // self.partitions * (self.partitions - touched) + 1
        random = np.random.default_rng(touched)
        chosen: Numbers = np.sort(random.choice(np.arange(first, self.keys + 1), self.changes, replace=False))
        return chosen

    def keys_of(self, id_ranges: Sequence[str]) -> list[Numbers]:
        width = self.keys // self.partitions
        numbers = [int(key[1:]) for key in id_ranges]
        return [np.arange(width * number + 1, width * (number + 1) + 1) for number in numbers]

    def touched(self, partitions: int) -> list[str]:
        return [self.ids.at(number).key for number in range(self.partitions - partitions, self.partitions)]

    def prepare(self) -> None:
        import deltalake

        everything = history(self.keys, self.keys, shuffled=False)
        store_of(self.home / "loaded", everything, self.ids, loaded_keys=self.keys)
        _project(self.home / "loaded", self.home / "lake", [each.key for each in self.ids.known(None)])
        for keys in self.keys_of(self.touched(self.partitions)):
            deltalake.write_deltalake(
                str(self.home / "table"), self.plain(keys), mode="append", partition_by=[PART]
            )
        for partitions in self.touched_counts:
            store = _linked(self.home / "loaded", self.home / f"changed{partitions}")
            chosen = self.updated(partitions)
            updates = Events(np.full(self.changes, "U"), chosen, np.arange(self.changes))
            add(DeltaEventStore(str(store)), updates, self.ids)

    def plain(self, keys: Numbers) -> pa.Table:
        """Rows of the plain table."""
        batch = rows(keys)
        return pa.Table.from_batches([batch]).append_column(PART, self.ids.assign(batch.column("id")))


_copies = count()


def _linked(source: Path, copy: Path) -> Path:
    """The same files under another name: no file of a Delta table ever changes."""
    shutil.copytree(source, copy, copy_function=os.link)
    return copy


def _fresh(sample: Sample, name: str) -> Path:
    return _linked(sample.home / name, sample.home / f"copy{next(_copies)}")


def measure(scale: Scale, home: Path) -> Report:
    keys = scale.of(2_550_000, 4_000)
    counts = TOUCHED_SHORT if scale.short else TOUCHED
    sample = Sample(home, keys, scale.of(50_000, 100), counts)
    sample.prepare()
    paths = {"append": lambda: run(partial(_append, sample, _fresh(sample, "table")))}
    for partitions in counts:
        named = f"{partitions} touched"
        paths |= {
            f"overwrite, {named}": partial(_run, _overwrite, sample, "table", partitions),
            f"MERGE, {named}": partial(_run, _merge, sample, "table", partitions),
            f"replication_assets, {named}": partial(_run, _ours, sample, "lake", partitions),
        }
    runs = by_turns(paths, scale.rounds)
    title = f"{sample.changes:,} changes into {keys:,} rows in {counts[-1]} partitions"
    return Report(
        "delta",
        "Projection to Delta",
        ABOUT,
        versions("deltalake", "duckdb", "pyarrow"),
        (_table(title, runs),),
        _targets(runs, counts, short=scale.short),
        (_plot(title, runs, counts),),
        NOTES,
    )


def _run(path: object, sample: Sample, table: str, partitions: int) -> Run:
    assert callable(path)
    return run(partial(path, sample, _fresh(sample, table), partitions))


def _table(title: str, runs: dict[str, Run]) -> Table:
    lines = []
    for name, each in runs.items():
        _, _, touched = name.partition(", ")
        limit = runs.get(f"overwrite, {touched}")
        ratio = f"{each.seconds / limit.seconds:.2f}" if limit is not None else ""
        lines.append((name, f"{each.seconds:.2f}", ratio, f"{each.client:.2f}", f"{each.peak_mib:.0f}"))
    return Table(title, ("path", "s", "of the overwrite", "client s", "peak MiB"), tuple(lines))


def _targets(runs: dict[str, Run], counts: tuple[int, int, int], *, short: bool) -> tuple[Target, ...]:
    ours = [runs[f"replication_assets, {touched} touched"] for touched in counts]
    few, all_of_them = counts[1:]
    growth = (ours[2].seconds / ours[1].seconds) / (all_of_them / few)
    peak = max(each.peak_mib for each in ours)
    limits = [runs[f"overwrite, {touched} touched"] for touched in counts]
    return (
        *(
            Target.at_most(f"{touched} touched: of the overwrite", 1.1, a.seconds / b.seconds, short=short)
            for touched, a, b in zip(counts, ours, limits, strict=True)
        ),
        Target.at_most(f"cost of a partition, {all_of_them} touched against {few}", 1.1, growth, short=short),
        Target.at_most("memory", 512, peak, " MiB", short=short),
    )


def _plot(title: str, runs: dict[str, Run], counts: tuple[int, int, int]) -> Plot:
    series = {
        what: tuple((float(touched), runs[f"{what}, {touched} touched"].seconds) for touched in counts)
        for what in ("overwrite", "MERGE", "replication_assets")
    }
    return Plot("delta", title, "partitions touched", "seconds", series)


def _append(sample: Sample, table: Path, timed: Timed) -> int:
    import deltalake

    changed = sample.plain(sample.updated(sample.partitions))
    with timed:
        deltalake.write_deltalake(str(table), changed, mode="append")
    return sample.changes


def _merge(sample: Sample, table: Path, partitions: int, timed: Timed) -> int:
    import deltalake

    changed = sample.plain(sample.updated(partitions))
    listed = ", ".join(f"'{key}'" for key in sample.touched(partitions))
    opened = deltalake.DeltaTable(str(table))
    with timed:
        (
            opened.merge(
                changed,
                f"t.id = s.id AND t.{PART} = s.{PART} AND t.{PART} IN ({listed})",
                source_alias="s",
                target_alias="t",
            )
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .execute()
        )
    return sample.changes


def _overwrite(sample: Sample, table: Path, partitions: int, timed: Timed) -> int:
    import deltalake

    touched = sample.touched(partitions)
    whole = pa.concat_tables([sample.plain(keys) for keys in sample.keys_of(touched)])
    listed = ", ".join(f"'{key}'" for key in touched)
    with timed:
        deltalake.write_deltalake(str(table), whole, mode="overwrite", predicate=f"{PART} IN ({listed})")
    return sample.changes


def _ours(sample: Sample, lake: Path, partitions: int, timed: Timed) -> int:
    _project(sample.home / f"changed{partitions}", lake, sample.touched(partitions), timed)
    return sample.changes


def _project(root: Path, lake: Path, id_ranges: Sequence[str], timed: Timed | None = None) -> None:
    from contextlib import nullcontext

    from replication_assets.core.sql import Spill
    from replication_assets.flows.project import project_range
    from replication_assets.targets.delta import DeltaTarget

    snapshot = DeltaEventStore(str(root)).log(TABLE).snapshot()
    spill = Spill(folder=str(lake / "_spill"))
    target = DeltaTarget(str(lake), TABLE, spill=spill)
    with timed or nullcontext():
        for key in id_ranges:
            project_range(snapshot, TABLE, target, snapshot.id_ranges.by_key(key), spill=spill)
