"""A DynamoDB that takes no time: writes of items are answered at once and kept nowhere.

    python -m benchmarks.dynamodb_endpoint PORT BACKING_URL

Everything else (tables, checkpoints, leases) is passed on to a real one, and so is the first batch
of items of each table: by those a checkpoint knows that the table was not emptied. One process
without threads, over bare sockets, so that the clients are what is measured.
"""

from __future__ import annotations

import re
import selectors
import socket
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

from benchmarks.measure.machine import REPOSITORY

_READ_BYTES = 1 << 20
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
OPERATION = re.compile(rb"\r\nx-amz-target: *DynamoDB_20120810\.(\w+)", re.IGNORECASE)
_TABLE = re.compile(rb'"RequestItems": *\{"([^"]+)"')
_HEADERS = ("content-type", "x-amz-target", "x-amz-date", "authorization", "x-amz-security-token")
# A put of an item says this; what a control table is told does not.
REGISTER = b"#p < :p"


def response(status: bytes, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %s\r\nContent-Type: application/x-amz-json-1.0\r\nx-amz-crc32: %d\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (status, zlib.crc32(body), len(body), body)
    )


_OLD = {
    "pk": {"S": "order_event#1"},
    "id": {"N": "1"},
    "event_data": {"S": "x" * 330},
    "_origin": {"S": "shop.public.order_events#r000000"},
    "_position": {"S": f"{1:010}-{1:020}-{0:020}"},
}
_BATCH_WRITTEN = response(
    b"200 OK",
    b'{"ConsumedCapacity":[{"CapacityUnits":25.0,"TableName":"items"}],"UnprocessedItems":{}}',
)
_CAPACITY = {"ConsumedCapacity": {"CapacityUnits": 1.0, "TableName": "items"}}
_PUT = response(b"200 OK", orjson.dumps(_CAPACITY))
_REPLACED = response(b"200 OK", orjson.dumps({**_CAPACITY, "Attributes": _OLD}))


@dataclass(slots=True)
class Client:
    """One connection: what came of its request, and where the body begins and ends."""

    received: bytearray = field(default_factory=bytearray)
    body_at: int = 0
    end: int = 0

    def whole(self, data: bytes) -> bool:
        self.received += data
        if not self.end:
            found = self.received.find(b"\r\n\r\n")
            if found < 0:
                return False
            length = _LENGTH.search(self.received, 0, found)
            self.body_at = found + 4
            self.end = self.body_at + (int(length.group(1)) if length else 0)
        return len(self.received) >= self.end


class Endpoint:
    def __init__(self, port: int, backing: str) -> None:
        self._backing = backing
        self._tables: set[bytes] = set()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._read(key.fileobj, key.data)

    def _accept(self) -> None:
        connected, _ = self._listener.accept()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(connected, selectors.EVENT_READ, Client())

    def _read(self, connected: socket.socket, client: Client) -> None:
        try:
            data = connected.recv(_READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(connected)
            connected.close()
        elif client.whole(data):
            answer = self.answer(client)
            client.received.clear()
            client.end = 0
            connected.sendall(answer)

    def answer(self, client: Client) -> bytes:
        operation = OPERATION.search(client.received, 0, client.body_at)
        if operation is not None and operation.group(1) == b"BatchWriteItem":
            table = _TABLE.search(client.received, client.body_at)
            if table is not None and table.group(1) in self._tables:
                return _BATCH_WRITTEN
            if table is not None:
                self._tables.add(table.group(1))
        elif operation is not None and operation.group(1) == b"PutItem" and REGISTER in client.received:
            return _REPLACED if b'"ReturnValues":"ALL_OLD"' in client.received else _PUT
        return self.passed_on(client)

    def passed_on(self, client: Client) -> bytes:
        head = bytes(client.received[: client.body_at]).decode("latin-1")
        sent = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        headers = {name: value for name, value in sent.items() if name.lower() in _HEADERS}
        request = urllib.request.Request(
            self._backing, bytes(client.received[client.body_at :]), headers, method="POST"
        )
        try:
            with urllib.request.urlopen(request) as answered:
                return response(b"200 OK", answered.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return response(b"%d Refused" % refused.code, refused.read())


@contextmanager
def running_null_endpoint(backing: str) -> Iterator[str]:
    """Its URL. It ends with the block, and with the process that started it."""
    import signal
    import subprocess

    from replication_assets.demo.child_processes import ends_with_parent, free_port

    port = free_port("127.0.0.1")
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.dynamodb_endpoint", str(port), backing],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        preexec_fn=ends_with_parent(signal.SIGKILL),
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("the null endpoint did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


if __name__ == "__main__":
    address = urlsplit(sys.argv[2])
    served = Endpoint(int(sys.argv[1]), address.geturl())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    served.serve()
