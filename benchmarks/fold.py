"""The rows of an event log, beside what a query of one line makes of its files.

Events are in no order of time, so that neither file nor row group can be left out.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.event_sample import TABLE, history, store_of
from benchmarks.measure.machine import versions
from benchmarks.measure.report import Plot, Points, Report, Target, throughput
from benchmarks.measure.runs import Run, Timed, by_turns, run
from benchmarks.measure.scale import Scale
from replication_assets.event_store import DeltaEventStore

EVENTS_PER_KEY = 5
BATCH_ROWS = 65_536
COLUMNS = (
    "id, aggregate_id, event_timestamp, version, conversation_id, created_at, event_data, "
    "_epoch, _commit_position, _sequence, _committed_at, _overflow"
)
POSITION = ("_epoch", "_commit_position", "_sequence")
ABOUT = (
    "The current rows of a log of `order_events` (some 450 bytes a row, five events a key, in no order of"
    " time) from the event store's own Parquet files, streamed to nowhere. The limit only reads the columns"
    " of a row, with DuckDB; the other queries are what one would write by hand, and know nothing of loads,"
    " epochs or values that were not sent."
)
NOTES = (
    "Processor time of a fold, in µs an event: 0.05 to read the columns that decide, 0.4 to find the last"
    " event of each key (`arg_max` over a 127-bit number), 0.1 to look for rows of the load whose key never"
    " changed, 0.5 to decompress and decode the wide columns, 0.1 to pick the rows. Of the wide columns each"
    " page has to be decompressed, since it holds some row that counts. Memory is that of DuckDB (384 MiB,"
    " beyond which it spills) and of one row group of wide rows. The peers hold all wide rows in memory and"
    " use both cores for that; ours reads row group after row group and leaves a core idle a third of the"
    " time, so that it wins in processor time and in memory, and by the clock only where other work runs"
    " beside. Decoding two row groups at once would need the memory of both."
)


def measure(scale: Scale, home: Path) -> Report:
    count = scale.of(2_000_000, 6_000)
    root = home / "shuffled"
    store_of(root, history(count // EVENTS_PER_KEY, count, shuffled=True))
    paths = {
        "read alone (DuckDB)": partial(_read, root, count),
        "DuckDB QUALIFY": partial(_qualify, root, count),
        "DuckDB semi-join": partial(_semi_join, root, count),
        "polars unique": partial(_polars_unique, root, count),
        "polars semi-join": partial(_polars_semi_join, root, count),
        "replication_assets": partial(_ours, root, count),
    }
    runs = by_turns({name: partial(run, path) for name, path in paths.items()}, scale.rounds)
    larger = scale.of(5_000_000, 12_000)
    store_of(home / "larger", history(larger // EVENTS_PER_KEY, larger, shuffled=True))
    large = run(partial(_ours, home / "larger", larger))
    table = throughput(f"{count:,} events, {count // EVENTS_PER_KEY:,} keys", runs, next(iter(runs)))
    whole = throughput(
        f"{larger:,} events, {larger // EVENTS_PER_KEY:,} keys",
        {"replication_assets": large},
        "replication_assets",
    )
    return Report(
        "fold",
        "Fold",
        ABOUT,
        versions("duckdb", "polars", "pyarrow"),
        (table, whole),
        _targets(runs, large, short=scale.short),
        (_plot(runs),),
        NOTES,
    )


def _targets(runs: dict[str, Run], large: Run, *, short: bool) -> tuple[Target, ...]:
    ours = runs["replication_assets"].rate
    qualify, joined = ours / runs["DuckDB QUALIFY"].rate, ours / runs["DuckDB semi-join"].rate
    return (
        Target.at_least("events/s: of DuckDB QUALIFY", 2, qualify, short=short),
        Target.at_least("events/s: of a DuckDB semi-join", 0.8, joined, short=short),
        Target.at_most(f"memory for {large.rows:,} events", 1_200, large.peak_mib, " MiB", short=short),
    )


def _plot(runs: dict[str, Run]) -> Plot:
    bars: dict[str, Points] = {name: ((0.0, each.rate / 1e6),) for name, each in runs.items()}
    return Plot("fold", "Fold of a log in no order of time", "", "million events/s", bars, "bars")


def _files(root: Path) -> list[str]:
    store = DeltaEventStore(str(root))
    return [
        f"{store.uri(TABLE)}/{path}" for path in store.log(TABLE).snapshot().files() if "=all/" not in path
    ]


def _source(root: Path) -> str:
    """The files as a table of DuckDB."""
    return f"read_parquet({_files(root)!r}, hive_partitioning = false, union_by_name = true)"


def _duckdb(query: str, timed: Timed) -> None:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    with timed:
        for _ in connection.sql(query).to_arrow_reader(BATCH_ROWS):
            pass


def _read(root: Path, count: int, timed: Timed) -> int:
    table = _source(root)
    _duckdb(f"SELECT {COLUMNS} FROM {table}", timed)
    return count


def _qualify(root: Path, count: int, timed: Timed) -> int:
    table = _source(root)
    newest = ", ".join(f"{name} DESC" for name in POSITION)
    last = f"SELECT * FROM {table} QUALIFY row_number() OVER (PARTITION BY id ORDER BY {newest}) = 1"
    _duckdb(f"SELECT {COLUMNS} FROM ({last}) WHERE _op <> 'D'", timed)
    return count


def _semi_join(root: Path, count: int, timed: Timed) -> int:
    table = _source(root)
    newest = "max(struct_pack(e := _epoch, c := _commit_position, s := _sequence)) AS w"
    last = f"SELECT id, {newest} FROM {table} GROUP BY id"
    wanted = f"(id, _epoch, _commit_position, _sequence) IN (SELECT id, w.e, w.c, w.s FROM ({last}))"
    _duckdb(f"SELECT {COLUMNS} FROM {table} WHERE _op <> 'D' AND {wanted}", timed)
    return count


def _polars_unique(root: Path, count: int, timed: Timed) -> int:
    import polars

    files = _files(root)
    with timed:
        events = polars.scan_parquet(files, missing_columns="insert", hive_partitioning=False)
        last = events.sort(*POSITION).unique("id", keep="last").filter(polars.col("_op") != "D")
        last.select(COLUMNS.split(", ")).collect(engine="streaming")
    return count


def _polars_semi_join(root: Path, count: int, timed: Timed) -> int:
    import polars

    files = _files(root)
    with timed:
        events = polars.scan_parquet(files, missing_columns="insert", hive_partitioning=False)
        # Polars has no maximum of rows; these positions fit one number.
        at = (polars.col("_commit_position") * 1_000 + polars.col("_sequence")).alias("at")
        last = events.group_by("id").agg(at.max())
        rows = (
            events.with_columns(at).filter(polars.col("_op") != "D").join(last, on=["id", "at"], how="semi")
        )
        rows.select(COLUMNS.split(", ")).collect(engine="streaming")
    return count


def _ours(root: Path, count: int, timed: Timed) -> int:
    from replication_assets.core.sql import Spill
    from replication_assets.flows.read import fold_range

    snapshot = DeltaEventStore(str(root)).log(TABLE).snapshot()
    with timed:
        for _ in fold_range(
            snapshot, TABLE, snapshot.id_ranges.at(0), spill=Spill(folder=str(root / "_spill"))
        ):
            pass
    return count
