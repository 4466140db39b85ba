"""One command for all benchmarks: `python -m benchmarks [names] [--short] [--into docs]`.

Each benchmark is a module with `measure(scale, home)`, which returns its `Report`. Reports of full
runs are kept in `docs/benchmarks/`, and `docs/benchmarks.md` is made of all that are there: one
benchmark can be run again without the others.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.catalogue import BENCHMARKS, keep, measured
from benchmarks.measure.document import text
from benchmarks.measure.machine import REPOSITORY
from benchmarks.measure.scale import Scale

BOUNDED = "latency_ways ends within eight minutes, also on a busy machine: it leaves out ways for that."


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure.", epilog=BOUNDED)
    options.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(BENCHMARKS)} (all)")
    options.add_argument("--short", action="store_true", help="few rows, once: to see that it runs")
    options.add_argument(
        "--into", type=Path, help="where benchmarks.md is kept (docs, and nowhere with --short)"
    )
    chosen = options.parse_args()
    if unknown := sorted(set(chosen.names) - set(BENCHMARKS)):
        options.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    documents = chosen.into or (None if chosen.short else REPOSITORY / "docs")
    for name in chosen.names or BENCHMARKS:
        sys.stderr.write(f"{name}\n")
        report = measured(name, Scale(chosen.short))
        sys.stdout.write(text(report) + "\n")
        sys.stdout.flush()
        if documents is not None:
            keep(report, documents)


if __name__ == "__main__":
    main()
