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
NOTES = ""


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
