"""Owns the signature of a request: AWS Signature Version 4, for DynamoDB's one kind of request.

Every request is `POST /` with a JSON body and the operation in a header, so that all but the
hash of the body is known for a whole second: it is prepared once per second and operation, the
signing key once per day. The format is that of the "Signature Version 4" chapter of AWS's
reference; a test holds it against botocore's implementation byte by byte.

Refused: unsigned bodies. Over plain HTTP too, so that a server that checks signatures can be
tested without TLS.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from replication_assets.targets.dynamodb.wire.credentials import Credentials, CredentialSource

API = "DynamoDB_20120810"
CONTENT_TYPE = "application/x-amz-json-1.0"
# boto3 renews what it holds when it is read less than 15 minutes before its end.
CREDENTIALS_READ_EVERY_SECONDS = 60.0


class _Head(NamedTuple):
    """Of one operation in one second: what is hashed before the body's hash, and what is sent."""

    canonical: bytes
    to_sign: bytes
    http: bytes


class _Second(NamedTuple):
    """What all requests of one second share."""

    epoch: int
    read_at: float
    credentials: Credentials
    scope: str
    stamp: str
    key: bytes
    heads: dict[str, _Head]


class Signer:
    """Makes whole, signed HTTP/1.1 requests. May be used by several threads."""

    def __init__(
        self, region: str, host: str, credentials: CredentialSource, *, now: Callable[[], float] = time.time
    ) -> None:
        self._region = region
        self._host = host
        self._source = credentials
        self._now = now
        self._second: _Second | None = None

    def request(self, operation: str, body: bytes) -> bytes:
        """The bytes to send for an operation (`BatchWriteItem`) with a body."""
        now = self._now()
        second = self._second
        if second is None or second.epoch != int(now):
            second = self._second = self._begin(now, second)
        head = second.heads.get(operation)
        if head is None:
            head = second.heads[operation] = _head(second, self._host, operation)
        canonical = sha256(head.canonical + sha256(body).hexdigest().encode()).hexdigest()
        signature = hmac.digest(second.key, head.to_sign + canonical.encode(), "sha256").hex()
        return b"%s%s\r\nContent-Length: %d\r\n\r\n%s" % (head.http, signature.encode(), len(body), body)

    def renew(self) -> None:
        """Read the credentials again for the next request: the server says that they are old."""
        self._second = None

    def _begin(self, now: float, last: _Second | None) -> _Second:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        scope = f"{stamp[:8]}/{self._region}/dynamodb/aws4_request"
        if last is not None and 0 <= now - last.read_at < CREDENTIALS_READ_EVERY_SECONDS:
            read_at, credentials = last.read_at, last.credentials
        else:
            read_at, credentials = now, self._source()
        if last is not None and last.scope == scope and last.credentials == credentials:
            key = last.key
        else:
            key = signing_key(credentials.secret_key, stamp[:8], self._region)
        return _Second(int(now), read_at, credentials, scope, stamp, key, {})


def signing_key(secret_key: str, day: str, region: str) -> bytes:
    """The key of one day (`20261121`), region and service."""
    key = b"AWS4" + secret_key.encode()
    for part in (day, region, "dynamodb", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _head(second: _Second, host: str, operation: str) -> _Head:
    signed = {
        "content-type": CONTENT_TYPE,
        "host": host,
        "x-amz-date": second.stamp,
        "x-amz-target": f"{API}.{operation}",
    }
    if second.credentials.token:
        signed["x-amz-security-token"] = second.credentials.token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    sent = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
    return _Head(
        canonical=f"POST\n/\n\n{lines}\n{names}\n".encode(),
        to_sign=f"AWS4-HMAC-SHA256\n{second.stamp}\n{second.scope}\n".encode(),
        http=(
            f"POST / HTTP/1.1\r\n{sent}user-agent: replication-assets\r\naccept-encoding: identity\r\n"
            f"authorization: AWS4-HMAC-SHA256 Credential={second.credentials.access_key}/{second.scope}, "
            f"SignedHeaders={names}, Signature="
        ).encode(),
    )
