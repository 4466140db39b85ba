"""A proxy in front of a DynamoDB that misbehaves as the real one does, and a network between.

    with faulty_proxy(server.endpoint_url, Faults(throttled=0.1, unprocessed=0.2), seed=7) as proxy:
        ...                                    # send requests to proxy.endpoint_url
    proxy.injected["throttled"]                # how often it really happened

Which requests are hit is drawn from the seed. `proxy.faults` may be set to other ones at any
time. One thread serves all connections, so that it costs little per request. HTTP is read here
by other code than the one that is tested.
"""

from __future__ import annotations

import heapq
import json
import random
import re
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OPERATION = re.compile(rb"\r\nx-amz-target: *DynamoDB_\d+\.(\w+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
_ERRORS = {
    "throttled": (400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"),
    "failed": (500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
    "failed_after": (500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
}


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of the requests, 0 to 1, that are hit in each way; their sum is at most 1."""

    throttled: float = 0.0
    """400 ProvisionedThroughputExceededException, nothing done."""
    unprocessed: float = 0.0
    """A batch is done in part, the rest comes back as unprocessed."""
    failed: float = 0.0
    """500, nothing done."""
    failed_after: float = 0.0
    """500, although the server did it."""
    reset_before: float = 0.0
    """The connection is reset, nothing done."""
    reset_after: float = 0.0
    """The connection is reset in the middle of the answer: the server did it."""
    slow: float = 0.0
    """The answer takes `slow_seconds` more."""
    slow_seconds: float = 0.02
    operations: frozenset[str] | None = None
    """Only these operations are hit (`PutItem`); None: all."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Error codes by operation: every request of it is refused so, nothing done."""

    def draw(self, operation: str, chance: float) -> str:
        """The fault of one request, empty for none."""
        if self.operations is None or operation in self.operations:
            for name in ("throttled", "failed", "failed_after", "reset_before", "reset_after", "slow"):
                chance -= getattr(self, name)
                if chance < 0:
                    return name
            if operation.startswith("Batch") and chance < self.unprocessed:
                return "unprocessed"
        return ""


@dataclass(slots=True, eq=False)
class _Link:
    """A client's connection, the one to the server behind it, and the request between them."""

    client: socket.socket
    server: socket.socket
    inbound: bytearray = field(default_factory=bytearray)
    outbound: bytearray = field(default_factory=bytearray)
    fault: str = ""
    left: dict[str, Any] = field(default_factory=dict)
    """What is added to the answer of a batch."""


class FaultyProxy:
    """See `faulty_proxy`."""

    def __init__(self, upstream: str, faults: Faults, seed: int) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self.faults = faults
        self.requests: Counter[str] = Counter()
        """By operation, as they came."""
        self.injected: Counter[str] = Counter()
        """By fault."""
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._late: list[tuple[float, int, _Link, bytes]] = []
        self._stopped = False
        self.endpoint_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        while not self._stopped:
            for key, _ in self._selector.select(0.02 if not self._late else 0.001):
                if key.data is None:
                    self._accept()
                    continue
                link: _Link = key.data
                if key.fileobj.fileno() < 0:  # type: ignore[union-attr]
                    continue  # closed by an event of the same round
                try:
                    (self._from_client if key.fileobj is link.client else self._from_server)(link)
                except OSError:
                    self._close(link)
            self._send_late()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def stop(self) -> None:
        self._stopped = True

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        link = _Link(client, self._connected())
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(client, selectors.EVENT_READ, link)
        self._selector.register(link.server, selectors.EVENT_READ, link)

    def _connected(self) -> socket.socket:
        server = socket.create_connection(self._upstream)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def _replace_server(self, link: _Link) -> None:
        """The server wants no further request on its connection, but the client's stays open."""
        self._selector.unregister(link.server)
        link.server.close()
        link.server = self._connected()
        self._selector.register(link.server, selectors.EVENT_READ, link)

    def _from_client(self, link: _Link) -> None:
        if not _received(link.client, link.inbound):
            self._close(link)
            return
        whole = _whole(link.inbound)
        if whole is None:
            return
        link.inbound.clear()
        found = _OPERATION.search(whole[0])
        operation = found.group(1).decode() if found else ""
        self.requests[operation] += 1
        if operation in self.faults.refused:
            self.injected["refused"] += 1
            link.client.sendall(_answer(400, {"__type": f"x#{self.faults.refused[operation]}"}))
            return
        link.fault = self.faults.draw(operation, self._random.random())
        if link.fault == "unprocessed":
            whole = self._split(link, whole)
        if link.fault:
            self.injected[link.fault] += 1
        if link.fault in ("throttled", "failed"):
            link.client.sendall(_error(link.fault))
        elif link.fault == "reset_before":
            self._close(link, reset=True)
        else:
            link.server.sendall(whole[0] + whole[1])

    def _split(self, link: _Link, whole: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        """Forward a random part of a batch, and keep the rest for the answer."""
        request = json.loads(whole[1])
        (table, asked) = next(iter(request["RequestItems"].items()))
        entries = asked if isinstance(asked, list) else asked["Keys"]
        self._random.shuffle(entries)
        kept = self._random.randrange(len(entries))
        if kept == 0:
            link.fault = "throttled"  # DynamoDB refuses a batch of which it does nothing at all
            return whole
        rest, entries[:] = entries[kept:], entries[:kept]
        if isinstance(asked, list):
            link.left = {"UnprocessedItems": {table: rest}}
        else:
            link.left = {"UnprocessedKeys": {table: {**asked, "Keys": rest}}}
        body = json.dumps(request).encode()
        return _LENGTH.sub(b"\r\ncontent-length: %d" % len(body), whole[0]), body

    def _from_server(self, link: _Link) -> None:
        if not _received(link.server, link.outbound):
            self._close(link)
            return
        whole = _whole(link.outbound)
        if whole is None:
            return
        link.outbound.clear()
        head, body = whole
        if _CLOSE.search(head):
            self._replace_server(link)
        if link.fault == "failed_after":
            link.client.sendall(_error(link.fault))
        elif link.fault == "reset_after":
            link.client.sendall((head + body)[: self._random.randrange(len(head) + len(body))])
            self._close(link, reset=True)
        elif link.fault == "slow":
            due = time.monotonic() + self.faults.slow_seconds
            heapq.heappush(self._late, (due, id(link), link, head + body))
        elif link.fault == "unprocessed" and head.startswith(b"HTTP/1.1 200"):
            link.client.sendall(_answer(200, {**json.loads(body), **link.left}))
        else:
            link.client.sendall(head + body)

    def _send_late(self) -> None:
        while self._late and self._late[0][0] <= time.monotonic():
            _, _, link, answer = heapq.heappop(self._late)
            with suppress(OSError):
                link.client.sendall(answer)

    def _close(self, link: _Link, *, reset: bool = False) -> None:
        if reset:
            link.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for each in (link.client, link.server):
            if each.fileno() >= 0:
                self._selector.unregister(each)
                each.close()


@contextmanager
def faulty_proxy(upstream: str, faults: Faults, *, seed: int = 0) -> Iterator[FaultyProxy]:
    """A proxy in front of the server at `upstream` (http://host:port)."""
    proxy = FaultyProxy(upstream, faults, seed)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()


def _received(connection: socket.socket, buffer: bytearray) -> bool:
    data = connection.recv(1 << 18)
    buffer += data
    return bool(data)


def _whole(buffer: bytearray) -> tuple[bytes, bytes] | None:
    """Head and body of the message in a buffer, once all of it is there."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    found = _LENGTH.search(buffer, 0, end + 4)
    assert found is not None, "a message without a length"
    length = int(found.group(1))
    if len(buffer) < end + 4 + length:
        return None
    return bytes(buffer[: end + 4]), bytes(buffer[end + 4 : end + 4 + length])


def _error(fault: str) -> bytes:
    status, kind = _ERRORS[fault]
    return _answer(status, {"__type": kind, "message": "injected by a test"})


def _answer(status: int, content: dict[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status} Injected\r\nContent-Type: application/x-amz-json-1.0\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
