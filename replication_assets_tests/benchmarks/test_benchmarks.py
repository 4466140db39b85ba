"""Benchmarks run: what they are for is seen with more rows, on a quiet machine."""

import re
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _run(name: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_benchmark_of_a_refresh_tells_every_step_the_limit_and_the_memory() -> None:
    told = _run("refresh.py", "--rows", "2000", "--runs", "1", "--unsynced")
    for line in ("plan", "mask", "load", "verify", "publish", "refresh", r"pg_dump \| psql"):
        assert re.search(rf"^{line} +\d+\.\d\d +[\d,]+$", told, re.MULTILINE), line
    assert "400 customers, 600 orders, 1,000 order_events" in told
    assert re.search(r"the refresh takes [\d.]+ times as long as pg_dump \| psql", told)
    assert re.search(r"most memory .*: \d+ MiB for 2,000 rows$", told, re.MULTILINE)


def test_the_benchmark_of_masks_tells_rows_per_second_beside_a_copy_and_an_hmac() -> None:
    told = _run("masking.py", "20_000")
    assert re.search(r"^masked +[\d.]+ +[\d.]+ +\([\d.]+ M values/s\)$", told, re.MULTILINE)
    assert re.search(r"^Arrow copy .* times as fast$", told, re.MULTILINE)
    assert re.search(r"^HMAC of each value .* times as slow", told, re.MULTILINE)
