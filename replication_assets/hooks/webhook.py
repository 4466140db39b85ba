"""A switch hook that is an HTTP POST: a JSON object, and 2xx as the only good answer.

Redirects are not followed: a POST that is redirected arrives as a GET without its body. The
address can be a secret in itself, so messages show its host alone. `Idempotency-Key` is the
same for the same attempt and direction.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from replication_assets.errors import HookFailed
from replication_assets.ports import HookCall
from replication_assets.secret_references import SecretReference, resolve

ANSWER_SECONDS = 60.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class HttpHook:
    """See `ports.SwitchHook`."""

    url: str | SecretReference = field(repr=False)
    seconds: float = ANSWER_SECONDS

    @property
    def where(self) -> str:
        return f"webhook {urlsplit(self.url).hostname if isinstance(self.url, str) else self.url}"

    def call(self, call: HookCall) -> None:
        url = self.url if isinstance(self.url, str) else resolve(self.url).reveal()
        if not re.match(r"https?://[^/]", url):
            # A reference is seen here first; urllib would open a file, and take that for an answer.
            raise self._failed("its address is not http or https")
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(_request(url, call), timeout=self.seconds) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            error.close()
            # `from None`: the original error carries the whole address.
            raise self._failed(f"it answered {error.code}") from None
        except urllib.error.URLError as error:
            raise self._failed(f"not reached ({_reason(error.reason)})") from None
        except OSError as error:
            raise self._failed(f"no answer ({_reason(error)})") from None
        except (http.client.HTTPException, ValueError) as error:
            # Their own words may quote the address.
            raise self._failed(f"no sound answer ({type(error).__name__})") from None

    def _failed(self, what: str) -> HookFailed:
        return HookFailed(what, where=self.where, fix="look at the receiver, and at where readers are now")


def _request(url: str, call: HookCall) -> urllib.request.Request:
    told = {
        "cutover": call.cutover,
        "direction": call.direction,
        "attempt": call.attempt,
        "projection": call.projection,
        "tables": list(call.tables),
        "positions": dict(call.positions),
    }
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "replication-assets",
        "Idempotency-Key": f"{call.attempt}-{call.direction}",
    }
    return urllib.request.Request(url, data=json.dumps(told).encode(), headers=headers, method="POST")


def _reason(reason: object) -> str:
    """The system's words for an error of the network; they name no address."""
    return (reason.strerror if isinstance(reason, OSError) else None) or type(reason).__name__
