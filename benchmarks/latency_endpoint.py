"""A DynamoDB that takes no time, and keeps what it was told: items in memory, by their keys.

    python -m benchmarks.latency_endpoint PORT BACKING_URL

DynamoDB Local takes some thousand changes a second at best, and the machine's time from what is measured.
This one shows what is left without it. It takes every conditional write of an item: of a single writer,
which sends them in order, each would be taken. Tables, checkpoints and leases are a real one's, behind it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson

from benchmarks.dynamodb_endpoint import OPERATION, REGISTER, Client, Endpoint, response
from benchmarks.measure.machine import REPOSITORY
from replication_assets.demo.child_processes import ends_with_parent, free_port

KEY = "pk"
"""The only key attribute."""
_CAPACITY = {"CapacityUnits": 1.0, "TableName": "items"}


class KeepingEndpoint(Endpoint):
    def __init__(self, port: int, backing: str) -> None:
        super().__init__(port, backing)
        self._items: dict[tuple[str, str], dict[str, Any]] = {}

    def answer(self, client: Client) -> bytes:
        operation = OPERATION.search(client.received, 0, client.body_at)
        name = operation.group(1) if operation is not None else b""
        body = bytes(client.received[client.body_at : client.end])
        if name == b"PutItem" and REGISTER in body:
            return self._put(orjson.loads(body))
        if name == b"BatchGetItem":
            return self._get(orjson.loads(body)["RequestItems"])
        if name == b"BatchWriteItem":
            self._fill(orjson.loads(body)["RequestItems"])
        return self.passed_on(client)

    def _put(self, asked: dict[str, Any]) -> bytes:
        item: dict[str, Any] = asked["Item"]
        told: dict[str, Any] = {"ConsumedCapacity": _CAPACITY}
        at = asked["TableName"], item[KEY]["S"]
        if (old := self._items.get(at)) is not None and asked.get("ReturnValues") == "ALL_OLD":
            told["Attributes"] = old
        self._items[at] = item
        return response(b"200 OK", orjson.dumps(told))

    def _get(self, asked: dict[str, Any]) -> bytes:
        found = {
            table: [
                self._items[table, key[KEY]["S"]]
                for key in wanted["Keys"]
                if (table, key[KEY]["S"]) in self._items
            ]
            for table, wanted in asked.items()
        }
        told = {"Responses": found, "UnprocessedKeys": {}, "ConsumedCapacity": [_CAPACITY]}
        return response(b"200 OK", orjson.dumps(told))

    def _fill(self, asked: dict[str, Any]) -> None:
        for table, requests in asked.items():
            for request in requests:
                if (put := request.get("PutRequest")) is not None and KEY in put["Item"]:
                    self._items[table, put["Item"][KEY]["S"]] = put["Item"]


@contextmanager
def running_endpoint(backing: str) -> Iterator[str]:
    """Its URL. It ends with the block, and with the process that started it."""
    port = free_port("127.0.0.1")
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.latency_endpoint", str(port), backing],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        preexec_fn=ends_with_parent(signal.SIGKILL),
    )
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise RuntimeError("the endpoint did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    served = KeepingEndpoint(int(sys.argv[1]), urlsplit(sys.argv[2]).geturl())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    served.serve()
