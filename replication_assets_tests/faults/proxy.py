"""A TCP proxy that fails as networks do, in a process of its own.

    with proxy_to("127.0.0.1", server.port) as proxy:
        proxy.arm(Fault("freeze", after=100_000))     # clients connect to proxy.port
        ...
        assert proxy.fired() == 1
        proxy.heal()

It knows no protocol: bytes are counted, and looked for. A process of its own, because libraries
that are tested hold Python's lock while they wait for what comes through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["cut", "reset", "freeze", "slow", "lose_reply", "answer"]
Way = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, where in the bytes that pass, and how often.

    `cut` closes both ends, `reset` aborts them, `freeze` passes nothing on and closes nothing,
    `slow` passes `rate` bytes a second, `lose_reply` passes the request on and resets the
    client's end when the server has answered, `answer` answers an HTTP request with `reply`.
    """

    kind: Kind
    way: Way = "down"
    """Which bytes `after` counts: `down` is from the server."""
    after: int = 0
    """Bytes that pass before, of all connections together."""
    pattern: str = ""
    """Only from a place on where this regular expression is found in what goes up."""
    nth: int = 1
    """From the nth such place on."""
    times: int = 1
    """How often; 0 is always."""
    rate: int = 0
    reply: str = ""
    spread: bool = False
    """Once it happened, every other and every new connection has it too."""


class Proxy:
    """The handle: see the module."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process = process
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def arm(self, fault: Fault) -> None:
        self._ask(arm=asdict(fault))

    def heal(self) -> None:
        """No fault any more; connections that are frozen or slow are closed."""
        self._ask(arm=None)

    def fired(self) -> int:
        """How often the fault happened since it was armed."""
        return int(self._ask()["fired"])

    def connections(self) -> int:
        """How many were made since the fault was armed, or healed."""
        return int(self._ask()["connections"])

    def matches(self) -> int:
        """How often the pattern was found since."""
        return int(self._ask()["matches"])

    def wait_until_fired(self, seconds: float = 20) -> None:
        wait_until(lambda: self.fired() > 0, seconds)

    def _ask(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)


@contextmanager
def proxy_to(host: str, port: int) -> Iterator[Proxy]:
    command = [sys.executable, "-m", __name__, host, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Proxy(process, int(process.stdout.readline()))
        finally:
            process.kill()


# --- in the process ----------------------------------------------------------------------


class _Link:
    """A client's connection and the one to the server behind it."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.client, self.server = client, server
        self.frozen = self.slow = False
        self.loses_reply = False
        self.answers = 0
        """Bytes of an HTTP request that are still to be swallowed before it is answered."""
        self.tail = b""

    def close(self, *, reset: bool) -> None:
        for _, writer in (self.client, self.server):
            connection = writer.get_extra_info("socket")
            if reset and connection is not None and connection.fileno() >= 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            (writer.transport.abort if reset else writer.close)()


class _Relay:
    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._links: set[_Link] = set()
        self.set_fault(None)

    def set_fault(self, fault: Fault | None) -> None:
        self.fault = fault
        self.passed = {"up": 0, "down": 0}
        self.matches = self.fired = self.connections = 0
        self._released = fault is None or not fault.pattern
        for link in [link for link in self._links if fault is None and (link.frozen or link.slow)]:
            link.close(reset=True)
            self._links.discard(link)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            server = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.transport.abort()
            return
        link = _Link((reader, writer), server)
        self._links.add(link)
        if self.fault is not None and self.fault.spread and self.fired:
            self._hit(link)
        try:
            await asyncio.gather(
                self._pump(link, reader, server[1], "up"), self._pump(link, server[0], writer, "down")
            )
        finally:
            self._links.discard(link)
            link.close(reset=False)

    async def _pump(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if not link.frozen:
                    data = self._looked_at(link, data, way)
                    await self._send(link, writer, data)
                if link.frozen:
                    await asyncio.Event().wait()
            writer.close()

    async def _send(self, link: _Link, writer: asyncio.StreamWriter, data: bytes) -> None:
        if link.slow and self.fault is not None:
            step = max(1, self.fault.rate // 20)
            for start in range(0, len(data), step):
                writer.write(data[start : start + step])
                await writer.drain()
                await asyncio.sleep(0.05)
            return
        writer.write(data)
        await writer.drain()

    def _looked_at(self, link: _Link, data: bytes, way: Way) -> bytes:
        """The part of the bytes that is passed on; the fault happens here."""
        fault = self.fault
        if fault is None or (fault.times and self.fired >= fault.times and not link.answers):
            return data
        if way == "up":
            self._look_for(fault, link, data)
        if fault.kind == "lose_reply":
            return self._without_reply(link, data, way)
        if fault.kind == "answer":
            return self._answered(fault, link, data, way)
        if not self._released or way != fault.way:
            return data
        left = fault.after - self.passed[way]
        self.passed[way] += len(data)
        if len(data) <= left:
            return data
        self.fired += 1
        for each in self._links if fault.spread else {link}:
            self._hit(each, data[: max(0, left)] if each is link else b"")
        return data if fault.kind == "slow" else data[: max(0, left)]

    def _look_for(self, fault: Fault, link: _Link, data: bytes) -> None:
        if not fault.pattern:
            return
        seen = link.tail + data
        ends = [match.end() for match in re.finditer(fault.pattern.encode("latin-1"), seen)]
        found = sum(end > len(link.tail) for end in ends)
        link.tail = seen[-64:]
        self.matches += found
        if found and self.matches >= fault.nth:
            self._released = True
            link.loses_reply = fault.kind == "lose_reply"
            if fault.kind == "answer":
                link.answers = _length(data)

    def _without_reply(self, link: _Link, data: bytes, way: Way) -> bytes:
        if way == "down" and link.loses_reply:
            self.fired += 1
            link.loses_reply = False
            link.close(reset=True)
            return b""
        return data

    def _answered(self, fault: Fault, link: _Link, data: bytes, way: Way) -> bytes:
        if way == "down" or not link.answers:
            return data
        link.answers -= len(data)
        if link.answers <= 0:
            link.answers = 0
            self.fired += 1
            link.client[1].write(fault.reply.encode())
            link.client[1].close()
        return b""

    def _hit(self, link: _Link, last: bytes = b"") -> None:
        kind = self.fault.kind if self.fault is not None else ""
        if kind == "freeze":
            link.frozen = True
        elif kind == "slow":
            link.slow = True
        elif kind in ("cut", "reset"):
            if last:
                link.client[1].write(last)
            link.close(reset=kind == "reset")


def _length(request: bytes) -> int:
    """Bytes of an HTTP request of which the head is whole."""
    head, _, _ = request.partition(b"\r\n\r\n")
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return len(head) + 4 + (int(found.group(1)) if found else 0)


async def _serve(host: str, port: int) -> None:
    relay = _Relay(host, port)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        if "arm" in command:
            relay.set_fault(Fault(**command["arm"]) if command["arm"] else None)
        told = {"fired": relay.fired, "connections": relay.connections, "matches": relay.matches}
        print(json.dumps(told), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
