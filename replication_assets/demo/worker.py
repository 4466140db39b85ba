"""One process of the sample system: `python -m replication_assets.demo.worker capture`, or `load`.

It runs what a Dagster run launcher would run in its own process. Answers, where there are any,
are lines of JSON on standard output; everything else is the run's log, on standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from replication_assets.demo.catalog import SOURCE, sample_catalog
from replication_assets.demo.dagster_runs import DagsterRuns

MODULE = "replication_assets.demo.worker"


def load_arguments(loads: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """The command line that loads these id ranges of these tables, in order."""
    return [MODULE, "load", *(f"{table}={','.join(ranges)}" for table, ranges in loads)]


def capture_arguments() -> list[str]:
    return [MODULE, "capture"]


def main(arguments: Sequence[str]) -> None:
    catalog = sample_catalog()
    runs = DagsterRuns(Path(os.environ["DAGSTER_HOME"]), catalog, log=True)
    if arguments[0] == "capture":
        runs.capture(SOURCE)
        return
    tables = {str(table.id): table for table in catalog.tables}
    for load in arguments[1:]:
        name, ranges = load.split("=")
        sys.stdout.write(json.dumps(asdict(runs.load(tables[name], ranges.split(",")))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
