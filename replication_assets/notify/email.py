"""Notifications as e-mail over SMTP.

Refused: sending a password over a connection that is not encrypted.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

from replication_assets.errors import DeliveryError
from replication_assets.ports.watch import Notification, as_text, headline
from replication_assets.secret_references import SecretReference, resolve


@dataclass(frozen=True, slots=True)
class EmailNotifier:
    """See `ports.watch.Notifier`. `cafile` is for a server with a certificate of its own."""

    host: str
    port: int
    sender: str
    recipients: Sequence[str]
    user: str | None = None
    password: SecretReference | None = None
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    cafile: str | None = None
    timeout_seconds: float = 10

    @property
    def where(self) -> str:
        return f"SMTP server {self.host}:{self.port}"

    def send(self, notifications: Sequence[Notification]) -> str | None:
        if self.user is not None and self.tls == "none":
            fix = "tls='starttls' or tls='implicit', or a server that asks for no password"
            raise DeliveryError("a password would go unencrypted", where=self.where, fix=fix)
        message = self._message(notifications)
        try:
            with self._connect() as server:
                if self.user is not None and self.password is not None:
                    server.login(self.user, resolve(self.password).reveal())
                refused = server.send_message(message)
        except smtplib.SMTPResponseException as error:
            # `from None`: a server's answer may repeat what it was sent.
            raise self._failed(f"it answered {error.smtp_code} ({type(error).__name__})") from None
        except (smtplib.SMTPException, OSError) as error:
            raise self._failed(_reason(error)) from None
        return f"{self.where} refused {', '.join(sorted(refused))}" if refused else None

    def _connect(self) -> smtplib.SMTP:
        context = ssl.create_default_context(cafile=self.cafile)
        if self.tls == "implicit":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout_seconds, context=context)
        server = smtplib.SMTP(self.host, self.port, timeout=self.timeout_seconds)
        try:
            if self.tls == "starttls":
                server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        return server

    def _message(self, notifications: Sequence[Notification]) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = f"[replication] {' '.join(headline(notifications).split())}"
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Date"] = format_datetime(notifications[-1].at)
        # Mail programs drop a message that they have: the same notifications have the same id.
        message["Message-ID"] = f"<{notifications[0].id}.{len(notifications)}@replication-assets>"
        message.set_content(as_text(notifications) + "\n")
        return message

    def _failed(self, what: str) -> DeliveryError:
        return DeliveryError(what, where=self.where, fix="check the server; the message is sent again")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not reached (TLS: {error.reason or 'failed'})"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "it offers no STARTTLS, or no login"
    if isinstance(error, smtplib.SMTPException):
        return f"it refused ({type(error).__name__})"
    return f"not reached ({getattr(error, 'strerror', None) or type(error).__name__})"
