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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from replication_assets.catalog import Projection
from replication_assets.core.schema import TableId
from replication_assets.demo import monolith
from replication_assets.demo.aws_server import AwsServer
from replication_assets.demo.catalog import (
    AWS_KEY_VARIABLE,
    AWS_PORT_VARIABLE,
    FOLDER_VARIABLE,
    MASK_KEY_VARIABLE,
    PORT_VARIABLE,
    QA,
    SOURCE,
    sample_catalog,
)
from replication_assets.demo.child_processes import free_port
from replication_assets.demo.dagster_runs import DagsterRuns, Drained, Loaded, make_instance
from replication_assets.demo.dead_letter import DeadLetterReport
from replication_assets.demo.folder import DemoFolder, stop_leftover_programs, stop_leftover_server
from replication_assets.demo.interrupts import interrupts_deferred, undisturbed
from replication_assets.demo.postgres_server import HOST, PostgresServer
from replication_assets.demo.programs import Program
from replication_assets.demo.refresh import RefreshReport
from replication_assets.demo.worker import MODULE
from replication_assets.errors import ReplicationError
from replication_assets.replication import Replication

LOADERS = 4
"""Processes that load at the same time."""

CAPTURE_START_SECONDS = 60.0

Show = Callable[[str], None]
"""Told now and then what goes on."""


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
            AWS_PORT_VARIABLE: os.environ[AWS_PORT_VARIABLE],
            AWS_KEY_VARIABLE: os.environ[AWS_KEY_VARIABLE],
            MASK_KEY_VARIABLE: os.environ[MASK_KEY_VARIABLE],
        }

    def projections(self, table: TableId) -> list[Projection]:
        """Those that a table is in."""
        return [
            projection
            for projection in self.catalog.projections
            if table in {projected.id for projected in self.catalog.projected(projection)}
        ]

    def create_database(self, events: int) -> None:
        """The monolith, with a history that ends today: traffic continues it. With few events the other
        tables are smaller as well, down to a tenth."""
        self.server.create_database(SOURCE)
        self.server.create_database(QA)
        today = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        share = min(1.0, max(0.1, events / monolith.EVENTS))
        monolith.create(
            self.dsn,
            events,
            widgets=round(monolith.WIDGETS * share),
            customers=round(monolith.CUSTOMERS * share),
            orders=round(monolith.ORDERS * share),
            until=today,
        )

    @contextmanager
    def dagster_runs(self) -> Iterator[DagsterRuns]:
        """The instance, and what is quickly run in this process."""
        runs = DagsterRuns(self.folder.dagster_home, self.catalog)
        try:
            yield runs
        finally:
            runs.close()

    def capture_process(self) -> Program:
        """A continuous capture, in a process of its own; returns when it reads the change stream."""
        log = self.folder.logs / "capture.log"
        program = Program([MODULE, "capture"], log=log, environment=self.environment)
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

    def load_all(self, runs: DagsterRuns, show: Show) -> list[Loaded]:
        """Every id range of every table, by several processes at the same time."""
        asked: dict[str, tuple[str, ...]] = {}
        loaded: list[Loaded] = []
        # Keys go on growing meanwhile: a range that a capture saw before its neighbour was loaded
        # is not part of the neighbour's load.
        while missing := self._id_ranges(runs, asked):
            lines = self._work("load", shares(missing, LOADERS), show)
            loaded += [Loaded(**json.loads(line)) for line in lines]
            asked = {table: (*asked.get(table, ()), *missing.get(table, ())) for table in {*asked, *missing}}
        return loaded

    def _id_ranges(self, runs: DagsterRuns, but: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        """Registered id ranges of each table that has any but those."""
        found = {
            str(table.id): tuple(
                key for key in runs.id_ranges(table.id) if key not in but.get(str(table.id), ())
            )
            for table in self.catalog.tables
        }
        return {table: ranges for table, ranges in found.items() if ranges}

    def project_all(self, show: Show) -> None:
        """Every table of the lakehouse; the largest by a process of its own."""
        *others, largest = [str(table.id) for table in self.catalog.tables]
        self._work("project", [[largest], others], show)

    def drain(self, show: Show) -> Drained:
        """A capture that ends once it has caught up; one that runs lets go for it."""
        (line,) = self._work("drain", [[]], show)
        return Drained(**json.loads(line))

    def dead_letter(self, show: Show) -> DeadLetterReport:
        """A row that the service cannot hold: refused, mended, reprocessed."""
        (line,) = self._work("dead-letter", [[]], show)
        return DeadLetterReport(**json.loads(line))

    def refresh(self, show: Show) -> RefreshReport:
        """The masked copy for testers, by the job that runs every night."""
        (line,) = self._work("refresh", [[]], show)
        return RefreshReport.from_json(line)

    def _work(self, task: str, parts: Sequence[Sequence[str]], show: Show) -> list[str]:
        """A process for each part of a task, all at the same time; what they answered."""
        with ExitStack() as started:
            programs = [
                started.enter_context(
                    Program(
                        [MODULE, task, *part],
                        log=self.folder.logs / f"{task}-{number}.log",
                        environment=self.environment,
                        answers=True,
                    )
                )
                for number, part in enumerate(parts, start=1)
            ]
            while any(program.running for program in programs):
                show(f"{sum(program.running for program in programs)} processes at work")
                time.sleep(0.1)
            return [line for program in programs for line in program.answer()]


def shares(id_ranges: Mapping[str, Sequence[str]], processes: int) -> list[list[str]]:
    """What each process loads, as `table=range,range`: one id range of a table that has enough of
    them, else a table."""
    divided: list[list[str]] = [[] for _ in range(processes)]
    sizes = [0] * processes
    for table, ranges in sorted(id_ranges.items(), key=lambda item: -len(item[1])):
        pieces = [[key] for key in ranges] if len(ranges) >= processes else [list(ranges)]
        for piece in filter(None, pieces):
            smallest = sizes.index(min(sizes))
            divided[smallest].append(f"{table}={','.join(piece)}")
            sizes[smallest] += len(piece)
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
        aws_port = free_port(HOST)
        os.environ.update(
            {
                FOLDER_VARIABLE: str(folder.root),
                PORT_VARIABLE: str(port),
                AWS_PORT_VARIABLE: str(aws_port),
                AWS_KEY_VARIABLE: "demo",
                MASK_KEY_VARIABLE: folder.mask_key(),
            }
        )
        aws = AwsServer(folder, aws_port)
        started.callback(undisturbed, aws.stop)
        started.callback(undisturbed, server.stop)
        with interrupts_deferred():
            server.start()
        aws.wait_until_ready()
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
