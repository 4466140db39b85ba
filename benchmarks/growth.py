"""How cost grows with the input: it is to grow no faster than that, wherever there can be much of it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.growth_source import events, id_ranges
from benchmarks.growth_store import commits
from benchmarks.growth_tables import tables
from benchmarks.measure.machine import versions
from benchmarks.measure.report import Report
from benchmarks.measure.scale import Scale
from benchmarks.postgres_sample import sample_server

ABOUT = """\
Costs are processor time of the measuring processes: a busy machine moves it little. The exponent is
that between the last two sizes; 1 is a cost that grows as its input does, 0 one that does not grow."""
NOTES = """\
Id ranges share nothing but the machine: processor time grows as they do, and time by the clock as well
once there are more of them than cores. A capture's cost per change falls until its start is paid for.
Opening a store reads at most the 50 commits since its last checkpoint; a fold reads every file, of which
compaction leaves few. An append lists what is active, so that it costs more with files that nobody
compacted; a running capture compacts by itself. Every table costs a capture its structure, its partition
tree and the opening of its log, each over a connection of its own: reading these of all tables together is
what would make a catalog of a thousand tables open faster. The sensor's first tick tells figures for ten
seconds and goes on from there in the next; later ones ask no log whether it is there."""


def measure(scale: Scale, home: Path) -> Report:
    with sample_server(home) as server:
        found = [
            id_ranges(scale, server, home),
            events(scale, server, home),
            commits(scale, home),
            tables(scale, server, home),
        ]
    return Report(
        "growth",
        "Growth",
        ABOUT,
        versions("dagster", "deltalake", "pyarrow", "duckdb"),
        tuple(each.table() for each in found),
        tuple(target for each in found for target in each.targets(short=scale.short)),
        tuple(each.plot() for each in found),
        NOTES,
    )
