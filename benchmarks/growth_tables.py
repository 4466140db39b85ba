"""Growth with the tables of one catalog: what Dagster loads, a sensor's tick, what a capture opens."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.growth_measure import Growth, spent
from benchmarks.measure.processes import peak_mib
from benchmarks.measure.runs import Timed, run
from benchmarks.measure.scale import Scale
from benchmarks.postgres_sample import SOURCE, catalog, opened, prepared, session
from replication_assets.catalog import Catalog, DeltaProjection, PostgresSourceConfig
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.capture import capture
from replication_assets.replication import Replication


def tables(scale: Scale, server: PostgresServer, home: Path) -> Growth:
    """Empty ones: what every table costs before it has a row."""
    sizes = (2, 4) if scale.short else (10, 100, 1_000)
    found = Growth("tables", "Tables in one catalog", "tables", sizes)
    names = [f"t{number:04}" for number in range(sizes[-1])]
    with session(server) as connection:
        for name in names:
            connection.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, value text)".encode())
    for size in sizes:
        chosen = _catalog(server, home / "tables", names[:size])
        found.cost("setup", spent(partial(prepared, chosen), 1)[0])
        figures = run(partial(_afresh, chosen)).figures
        for what in ("definitions", "first tick", "idle tick", "capture of nothing"):
            found.cost(what, figures[what])
        found.figure("definitions, MiB", figures["MiB"])
    return found


def _catalog(server: PostgresServer, root: Path, names: list[str]) -> Catalog:
    chosen = catalog(server, root, *names, id_ranges=1)
    lake = DeltaProjection("lake", tables=[f"{SOURCE}.*"], root=str(root / "lake"))
    (source,) = chosen.sources
    assert isinstance(source, PostgresSourceConfig)
    return replace(
        chosen, sources=[replace(source, slot="growth", publication="growth")], projections=[lake]
    ).validate()


def _afresh(chosen: Catalog, timed: Timed) -> int:
    """In a process that did nothing yet but import what does not grow."""
    from replication_assets.defs.build import build_definitions

    warnings.simplefilter("ignore")
    before = peak_mib()
    with timed:
        definitions = partial(_define, build_definitions, chosen)
        timed.figures["definitions"] = spent(definitions, 1)[0]
        timed.figures["MiB"] = peak_mib() - before
        timed.figures |= _ticks(chosen)
        timed.figures["capture of nothing"] = spent(partial(_capture, chosen), 1)[0]
    return len(chosen.tables)


def _define(build: Callable[[Catalog], Any], chosen: Catalog) -> None:
    """As a code server does."""
    build(chosen).get_repository_def().load_all_definitions()


def _ticks(chosen: Catalog) -> dict[str, float]:
    """The first tick of the sensor reports tables, the second finds that nothing moved."""
    import dagster as dg

    from replication_assets.defs.capture import capture_job
    from replication_assets.defs.lifecycle import lifecycle_jobs
    from replication_assets.defs.sensors import offset_sensor

    (source,) = chosen.sources
    sensor = offset_sensor(source, [capture_job(source), *lifecycle_jobs(source)])
    replication, cursor, used = Replication(chosen), None, {}
    with dg.DagsterInstance.ephemeral() as instance:
        for what in ("first tick", "idle tick"):
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"replication": replication}
            )
            begun = time.process_time()
            answer = sensor(context)
            used[what] = time.process_time() - begun
            cursor = answer.cursor if isinstance(answer, dg.SensorResult) else cursor
    return used


def _capture(chosen: Catalog) -> None:
    """Opens every table and finds nothing."""
    replication = Replication(chosen)
    source, store = replication.source(SOURCE), replication.store()
    capture(source, store, opened(chosen), upto=source.status().head)
