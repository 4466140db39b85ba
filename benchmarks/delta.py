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

PARTITIONS = 51
TOUCHED = (1, 6, PARTITIONS)
PART = "part"
ABOUT = (
    "Updates of random rows that are in 1, 6 or all of 51 partitions of `order_events`: the projection from"
    " the event log (`project_range` for each touched id range), deltalake's MERGE with the partitions in"
    " its predicate, and an overwrite of the touched partitions whose new rows are in memory already: it"
    " reads nothing, and so is the limit. A plain append of the changes leaves the merging to readers."
)
NOTES = (
    "A touched id range costs reading its changes and keys, and rewriting the files that hold a changed"
    " row; most of it is encoding (zstd, 2 µs a row). Each range is a commit of its own, of some 20 ms."
)


@dataclass(frozen=True, slots=True)
class Sample:
    """`table` is a plain Delta table, `lake` a filled projection. Of each number of touched
    partitions a store with the same updates."""

    home: Path
    keys: int
    changes: int

    @property
    def ids(self) -> IdRanges:
        width = self.keys // PARTITIONS
        bounds = tuple(1 + width * number for number in range(1, PARTITIONS))
        return IdRanges("integer", "id", bounds, None, PARTITIONS)

    def updated(self, touched: int) -> Numbers:
        """Ids of the rows that change: any of the last `touched` partitions."""
        first = self.keys // PARTITIONS * (PARTITIONS - touched) + 1
        random = np.random.default_rng(touched)
        chosen: Numbers = np.sort(random.choice(np.arange(first, self.keys + 1), self.changes, replace=False))
        return chosen

    def keys_of(self, id_ranges: Sequence[str]) -> list[Numbers]:
        width = self.keys // PARTITIONS
        numbers = [int(key[1:]) for key in id_ranges]
        return [np.arange(width * number + 1, width * (number + 1) + 1) for number in numbers]

    def touched(self, partitions: int) -> list[str]:
        return [self.ids.at(number).key for number in range(PARTITIONS - partitions, PARTITIONS)]

    def prepare(self) -> None:
        import deltalake

        everything = history(self.keys, self.keys, shuffled=False)
        store_of(self.home / "loaded", everything, self.ids, loaded_keys=self.keys)
        _project(self.home / "loaded", self.home / "lake", [each.key for each in self.ids.known(None)])
        for keys in self.keys_of(self.touched(PARTITIONS)):
            deltalake.write_deltalake(
                str(self.home / "table"), self.plain(keys), mode="append", partition_by=[PART]
            )
        for partitions in TOUCHED:
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
    keys = scale.of(2_550_000, 5_100)
    sample = Sample(home, keys, keys // PARTITIONS)
    sample.prepare()
    paths = {"append": lambda: run(partial(_append, sample, _fresh(sample, "table")))}
    for partitions in TOUCHED:
        named = f"{partitions} touched"
        paths |= {
            f"overwrite, {named}": partial(_run, _overwrite, sample, "table", partitions),
            f"MERGE, {named}": partial(_run, _merge, sample, "table", partitions),
            f"replication_assets, {named}": partial(_run, _ours, sample, "lake", partitions),
        }
    runs = by_turns(paths, scale.rounds)
    title = f"{sample.changes:,} changes into {keys:,} rows in {PARTITIONS} partitions"
    return Report(
        "delta",
        "Projection to Delta",
        ABOUT,
        versions("deltalake", "duckdb", "pyarrow"),
        (_table(title, runs),),
        _targets(runs, short=scale.short),
        (_plot(title, runs),),
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


def _targets(runs: dict[str, Run], *, short: bool) -> tuple[Target, ...]:
    ours = [runs[f"replication_assets, {touched} touched"] for touched in TOUCHED]
    few, all_of_them = TOUCHED[1:]
    growth = (ours[2].seconds / ours[1].seconds) / (all_of_them / few)
    peak = max(each.peak_mib for each in ours)
    limits = [runs[f"overwrite, {touched} touched"] for touched in TOUCHED]
    return (
        *(
            Target.at_most(f"{touched} touched: of the overwrite", 1.1, a.seconds / b.seconds, short=short)
            for touched, a, b in zip(TOUCHED, ours, limits, strict=True)
        ),
        Target.at_most("cost of a partition, 51 touched against 6", 1.1, growth, short=short),
        Target.at_most("memory", 512, peak, " MiB", short=short),
    )


def _plot(title: str, runs: dict[str, Run]) -> Plot:
    series = {
        what: tuple((float(touched), runs[f"{what}, {touched} touched"].seconds) for touched in TOUCHED)
        for what in ("overwrite", "MERGE", "replication_assets")
    }
    return Plot("delta", title, "partitions touched", "seconds", series)


def _append(sample: Sample, table: Path, timed: Timed) -> int:
    import deltalake

    changed = sample.plain(sample.updated(PARTITIONS))
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
