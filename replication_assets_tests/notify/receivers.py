"""Receivers that listen: a web server and a mail server, each with a certificate if asked for."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificate:
    """A key pair for 127.0.0.1 and localhost that signs itself."""

    file: Path

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context


def certificate(folder: Path) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "receiver.pem"
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return Certificate(file)


@dataclass
class WebReceiver:
    """Keeps what was posted. `status` is its answer, and `location` where it sends people on."""

    port: int
    scheme: str
    status: int = 200
    location: str | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def told(self) -> list[dict[str, str]]:
        """All notifications, in order."""
        return [each for body in self.bodies for each in body["notifications"]]


@contextmanager
def web_receiver(certified: Certificate | None = None) -> Iterator[WebReceiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.paths.append(self.path)
            receiver.headers.append(dict(self.headers))
            if 200 <= receiver.status < 300:
                receiver.bodies.append(json.loads(text))
            self.send_response(receiver.status)
            if receiver.location is not None:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            receiver.paths.append(f"GET {self.path}")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certified is not None:
        server.socket = certified.context().wrap_socket(server.socket, server_side=True)
    receiver = WebReceiver(server.server_address[1], "http" if certified is None else "https")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class MailReceiver:
    """Keeps the mail that came, and who logged in how. `refuses` is an address it does not know."""

    port: int = 0
    password: str | None = None
    refuses: str | None = None
    mail: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - named by aiosmtpd
        self, _server: Any, _session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        if address == self.refuses:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        parsed = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mail.append(parsed)
        self.recipients.append(envelope.rcpt_tos)
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 kept"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: Any, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        right = self.password is not None and data.password == self.password.encode()
        return AuthResult(success=right, handled=right)


@contextmanager
def mail_receiver(
    certified: Certificate | None = None, *, password: str | None = None, implicit: bool = False
) -> Iterator[MailReceiver]:
    receiver = MailReceiver(password=password)
    context = certified.context() if certified is not None else None
    controller = Controller(
        receiver,
        hostname="127.0.0.1",
        port=_free_port(),
        ssl_context=context if implicit else None,
        tls_context=None if implicit else context,
        authenticator=receiver.authenticate if password is not None else None,
        auth_required=password is not None,
        # The library knows no login over a connection that was encrypted from the start.
        auth_require_tls=not implicit,
    )
    controller.start()
    receiver.port = controller.port
    try:
        yield receiver
    finally:
        controller.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
