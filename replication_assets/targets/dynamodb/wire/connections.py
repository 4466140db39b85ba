"""Owns sockets: connections to one endpoint that stay open, and the pool that lends them.

Sockets do not block once they are open, so that one thread keeps many requests in flight; only
connecting blocks, for at most `connect_timeout`. For https the server's certificate and name
are verified, against AWS_CA_BUNDLE or the authorities that botocore carries. Refused: an
endpoint with a path, a query or credentials in it, and any scheme but http and https.
"""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from botocore.httpsession import DEFAULT_CA_BUNDLE

from replication_assets.errors import TargetError
from replication_assets.targets.dynamodb.wire.http_response import Response, ResponseReader

_READ_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go."""

    host: str
    port: int
    tls: bool

    @classmethod
    def of(cls, url: str) -> Endpoint:
        parts = urlsplit(url)
        plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
        if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
            raise TargetError(
                "the endpoint is not a URL of the form https://host:port",
                where="DynamoDB",
                fix="give scheme, host and port only, or leave it out for AWS's own endpoint",
            )
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls)

    @property
    def authority(self) -> str:
        """The Host header: it is signed, so it must be spelled as the server sees it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"


class Connection:
    """One connection, for one request at a time. Any OSError means that it is of no more use."""

    __slots__ = ("_reader", "_socket", "_unsent", "requests")

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._unsent = memoryview(b"")
        self._reader = ResponseReader()
        self.requests = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def answering(self) -> bool:
        """Whether a part of the response is here."""
        return self._reader.started

    @property
    def sent(self) -> bool:
        """Whether all of the request is with the operating system."""
        return not self._unsent

    def start(self, request: bytes) -> bool:
        """Begin to send; True when all of it is with the operating system."""
        self._unsent = memoryview(request)
        self.requests += 1
        return self.send_on()

    def send_on(self) -> bool:
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                self._unsent = self._unsent[sent:]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return False
        return True

    def receive(self) -> Response | None:
        """What came so far; None while it is no whole response."""
        try:
            # TLS may hold decrypted bytes that no poll of the socket tells of: read until it is dry.
            while True:
                data = self._socket.recv(_READ_BYTES)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                response = self._reader.feed(data)
                if response is not None:
                    return response
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def close(self) -> None:
        self._socket.close()


class ConnectionPool:
    """Connections that are open and idle. May be used by several threads."""

    def __init__(self, endpoint: Endpoint, *, connect_timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = connect_timeout
        self.reached = False
        """Whether the endpoint was ever connected to."""
        self._idle: list[Connection] = []
        bundle = os.environ.get("AWS_CA_BUNDLE") or DEFAULT_CA_BUNDLE
        self._tls = ssl.create_default_context(cafile=bundle) if endpoint.tls else None

    @property
    def endpoint(self) -> Endpoint:
        return self._endpoint

    def take(self) -> Connection:
        """An idle connection, else a new one. Raises OSError where none can be made."""
        try:
            return self._idle.pop()
        except IndexError:
            return self.connect()

    def connect(self) -> Connection:
        connected = socket.create_connection((self._endpoint.host, self._endpoint.port), self._timeout)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._tls is not None:
                connected = self._tls.wrap_socket(connected, server_hostname=self._endpoint.host)
            connected.setblocking(False)
        except BaseException:
            connected.close()
            raise
        self.reached = True
        return Connection(connected)

    def give_back(self, connection: Connection) -> None:
        self._idle.append(connection)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
