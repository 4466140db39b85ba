"""Which benchmarks there are; how one is run, and where its report is kept."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from benchmarks.measure.document import draw, markdown, shown_in
from benchmarks.measure.machine import commit, machine
from benchmarks.measure.report import Report
from benchmarks.measure.scale import Scale

BENCHMARKS = (
    "load",
    "capture",
    "mariadb_load",
    "binlog",
    "fold",
    "delta",
    "dynamodb",
    "validation",
    "source_tps",
    "latency",
    "latency_ways",
    "masking",
    "refresh",
    "growth",
)
"""In the document's order."""


def measured(name: str, scale: Scale) -> Report:
    """Run one benchmark, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        return alone.submit(_measured, name, scale).result()


def _measured(name: str, scale: Scale) -> Report:
    """In a folder of its own that goes with it."""
    home = Path(tempfile.mkdtemp(prefix=f"benchmark-{name}-"))
    # The account that a server of root runs under must get in.
    home.chmod(0o755)
    try:
        report: Report = import_module(f"benchmarks.{name}").measure(scale, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return replace(report, machine=machine(), commit=commit())


def keep(report: Report, documents: Path) -> None:
    """Write the report and its plots, the document anew from all reports that are there, and the report's
    tables in pages that show them."""
    folder = documents / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    report.write(folder / f"{report.name}.json")
    for plot in report.plots:
        draw(plot, folder)
    kept = [folder / f"{name}.json" for name in BENCHMARKS]
    reports = [Report.read(path) for path in kept if path.exists()]
    (documents / "benchmarks.md").write_text(markdown(reports, "benchmarks"), encoding="utf-8")
    for page in documents.glob("*.md"):
        before = page.read_text(encoding="utf-8")
        if (after := shown_in(before, report)) != before:
            page.write_text(after, encoding="utf-8")
