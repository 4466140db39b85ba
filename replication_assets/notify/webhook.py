"""Notifications as one HTTP POST of JSON: `{"text": ..., "notifications": [...]}`.

`text` is what chat systems (Slack, Mattermost, Teams workflows) show; `notifications` is for
programs. Any answer but 2xx is a failure. Redirects are not followed: a POST that is redirected
arrives as a GET without its body, and would look delivered.

An address can be a secret in itself (the token of a chat's hook is part of the path), so
messages and errors show its host alone.
"""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from replication_assets.errors import DeliveryError
from replication_assets.ports.watch import Notification, as_json, as_text, headline
from replication_assets.secret_references import Secret, SecretReference, resolve

_LOCAL = {"localhost", "127.0.0.1", "::1"}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class WebhookNotifier:
    """See `ports.watch.Notifier`. `cafile` is for a receiver with a certificate of its own."""

    url: str | SecretReference = field(repr=False)
    headers: Mapping[str, str | SecretReference] = field(default_factory=dict, hash=False, repr=False)
    cafile: str | None = None
    timeout_seconds: float = 10

    @property
    def where(self) -> str:
        return f"webhook {urlsplit(self.url).hostname if isinstance(self.url, str) else self.url}"

    def send(self, notifications: Sequence[Notification]) -> str | None:
        text = f"{headline(notifications)}\n\n{as_text(notifications)}"
        body = json.dumps({"text": text, "notifications": as_json(notifications)}).encode()
        opener = urllib.request.build_opener(
            _NoRedirect, urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.cafile))
        )
        request = self._request(body)
        try:
            with opener.open(request, timeout=self.timeout_seconds) as answer:
                answer.read(1)
                return None
        except urllib.error.HTTPError as error:
            error.close()
            # `from None`: the original error carries the whole address.
            raise self._failed(f"it answered {error.code}") from None
        except urllib.error.URLError as error:
            raise self._failed(f"not reached ({_reason(error.reason)})") from None
        except OSError as error:
            raise self._failed(f"not reached ({_reason(error)})") from None
        except (http.client.HTTPException, ValueError) as error:
            # Their own words may quote the address or a header.
            raise self._failed(f"no sound answer ({type(error).__name__})") from None

    def _request(self, body: bytes) -> urllib.request.Request:
        url = _text(self.url)
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
            raise DeliveryError(
                "its address is not https", where=self.where, fix="give an address that starts with https://"
            )
        headers = {name: _text(value) for name, value in self.headers.items()}
        headers = {"Content-Type": "application/json", "User-Agent": "replication-assets", **headers}
        return urllib.request.Request(url, data=body, headers=headers, method="POST")

    def _failed(self, what: str) -> DeliveryError:
        return DeliveryError(what, where=self.where, fix="check the receiver; the message is sent again")


def _text(value: str | SecretReference) -> str:
    found = value if isinstance(value, str) else resolve(value)
    return found.reveal() if isinstance(found, Secret) else found


def _reason(reason: object) -> str:
    """The system's words for an error of the network; they name no address."""
    if isinstance(reason, ssl.SSLError):
        return f"TLS: {reason.reason or 'failed'}"
    if isinstance(reason, OSError):
        return reason.strerror or type(reason).__name__
    return type(reason).__name__
