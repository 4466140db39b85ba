"""The sample system in its folder: server, database, replication, Dagster's instance.

Owns the order in which these start and stop, and what is done to leftovers of a system that was
killed. Whatever ends the block ends the server; Ctrl-C meanwhile changes nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from replication_assets.demo import monolith
from replication_assets.demo.catalog import FOLDER_VARIABLE, PORT_VARIABLE, SOURCE, sample_catalog
from replication_assets.demo.dagster_runs import DagsterRuns, Loaded, make_instance, micro_batch
from replication_assets.demo.folder import DemoFolder, stop_leftover_programs, stop_leftover_server
from replication_assets.demo.interrupts import interrupts_deferred, undisturbed
from replication_assets.demo.postgres_server import HOST, PostgresServer
from replication_assets.demo.programs import Program
from replication_assets.demo.worker import capture_arguments, load_arguments
from replication_assets.errors import ReplicationError
from replication_assets.replication import Replication

LOADERS = 4
"""Processes that load at the same time."""

CAPTURE_START_SECONDS = 60.0


class SampleSystem:
    """A running server, and everything that was declared over it. Made by `running`."""

    def __init__(self, folder: DemoFolder, server: PostgresServer) -> None:
        self.folder = folder
        self.server = server
        self.catalog = sample_catalog()
        self.replication = Replication(self.catalog)
        self.source = self.replication.source(SOURCE)
        self.store = self.replication.store()

    @property
    def dsn(self) -> str:
        return self.server.dsn(SOURCE)

    @property
    def version(self) -> str:
        with psycopg.connect(self.server.dsn()) as connection:
            answer = connection.execute("SHOW server_version").fetchone()
        return str(answer[0]) if answer else ""

    @property
    def environment(self) -> dict[str, str]:
        """For programs that load the same catalog."""
        return {
            FOLDER_VARIABLE: str(self.folder.root),
            PORT_VARIABLE: str(self.server.port),
            "DAGSTER_HOME": str(self.folder.dagster_home),
        }

    def create_database(self, events: int) -> None:
        """The monolith, with a history that ends today: traffic continues it."""
        self.server.create_database(SOURCE)
        today = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        monolith.create(self.dsn, events, until=today)

    @contextmanager
    def dagster_runs(self) -> Iterator[DagsterRuns]:
        """Runs in this process. Captures end once they have caught up."""
        runs = DagsterRuns(self.folder.dagster_home, micro_batch(self.catalog))
        try:
            yield runs
        finally:
            runs.close()

    def capture_process(self) -> Program:
        """A continuous capture, in a process of its own; returns when it reads the change stream."""
        log = self.folder.logs / "capture.log"
        program = Program(capture_arguments(), log=log, environment=self.environment)
        try:
            self._wait_for_capture(program)
        except BaseException:
            program.stop()
            raise
        return program

    def _wait_for_capture(self, program: Program) -> None:
        deadline = time.monotonic() + CAPTURE_START_SECONDS
        while not self.source.status().active:
            if not program.running or time.monotonic() > deadline:
                raise ReplicationError(
                    f"the capture did not start; its last words: {program.last_words()}",
                    where=SOURCE,
                    fix=f"Read {program.log}",
                )
            time.sleep(0.1)

    def load_all(self, runs: DagsterRuns, show: Callable[[str], None]) -> list[Loaded]:
        """Every id range of every table, by several processes at the same time."""
        id_ranges = {str(table.id): runs.id_ranges(table.id) for table in self.catalog.tables}
        with ExitStack() as started:
            programs = [
                started.enter_context(
                    Program(
                        load_arguments(share),
                        log=self.folder.logs / f"load-{number}.log",
                        environment=self.environment,
                        answers=True,
                    )
                )
                for number, share in enumerate(shares(id_ranges, LOADERS), start=1)
            ]
            while any(program.running for program in programs):
                show(f"{sum(program.running for program in programs)} processes at work")
                time.sleep(0.1)
            done = [Loaded(**json.loads(line)) for program in programs for line in program.answer()]
        # Keys went on growing: a range that a capture saw first is not part of its neighbour's load.
        new = {
            table: tuple(key for key in runs.id_ranges(table.id) if key not in id_ranges[str(table.id)])
            for table in self.catalog.tables
        }
        return [*done, *(runs.load(table, keys) for table, keys in new.items() if keys)]


def shares(id_ranges: dict[str, tuple[str, ...]], processes: int) -> list[list[tuple[str, Sequence[str]]]]:
    """What each process loads: one id range of the tables that have enough of them, else a table."""
    divided: list[list[tuple[str, Sequence[str]]]] = [[] for _ in range(processes)]
    for table, ranges in sorted(id_ranges.items(), key=lambda item: -len(item[1])):
        pieces = [[key] for key in ranges] if len(ranges) >= processes else [list(ranges)]
        for piece in pieces:
            min(divided, key=lambda share: sum(len(keys) for _, keys in share)).append((table, piece))
    return [share for share in divided if share]


@contextmanager
def running(root: Path, port: int, *, fresh: bool) -> Iterator[SampleSystem]:
    """The sample system of a folder, with its server running; `fresh` starts from nothing.

    Raises:
        ReplicationError: the folder is not ours or in use, or the port is taken.
    """
    folder = DemoFolder(root)
    with folder.held(), ExitStack() as started:
        server = PostgresServer(folder.server_data, port=port)
        stop_leftover_programs(folder)
        stop_leftover_server(server.data_dir)
        _refuse_taken(port)
        if fresh or not folder.loaded:
            server.destroy()
            folder.wipe()
        folder.make()
        make_instance(folder.dagster_home)
        os.environ.update({FOLDER_VARIABLE: str(folder.root), PORT_VARIABLE: str(port)})
        started.callback(undisturbed, server.stop)
        with interrupts_deferred():
            server.start()
        yield SampleSystem(folder, server)


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        # As the server itself does: a port that merely waits for its last packets is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as taken:
            raise ReplicationError(
                f"port {port} is taken by another program",
                where=HOST,
                fix=f"choose another one: --port {port + 1} (or {PORT_VARIABLE}={port + 1})",
            ) from taken
