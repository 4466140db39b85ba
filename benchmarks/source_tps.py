"""What capture costs the source: pgbench's transactions per second with and without it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.measure.report import Report, Table, Target
from benchmarks.measure.scale import Scale
from benchmarks.postgres_sample import DATABASE, SOURCE, catalog, opened, prepared, sample_server, session
from replication_assets.catalog import ByCount, Catalog, PostgresSourceConfig
from replication_assets.catalog import Table as CatalogTable
from replication_assets.declarations import CaptureBy
from replication_assets.demo import pgbench
from replication_assets.demo.postgres_binaries import debian_binaries
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.capture import capture
from replication_assets.replication import Replication

ACCOUNTS = "pgbench_accounts", "pgbench_tellers", "pgbench_branches"
HISTORY = "pgbench_history"
PUBLICATIONS = "replication_assets,replication_assets_append"
NONE, OURS, TRIGGER = "no capture", "captured by replication_assets", "row trigger into a jsonb table"
TRIGGERS, UNREAD = "captured by triggers of replication_assets", "triggers of replication_assets, not read"
ABOUT = (
    "pgbench's bank, its standard script with 4 clients. In each round all ways take their turn, and a"
    " ratio is that to the same round's run without capture. Everything shares the machine's cores, as it"
    " would not in production: what consumes the stream takes processor time from the server here."
)
NOTES = (
    "pgbench and its server keep both cores busy, so that whatever reads the stream takes its time from"
    " them: `pg_recvlogical`, which neither decodes nor keeps anything, leaves four fifths. What the source"
    " itself pays is the slot and its server process, which decodes: 3 to 4 µs a change (see Capture). The"
    " rest is our own process, which belongs on another machine where the source is short of cores."
)
_TRIGGER = """
CREATE TABLE changes (id bigserial PRIMARY KEY, at timestamptz, name text, what text, old jsonb, new jsonb);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO changes (at, name, what, old, new) VALUES (clock_timestamp(), TG_TABLE_NAME, TG_OP,
        CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
    RETURN NULL;
END $$;
"""
_DROP_TRIGGER = "DROP FUNCTION note CASCADE; DROP TABLE changes"


def measure(scale: Scale, home: Path) -> Report:
    seconds = scale.of(5, 1)
    with sample_server(home, {"checkpoint_timeout": "1h"}) as server:
        dsn = server.dsn(DATABASE)
        pgbench.initialise(debian_binaries(), dsn, scale=scale.of(10, 1))
        ways: dict[str, Callable[[int], AbstractContextManager[object]]] = {
            NONE: lambda _: nullcontext(),
            "slot idle": partial(_idle, server, home),
            "slot consumed by pg_recvlogical": partial(_received, server, home),
            OURS: partial(_captured, server, home),
            UNREAD: partial(_idle, server, home, by="triggers"),
            TRIGGERS: partial(_captured, server, home, by="triggers"),
            TRIGGER: partial(_triggered, server),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(scale.rounds):
            for name, way in ways.items():
                with way(turn):
                    told = pgbench.run(debian_binaries(), dsn, clients=4, seconds=seconds)
                found[name].append(told.tps)
                sys.stderr.write(f"  {name}: {told.tps:,.0f} transactions/s\n")
    ratios = {
        name: statistics.median(one / none for one, none in zip(each, found[NONE], strict=True))
        for name, each in found.items()
    }
    lines = tuple((n, f"{statistics.median(each):,.0f}", f"{ratios[n]:.2f}") for n, each in found.items())
    title = f"{seconds} s a run, {scale.rounds} rounds"
    return Report(
        "source_tps",
        "Load on the source",
        ABOUT,
        "pgbench of Debian",
        (Table(title, ("way", "transactions/s", "of no capture"), lines),),
        (
            Target.at_least("transactions/s, of no capture", 0.85, ratios[OURS], short=scale.short),
            Target.at_least("with triggers, not read", 0.70, ratios[UNREAD], short=scale.short),
        ),
        notes=NOTES,
    )


# --- ways --------------------------------------------------------------------------------


@contextmanager
def _prepared(server: PostgresServer, home: Path, name: str, by: CaptureBy) -> Iterator[Catalog]:
    """The four tables with publications and a slot, or with triggers; gone at the end."""
    chosen = catalog(server, home / name, "order_events")
    tables = [CatalogTable(f"{SOURCE}.public.{each}", id_ranges=ByCount(2)) for each in ACCOUNTS]
    history = CatalogTable(
        f"{SOURCE}.public.{HISTORY}", id_ranges=ByCount(2), range_column="aid", append_only=True
    )
    (source,) = chosen.sources
    assert isinstance(source, PostgresSourceConfig)
    if by == "triggers":
        source = replace(source, capture=by, slot=None, publication=None)
    chosen = replace(chosen, sources=(source,), tables=(*tables, history)).validate()
    prepared(chosen)
    try:
        yield chosen
    finally:
        Replication(chosen).source(SOURCE).teardown(force=True)


@contextmanager
def _idle(server: PostgresServer, home: Path, turn: int, by: CaptureBy = "log") -> Iterator[None]:
    with _prepared(server, home, f"idle{by}{turn}", by):
        yield


@contextmanager
def _received(server: PostgresServer, home: Path, turn: int) -> Iterator[None]:
    command = [str(debian_binaries() / "pg_recvlogical"), "--dbname", server.dsn(DATABASE)]
    command += ["--slot", "replication_assets", "--start", "--no-loop", "--file", os.devnull]
    command += ["--option", "proto_version=1", "--option", f"publication_names={PUBLICATIONS}"]
    with _prepared(server, home, f"received{turn}", "log") as chosen:
        receiving = subprocess.Popen(command)
        try:
            _until_read(chosen)
            yield
        finally:
            receiving.send_signal(signal.SIGINT)
            receiving.wait()


@contextmanager
def _captured(server: PostgresServer, home: Path, turn: int, by: CaptureBy = "log") -> Iterator[None]:
    fresh = multiprocessing.get_context("spawn")
    with _prepared(server, home, f"captured{by}{turn}", by) as chosen:
        stop = fresh.Event()
        capturing = fresh.Process(target=_capture, args=(chosen, stop))
        capturing.start()
        try:
            _until_read(chosen)
            yield
        finally:
            stop.set()
            capturing.join()
        if capturing.exitcode:
            raise RuntimeError("the capture failed")


def _capture(chosen: Catalog, stop: object) -> None:
    replication = Replication(chosen)
    is_set: Callable[[], bool] = stop.is_set  # type: ignore[attr-defined]
    capture(replication.source(SOURCE), replication.store(), opened(chosen), stop=is_set)


def _until_read(chosen: Catalog) -> None:
    """Wait until somebody reads the changes."""
    source = Replication(chosen).source(SOURCE)
    while not source.status().active:
        time.sleep(0.01)


@contextmanager
def _triggered(server: PostgresServer, _: int) -> Iterator[None]:
    with session(server) as connection:
        connection.execute(_TRIGGER.encode())
        for table in (*ACCOUNTS, HISTORY):
            connection.execute(
                f"CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION note()".encode()
            )
        try:
            yield
        finally:
            connection.execute(_DROP_TRIGGER.encode())
