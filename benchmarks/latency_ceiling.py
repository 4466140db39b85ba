"""What DynamoDB Local itself takes: a bare loop of conditional writes, with nothing before or behind it.

The loop sends what the project sends, over the same kind of connections: items of the same size, on the same
condition, asking for what stood there. It is the limit of every way that ends at this server, in the minute
and on the machine in which the ways are measured.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from benchmarks.latency_items import key_of
from benchmarks.latency_sample import TRANSACTIONS, Times
from benchmarks.measure.processes import machine_seconds, processor_seconds
from benchmarks.measure.report import Table
from replication_assets.core.items.registers import position_text
from replication_assets.core.positions import Position
from replication_assets.targets.dynamodb.range_writer import OLDER
from replication_assets.targets.dynamodb.tables import KeyAttribute, TableSpec, ensure
from replication_assets.targets.dynamodb.wire.conditional_writes import (
    ConditionalRows,
    ConditionalWriter,
    Settled,
    position_values,
)
from replication_assets.targets.dynamodb.wire.credentials import Credentials
from replication_assets.targets.dynamodb.wire.wire import Wire, WireSettings

if TYPE_CHECKING:
    from replication_assets_tests.dynamodb_servers import DynamoDbServer

TABLE = "ceiling"
ROWS = 10_000
AT_ONCE = 500
"""Writes of a step: what half a second brings at 1,000 changes a second."""
CONNECTIONS = (1, 4, 16, 32)
PACED_CONNECTIONS = 16
"""As many as a projection has when nothing is declared."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Of one number of connections; processor seconds. `rate` is None as fast as the server takes them,
    and `times` are then those of whole steps."""

    connections: int
    rate: int | None
    writes: int
    seconds: float
    server: float
    client: float
    others: float
    times: Times

    @property
    def taken(self) -> float:
        """Writes a second."""
        return self.writes / self.seconds


def warmed(server: DynamoDbServer, writes: int) -> None:
    """Write until Java has compiled what it does often: before that a write takes several times as long."""
    with _loop(server, PACED_CONNECTIONS) as loop:
        for _ in range(max(1, writes // AT_ONCE)):
            loop.write(AT_ONCE)


def ceilings(server: DynamoDbServer, rate: int, seconds: float) -> list[Ceiling]:
    """As fast as it goes with each number of connections, and at the rate that the ways are measured at."""
    found = []
    for connections in CONNECTIONS:
        with _loop(server, connections) as loop:
            found.append(loop.flat_out(seconds))
    with _loop(server, PACED_CONNECTIONS) as loop:
        found.append(loop.paced(rate, seconds))
    return found


def table(found: list[Ceiling]) -> Table:
    headers = (
        "bare loop",
        "connections",
        "writes/s",
        "server ms/write",
        "client ms/write",
        "p50 s",
        "p95 s",
        "others",
    )
    lines = [
        (
            f"{each.rate:,} a second" if each.rate else "as fast as it takes them",
            str(each.connections),
            f"{each.taken:,.0f}",
            f"{each.server / each.writes * 1000:.2f}",
            f"{each.client / each.writes * 1000:.2f}",
            *(f"{np.percentile(each.times, share):.3f}" if each.rate else "" for share in (50, 95)),
            f"{each.others / each.seconds:.2f}",
        )
        for each in found
    ]
    return Table("The same writes to DynamoDB Local in a bare loop", headers, tuple(lines))


class _Loop:
    def __init__(self, wire: Wire, pid: int, connections: int) -> None:
        self._writer = ConditionalWriter(wire, TABLE)
        self._pid, self._connections = pid, connections
        self._commit = time.time_ns()
        self._next = 0
        self.settled: list[float] = []

    def write(self, count: int) -> None:
        """Each of so many items, newer than what stands there."""
        self._commit += 1
        bodies, positions = [], []
        for number in range(self._next, self._next + count):
            position = position_text(Position(1, self._commit, number))
            bodies.append(_body(number % ROWS + 1, number, position))
            positions.append(position)
        self._next += count
        rows = ConditionalRows(
            pa.array(bodies, pa.large_string()), position_values(pa.array(positions, pa.large_string()))
        )
        self._writer.put([rows], OLDER, self._settle, return_old=True)

    def _settle(self, _: Settled) -> None:
        self.settled.append(time.monotonic())

    def flat_out(self, seconds: float) -> Ceiling:
        with _Measured(self._pid) as used:
            while used.elapsed < seconds:
                self.write(AT_ONCE)
        return self._told(None, used, np.array([]))

    def paced(self, rate: int, seconds: float) -> Ceiling:
        """As many transactions a second as the writer of the ways commits; each write's time counts from
        when it was due, so that what waits for those before it is late."""
        each, due = rate // TRANSACTIONS, []
        with _Measured(self._pid) as used:
            for number in range(int(seconds * TRANSACTIONS)):
                at = used.begun + number / TRANSACTIONS
                time.sleep(max(0.0, at - time.monotonic()))
                due += [at] * each
                self.write(each)
        return self._told(rate, used, np.array(self.settled) - np.array(due))

    def _told(self, rate: int | None, used: _Measured, times: Times) -> Ceiling:
        return Ceiling(
            self._connections,
            rate,
            len(self.settled),
            used.elapsed,
            used.server,
            used.client,
            used.others,
            times,
        )


class _Measured:
    """The clock, and processor seconds of the server, of this process and of everybody else."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.begun = self._ended = 0.0
        self.server = self.client = self.others = 0.0

    @property
    def elapsed(self) -> float:
        return (self._ended or time.monotonic()) - self.begun

    def __enter__(self) -> _Measured:
        self._before = self._used()
        self.begun = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = time.monotonic()
        server, client, machine = (now - then for now, then in zip(self._used(), self._before, strict=True))
        self.server, self.client, self.others = server, client, machine - server - client

    def _used(self) -> tuple[float, float, float]:
        return processor_seconds(self._pid), time.process_time(), machine_seconds()


@contextmanager
def _loop(server: DynamoDbServer, connections: int) -> Iterator[_Loop]:
    settings = WireSettings(
        region=server.region,
        endpoint_url=server.endpoint_url,
        credentials=Credentials(server.access_key, server.secret_key),
        connections=connections,
    )
    with Wire.open(settings) as wire:
        ensure(wire.client, TableSpec(TABLE, (KeyAttribute("pk", "S"),)))
        yield _Loop(wire, server.pid, connections)


def _body(row: int, number: int, position: str) -> str:
    """An item of the ways: numbers and texts of the same size, and the projection's own books."""
    payload = f"{number:032x}" * 9
    return (
        f'{{"pk":{{"S":"{key_of(row)}"}},"id":{{"N":"{row}"}},"number":{{"N":"{number}"}},'
        f'"payload":{{"S":"{payload}"}},"_position":{{"S":"{position}"}},'
        f'"_origin":{{"S":"shop.public.{TABLE}#r000000"}}}}'
    )
