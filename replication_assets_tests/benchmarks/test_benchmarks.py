"""Every benchmark runs: what it is for is seen with more rows, on a quiet machine."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.catalogue import BENCHMARKS
from benchmarks.measure.report import Report

REPOSITORY = Path(__file__).parents[2]
PROMISED = {
    "load": ("rows/s over COPY to nowhere",),
    "dynamodb": ("client time of batch_writer", "raw path's rate on DynamoDB Local"),
    "masking": ("million rows a second of one core",),
    "refresh": ("peak of a refresh of 1,000 rows", "peak, of that for a tenth"),
}
"""What is told of some, whatever else is."""


LONG = (
    "binlog",
    "capture",
    "delta",
    "fold",
    "growth",
    "latency",
    "latency_ways",
    "load",
    "mariadb_load",
    "source_tps",
    "validation",
)
"""Up to half a minute each, even in short: servers, peers in processes of their own, Dagster itself. What
all share is seen with the others, and that these can be imported."""


@pytest.mark.parametrize("name", LONG)
def test_what_only_the_long_form_runs_can_be_imported(name: str) -> None:
    assert callable(import_module(f"benchmarks.{name}").measure)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.full] if name in LONG else []) for name in BENCHMARKS]
)
def test_a_short_run_tells_every_table_and_target_with_the_machine_and_the_commit(
    name: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--short", "--into", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = Report.read(tmp_path / "benchmarks" / f"{name}.json")
    assert report.name == name
    assert report.about
    assert report.made_with
    assert re.search(r"\d+ cores, \d+ GiB, .*Python", done.stdout)
    assert report.commit in done.stdout
    assert report.tables
    for table in report.tables:
        assert table.title in done.stdout
        for line in table.lines:
            assert len(line) == len(table.headers), table.title
            assert re.search(r" +".join(re.escape(cell) for cell in line if cell), done.stdout), line
    assert report.targets
    for target in report.targets:
        # So few rows say nothing of it.
        assert target.met is None
        assert f"{target.what}: {target.reached} ({target.wanted}): not said" in done.stdout
    for promised in PROMISED.get(name, ()):
        assert any(promised in target.what for target in report.targets), promised
    for plot in report.plots:
        assert (tmp_path / "benchmarks" / f"{plot.name}.svg").exists()
