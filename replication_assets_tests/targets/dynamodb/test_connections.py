"""Connections are kept, verified, and replaced when the server closes them."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from replication_assets.errors import TargetError, TargetUnavailable
from replication_assets.targets.dynamodb.wire.connections import Endpoint
from replication_assets.targets.dynamodb.wire.credentials import Credentials
from replication_assets.targets.dynamodb.wire.exchange import Patience
from replication_assets.targets.dynamodb.wire.wire import Wire, WireSettings

CANARY = "canary-8f3a"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def certificate(folder: Path, address: str) -> Path:
    """A self-signed certificate for an address, and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem


class Server:
    """Answers requests on each connection until `requests_per_connection` are answered, then
    closes it without a word. Keeps count of connections, and the heads of requests."""

    def __init__(self, pem: Path | None, answer: Callable[[bytes], bytes], per_connection: int) -> None:
        self.connections = 0
        self.heads: list[bytes] = []
        self._answer = answer
        self._per_connection = per_connection
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls: ssl.SSLContext | None = None
        if pem is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(pem)
        scheme = "http" if pem is None else "https"
        self.endpoint_url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.connections += 1
                with suppress(OSError), accepted:
                    if self._tls is None:
                        self._talk(accepted)
                    else:
                        with self._tls.wrap_socket(accepted, server_side=True) as encrypted:
                            self._talk(encrypted)

    def _talk(self, connection: socket.socket) -> None:
        for _ in range(self._per_connection):
            data = b""
            while b"\r\n\r\n" not in data:
                received = connection.recv(65_536)
                if not received:
                    return
                data += received
            head, body = data.split(b"\r\n\r\n", 1)
            found = LENGTH.search(head)
            assert found is not None
            while len(body) < int(found.group(1)):
                body += connection.recv(65_536)
            self.heads.append(head)
            connection.sendall(self._answer(body))

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def echo(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@contextmanager
def serving(
    pem: Path | None = None, *, answer: Callable[[bytes], bytes] = echo, per_connection: int = 1_000
) -> Iterator[Server]:
    server = Server(pem, answer, per_connection)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def wire_to(url: str, *, secret: str = "secret") -> Wire:
    settings = WireSettings(
        region="eu-central-1",
        endpoint_url=url,
        credentials=Credentials("AKIATESTS", secret, secret),
        patience=Patience(answer=5, max_age=1),
        backoff_base=0.002,
    )
    return Wire.open(settings)


def test_one_connection_serves_many_calls_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(pem))
    large = {"text": "x" * 1_500_000}
    with serving(pem) as server, wire_to(server.endpoint_url) as wire:
        assert [wire.call("Echo", {"n": each}) for each in range(5)] == [{"n": each} for each in range(5)]
        assert wire.call("Echo", large) == large
    assert server.connections == 1


def test_a_certificate_that_nobody_vouches_for_ends_it_at_once(tmp_path: Path) -> None:
    with (
        serving(certificate(tmp_path, "127.0.0.1")) as server,
        wire_to(server.endpoint_url) as wire,
        pytest.raises(TargetError, match="certificate is not trusted") as raised,
    ):
        wire.call("Echo", {})
    assert not raised.value.retryable
    assert server.heads == []


def test_a_certificate_of_another_host_is_not_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path, "127.0.0.2")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(pem))
    with (
        serving(pem) as server,
        wire_to(server.endpoint_url) as wire,
        pytest.raises(TargetError, match="certificate is not trusted"),
    ):
        wire.call("Echo", {})


def test_a_kept_connection_that_the_server_closed_is_replaced_at_no_cost() -> None:
    with serving(per_connection=2) as server, wire_to(server.endpoint_url) as wire:
        assert [wire.call("Echo", {"n": each})["n"] for each in range(7)] == list(range(7))
    assert server.connections == 4


def test_an_answer_to_half_a_request_is_heard_and_its_connection_left() -> None:
    """As a server does that refuses a body for its size as soon as it has seen the head."""
    refused = json.dumps({"__type": "x#SomethingNewException"}).encode()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    accepted: list[socket.socket] = []

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            accepted.append(connection)
            head = connection.recv(1_000)
            large = b"x" * 100 in head
            answer = b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%s" % (len(refused), refused)
            connection.sendall(answer if large else echo(b"{}"))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with wire_to(f"http://127.0.0.1:{listener.getsockname()[1]}") as wire:
        with pytest.raises(TargetError, match="SomethingNewException"):
            wire.call("Echo", {"text": "x" * 30_000_000})
        assert wire.call("Echo", {}) == {}
    thread.join()
    assert len(accepted) == 2
    for each in (*accepted, listener):
        each.close()


def test_an_endpoint_that_was_never_reached_is_told_soon() -> None:
    settings = WireSettings(
        region="eu-central-1",
        endpoint_url="http://nobody.invalid",
        credentials=Credentials("AKIATESTS", "secret"),
        patience=Patience(reach=0.1),
        backoff_base=0.002,
    )
    with Wire.open(settings) as wire, pytest.raises(TargetUnavailable, match="gaierror"):
        wire.call("Echo", {})


def test_an_answer_that_is_not_its_checksum_is_asked_for_again() -> None:
    spoilt = iter([True, True, False])

    def answer(body: bytes) -> bytes:
        if next(spoilt):
            return b"HTTP/1.1 200 OK\r\nx-amz-crc32: 1\r\nContent-Length: 2\r\n\r\n{}"
        return echo(body)

    with serving(answer=answer) as server, wire_to(server.endpoint_url) as wire:
        assert wire.call("Echo", {"n": 1}) == {"n": 1}
    assert len(server.heads) == 3


def test_credentials_that_expired_are_read_again() -> None:
    expired = json.dumps({"__type": "x#ExpiredTokenException"}).encode()
    answers = iter([b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%s" % (len(expired), expired)])
    tokens = iter(["first", "second"])
    settings = WireSettings(connections=1, backoff_base=0.002)
    with serving(answer=lambda body: next(answers, echo(body))) as server:
        endpoint = Endpoint.of(server.endpoint_url)
        source = lambda: Credentials("AKIATESTS", "secret", next(tokens))  # noqa: E731
        with Wire("eu-central-1", endpoint, source, settings, lambda: None) as wire:
            assert wire.call("Echo", {"n": 1}) == {"n": 1}
    assert [
        b"x-amz-security-token: %s\r" % each in head
        for each, head in zip((b"first", b"second"), server.heads, strict=True)
    ] == [True, True]


def test_no_answer_is_asked_to_be_compressed() -> None:
    with serving() as server, wire_to(server.endpoint_url) as wire:
        wire.call("Echo", {})
    assert b"accept-encoding: identity" in server.heads[0]


@pytest.mark.parametrize(
    "code", ["UnrecognizedClientException", "AccessDeniedException", "SomethingNewException"]
)
def test_a_refusal_for_good_says_what_helps_and_shows_no_credential(code: str) -> None:
    body = json.dumps({"__type": f"com.amazon.coral.service#{code}", "message": CANARY}).encode()

    def answer(_: bytes) -> bytes:
        return b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    with serving(answer=answer) as server, wire_to(server.endpoint_url, secret=CANARY) as wire:
        with pytest.raises(TargetError, match=code) as raised:
            wire.call("PutItem", {})
        assert CANARY not in f"{raised.value} {raised.value!r} {wire.settings!r} {wire!r}"
    assert raised.value.fix
    assert not raised.value.retryable


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://dynamodb.eu-central-1.amazonaws.com", "dynamodb.eu-central-1.amazonaws.com"),
        ("https://dynamodb.eu-central-1.amazonaws.com:443/", "dynamodb.eu-central-1.amazonaws.com"),
        ("http://localhost:8000", "localhost:8000"),
        ("http://[::1]:80", "[::1]"),
    ],
)
def test_the_host_is_told_as_it_is_signed(url: str, endpoint: str) -> None:
    assert Endpoint.of(url).authority == endpoint


@pytest.mark.parametrize(
    "url", ["dynamodb:8000", "ftp://host", "https://host/path", f"https://me:{CANARY}@host", "https://"]
)
def test_an_endpoint_that_is_more_than_a_host_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(TargetError, match="not a URL of the form") as raised:
        Endpoint.of(url)
    assert CANARY not in str(raised.value)
