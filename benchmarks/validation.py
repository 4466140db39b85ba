"""Validation beside reading everything: of the event store against its source, of a projection."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from benchmarks.measure.machine import versions
from benchmarks.measure.report import Report, Target, throughput
from benchmarks.measure.runs import Run, Timed, by_turns, run
from benchmarks.measure.scale import Scale
from benchmarks.postgres_sample import catalog, fill, opened, prepared, sample_server
from replication_assets.catalog import Catalog
from replication_assets.core.positions import Position
from replication_assets.demo.postgres_binaries import debian_binaries
from replication_assets.flows.capture import capture
from replication_assets.flows.load import load_range
from replication_assets.replication import Replication

TABLE = "order_events"
ABOUT = (
    "A validation takes a digest of every id range on both sides. Of the source the server computes it, and"
    " nothing else crosses the wire; of the event store it is computed from the fold, and kept until the"
    " range changes. The full read is what a comparison by hand begins with: COPY to nowhere, and ADBC into"
    " Arrow batches; of the projection, its Parquet read with DuckDB."
)
NOTES = (
    "The server spends its time in `md5`, `concat` and the text of each value. Of the client's, in µs a row:"
    " 1.2 the fold, 1.6 its digest, of which 0.7 are the MD5 of the payload, 0.4 that of the row, and 0.5"
    " the text of the other columns. Both sides hash every byte, so that a validation costs more processor"
    " time than a read; what it spares is the wire, and memory. A second validation of ranges that did not"
    " change computes nothing but the source's digests. Of the memory of validating a projection 240 MiB are"
    " imports and connections; the rest are row groups of wide rows, which Arrow decodes whole and one ahead,"
    " and DuckDB's own. Smaller row groups, or reading them page by page, would bring it below the target."
)


def measure(scale: Scale, home: Path) -> Report:
    rows = scale.of(500_000, 2_000)
    with sample_server(home) as server:
        fill(server, TABLE, rows)
        chosen = catalog(server, home, TABLE)
        _load(chosen)
        _project(chosen, home / "lake")
        postmaster = [server.pid]
        source = by_turns(
            {
                "COPY to nowhere": lambda: run(partial(_copy, server.dsn("shop"), rows), postmaster),
                "ADBC to Arrow": lambda: run(partial(_adbc, server.dsn("shop"), rows), postmaster),
                "validation": lambda: run(partial(_validate_source, chosen, rows, True), postmaster),
                "validation again": lambda: run(partial(_validate_source, chosen, rows, False), postmaster),
            },
            scale.rounds,
        )
        projection = by_turns(
            {
                "read the projection": lambda: run(partial(_read, home / "lake", rows)),
                "validation": lambda: run(partial(_validate_projection, chosen, home / "lake", rows, True)),
                "validation again": lambda: run(
                    partial(_validate_projection, chosen, home / "lake", rows, False)
                ),
            },
            scale.rounds,
        )
    title = f"{TABLE}, {rows:,} rows"
    return Report(
        "validation",
        "Validation",
        ABOUT,
        versions("adbc-driver-postgresql", "duckdb", "pyarrow"),
        (
            throughput(f"Event store against source: {title}", source, "COPY to nowhere"),
            throughput(f"Projection against event store: {title}", projection, "read the projection"),
        ),
        _targets(source, projection, short=scale.short),
        notes=NOTES,
    )


def _targets(source: dict[str, Run], projection: dict[str, Run], *, short: bool) -> tuple[Target, ...]:
    peak = max(each.peak_mib for each in (source["validation"], projection["validation"]))
    return (Target.at_most("memory", 512, peak, " MiB", short=short),)


def _load(chosen: Catalog) -> None:
    prepared(chosen)
    replication = Replication(chosen)
    source, store = replication.source("shop"), replication.store()
    (table,) = opened(chosen)
    high = source.bounds(table.id, table.id_ranges.column or "").high
    for id_range in table.loads(high):
        load_range(source, store, table, id_range)


def _project(chosen: Catalog, lake: Path) -> None:
    from replication_assets.flows.project import project_range
    from replication_assets.flows.read import ranges_of
    from replication_assets.targets.delta import DeltaTarget

    replication = Replication(chosen)
    (table,) = opened(chosen)
    snapshot = replication.store().log(table.id).snapshot()
    for id_range in ranges_of(snapshot):
        project_range(snapshot, table.id, DeltaTarget(str(lake), table.id), id_range)


def _copy(dsn: str, rows: int, timed: Timed) -> int:
    query = f"COPY {TABLE} TO STDOUT (FORMAT binary)"
    command = [str(debian_binaries() / "psql"), "--dbname", dsn, "--no-psqlrc", "--command", query]
    with timed:
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return rows


def _adbc(dsn: str, rows: int, timed: Timed) -> int:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(dsn) as connection, connection.cursor() as cursor, timed:
        cursor.execute(f"SELECT * FROM {TABLE}")
        for _ in cursor.fetch_record_batch():
            pass
    return rows


def _validate_source(chosen: Catalog, rows: int, anew: bool, timed: Timed) -> int:
    from replication_assets.flows.validation.validate import validate_source

    replication = Replication(chosen)
    source, store = replication.source("shop"), replication.store()
    (table,) = opened(chosen)
    if anew:
        _forget_digests(chosen)
    with timed:
        found = validate_source(source, store, table, catch_up=partial(_capture, chosen))
    assert {each.state for each in found.ranges} == {"equal"}, found
    return rows


def _capture(chosen: Catalog, position: Position) -> None:
    replication = Replication(chosen)
    capture(replication.source("shop"), replication.store(), opened(chosen), upto=position.commit)


def _validate_projection(chosen: Catalog, lake: Path, rows: int, anew: bool, timed: Timed) -> int:
    from replication_assets.flows.validation.validate import validate_projection
    from replication_assets.targets.delta import DeltaTarget

    (table,) = opened(chosen)
    store = Replication(chosen).store()
    target = DeltaTarget(str(lake), table.id)
    if anew:
        _forget_digests(chosen)
    with timed:
        found = validate_projection(store, target, table.id, projection="lake")
    assert {each.state for each in found.ranges} == {"equal"}, found
    return rows


def _forget_digests(chosen: Catalog) -> None:
    import shutil

    shutil.rmtree(Path(chosen.event_store.root) / "_digests", ignore_errors=True)


def _read(lake: Path, rows: int, timed: Timed) -> int:
    import duckdb

    files = str(lake / "shop" / "*" / "*" / "*.parquet")
    connection = duckdb.connect()
    with timed:
        for _ in connection.sql(f"SELECT * FROM read_parquet('{files}')").to_arrow_reader(65_536):
            pass
    return rows
