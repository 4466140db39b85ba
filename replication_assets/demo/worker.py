"""One process of the sample system: `python -m replication_assets.demo.worker TASK ...`.

It runs what a Dagster run launcher would run in a process of its own, and can be killed at any
moment: Dagster's own handling of an interrupt would follow the retry policy of the op instead of
ending. Answers, where there are any, are lines of JSON on standard output; everything else is the
run's log, on standard error.

    load TABLE=RANGE,RANGE ...   a line for each load
    project TABLE ...
    drain                        captures what is there; one line
    capture                      captures until a successor takes over
    dead-letter                  one row refused and reprocessed; one line
    refresh                      the masked copy for testers; one line
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from replication_assets.demo.catalog import SERVICE, SOURCE, sample_catalog
from replication_assets.demo.dagster_runs import DagsterRuns, Drained, Loaded, micro_batch, without_inline
from replication_assets.demo.dead_letter import DeadLetterReport, refuse_and_reprocess
from replication_assets.demo.refresh import refresh

MODULE = "replication_assets.demo.worker"


def main(task: str, arguments: Sequence[str]) -> None:
    catalog = without_inline(sample_catalog(), SERVICE)
    tables = {str(table.id): table for table in catalog.tables}
    runs = DagsterRuns(
        Path(os.environ["DAGSTER_HOME"]), catalog if task == "capture" else micro_batch(catalog), log=True
    )
    if task in ("capture", "drain"):
        _answer(runs.capture(SOURCE))
    elif task == "refresh":
        sys.stdout.write(refresh(catalog, runs).to_json() + "\n")
    elif task == "dead-letter":
        _answer(refuse_and_reprocess(catalog, runs))
    elif task == "project":
        for name in arguments:
            runs.project(tables[name].id)
    elif task == "load":
        for load in arguments:
            name, ranges = load.split("=")
            _answer(runs.load(tables[name], ranges.split(",")))


def _answer(facts: Loaded | Drained | DeadLetterReport) -> None:
    sys.stdout.write(json.dumps(asdict(facts)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
