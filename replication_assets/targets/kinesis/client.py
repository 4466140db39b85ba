"""boto3's client, what passes by itself of its errors, and the others as errors of a target.

Retries are ours: botocore would send a request again that may have been taken, unseen. No message of AWS is
repeated: some quote what they were sent.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoRegionError,
    SSLError,
)

from replication_assets.errors import ReplicationError, TargetError, TargetUnavailable
from replication_assets.secret_references import SecretReference, resolve_for

_log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""Without anything taken for so long, the stream is given up; what stands is looked up next time."""
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0

NOT_FOUND = "ResourceNotFoundException"
THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "KMSThrottlingException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
    }
)
_PASSING = THROTTLED | {
    "InternalFailure",
    "InternalFailureException",
    "InternalServerError",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "ResourceInUseException",
    "RequestTimeout",
    "RequestTimeoutException",
}
_CONNECTION = (HTTPClientError, botocore.exceptions.ConnectionError)
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError")
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "KMSAccessDeniedException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)


_MAKING = Lock()
"""A session makes one client at a time; clients are of any thread."""


@cache
def _session() -> Any:
    """One for all clients: it reads the descriptions of AWS's services once."""
    return boto3.session.Session()


@dataclass(frozen=True, slots=True)
class StreamLogin:
    """Where Kinesis is, and who asks. Holds references, never a secret."""

    whom: str
    region: str | None = None
    endpoint_url: str | None = None
    access_key_id: SecretReference | None = None
    secret_access_key: SecretReference | None = None

    def client(self) -> Any:
        """Reads secrets; connects with its first call."""
        given: dict[str, Any] = {"region_name": self.region, "endpoint_url": self.endpoint_url}
        if self.access_key_id is not None and self.secret_access_key is not None:
            given |= {
                "aws_access_key_id": resolve_for(self.access_key_id, self.whom).reveal(),
                "aws_secret_access_key": resolve_for(self.secret_access_key, self.whom).reveal(),
            }
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
        try:
            with _MAKING:
                return _session().client("kinesis", config=config, **given)
        except (NoRegionError, ValueError):
            raise TargetError(
                "no region is given, or the endpoint is no URL",
                where=self.whom,
                fix="region=, endpoint_url=, or AWS_REGION",
            ) from None


@dataclass
class Patience:
    """Waits between attempts: longer ones as they fail, and at random, so that publishers do not meet again.
    Ends when nothing was taken for `PATIENCE_SECONDS`."""

    where: str
    _since: float = field(default_factory=time.monotonic)
    _failures: int = 0

    def progressed(self) -> None:
        self._since, self._failures = time.monotonic(), 0

    def wait(self, code: str) -> None:
        """Raises TargetUnavailable where it was tried for long enough."""
        if time.monotonic() - self._since > PATIENCE_SECONDS:
            raise TargetUnavailable(
                f"the stream took nothing in {PATIENCE_SECONDS:.0f} s ({code})",
                where=self.where,
                fix=(
                    "give it more shards, or on-demand capacity; it goes on when it is tried again"
                    if code in THROTTLED
                    else "try again when Kinesis can be reached"
                ),
            )
        seconds = random.uniform(0, min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**self._failures))
        self._failures = min(self._failures + 1, 16)
        if self._failures > 3:
            _log.warning("%s: %s, tried again in %.1f s", self.where, code, seconds)
        time.sleep(seconds)


def code_of(error: BotoCoreError | ClientError) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def passes(error: BotoCoreError | ClientError) -> bool:
    """Whether the same may be taken a moment later. It may have been taken this time, too."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code_of(error) in _PASSING or status >= 500
    return isinstance(error, HTTPClientError | botocore.exceptions.ConnectionError) and not isinstance(
        error, SSLError
    )


def told(error: BotoCoreError | ClientError, where: str, action: str) -> ReplicationError:
    """An error that does not pass, as one of ours. `action` is what IAM calls what was asked."""
    code = code_of(error)
    if code in _NO_CREDENTIALS:
        return TargetError(
            "there are no AWS credentials",
            where=where,
            fix="an IAM role, AWS_ACCESS_KEY_ID, or access_key_id=",
        )
    if code in _DENIED:
        return TargetError(
            f"AWS refuses us ({code})",
            where=where,
            fix=f"allow {action} on the stream, and its key if it is encrypted: replication-assets iam",
        )
    if code == NOT_FOUND:
        return TargetError("there is no such stream", where=where, fix="make it, and --rebuild")
    if code.startswith("KMS"):
        return TargetError(
            f"the key of the stream cannot be used ({code})", where=where, fix="look at the key"
        )
    if isinstance(error, ClientError) and not passes(error):
        return TargetError(f"Kinesis refuses what was asked ({code})", where=where, fix="see docs/kinesis.md")
    return TargetUnavailable(
        f"Kinesis does not answer as it should ({code})",
        where=where,
        fix="check region, endpoint and network; try again when it can be reached",
    )


def asked(client: Any, operation: str, where: str, /, **given: Any) -> Any:
    """The answer to what changes nothing, asked again while its errors pass."""
    call: Callable[..., Any] = getattr(client, operation)
    patience = Patience(where)
    while True:
        try:
            return call(**given)
        except (BotoCoreError, ClientError) as error:
            if not passes(error):
                raise told(error, where, f"kinesis:{_action(operation)}") from None
            code = code_of(error)
        patience.wait(code)


def _action(operation: str) -> str:
    return "".join(part.capitalize() for part in operation.split("_"))
