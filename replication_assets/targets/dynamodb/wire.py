"""Owns the way to one DynamoDB endpoint: HTTP/1.1 with signed requests over kept connections.

boto3 stays in charge of what is asked for now and then (`Wire.client`, see `tables`); what is
sent by the million goes through here, because boto3 costs 300 to 400 microseconds of
processor time an item, and this some 15.

    wire = Wire.open(WireSettings(region="eu-central-1"))
    wire.call("GetItem", {"TableName": "orders", "Key": {"pk": {"S": "a"}}})
    writer = TableWriter(wire, "orders", ("pk", "sk"))        # writes.py
    writer = ConditionalWriter(wire, "orders")                # conditional_writes.py
    reader = TableReader(wire, "orders")                      # reads.py

Not spoken: HTTP proxies (use a VPC endpoint), HTTP/2, and several requests at a time on one
connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import boto3
import orjson

from replication_assets.errors import TargetError
from replication_assets.targets.dynamodb.connections import ConnectionPool, Endpoint
from replication_assets.targets.dynamodb.counts import Counts, Tally
from replication_assets.targets.dynamodb.credentials import Credentials, CredentialSource, from_session
from replication_assets.targets.dynamodb.exchange import Call, Exchange, Patience
from replication_assets.targets.dynamodb.replies import Verdict
from replication_assets.targets.dynamodb.signing import Signer
from replication_assets.targets.dynamodb.tables import service_errors
from replication_assets.targets.dynamodb.throttle import Pace

Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True)
class WireSettings:
    """Where DynamoDB is and how hard it may be pushed. What is left out comes from boto3's chain."""

    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    credentials: Credentials | None = field(default=None, repr=False)
    connections: int = 16
    """Requests in flight at most, per table that is written or read at a time."""
    patience: Patience = field(default_factory=Patience)
    backoff_base: float = 0.05
    """Seconds; the first retry waits up to this long, each further one up to twice as long."""

    def session(self) -> Any:
        given = self.credentials
        return boto3.Session(
            region_name=self.region,
            profile_name=self.profile,
            aws_access_key_id=given.access_key if given else None,
            aws_secret_access_key=given.secret_key if given else None,
            aws_session_token=given.token if given else None,
        )


class Wire:
    """Open connections to one endpoint. Several threads may use it, each with exchanges of its own."""

    def __init__(
        self, client: Any, region: str, endpoint: Endpoint, source: CredentialSource, settings: WireSettings
    ) -> None:
        self.client = client
        self.settings = settings
        self.endpoint = endpoint
        self._pool = ConnectionPool(endpoint, connect_timeout=settings.patience.connect)
        self._signer = Signer(region, endpoint.authority, source)

    @classmethod
    def open(cls, settings: WireSettings) -> Wire:
        """Connects to nothing yet."""
        with service_errors("DynamoDB"):
            session = settings.session()
            if session.region_name is None:
                raise TargetError("no AWS region was given", where="DynamoDB", fix="set AWS_DEFAULT_REGION")
            source = from_session(session)
            client = session.client("dynamodb", endpoint_url=settings.endpoint_url)
        return cls(client, session.region_name, Endpoint.of(client.meta.endpoint_url), source, settings)

    def pace(self, requests: int | None = None) -> Pace:
        """A new pace, that starts with all connections (or so many requests) at once."""
        return Pace(requests or self.settings.connections, base=self.settings.backoff_base)

    def exchange(
        self,
        calls: Iterable[Call[Subject]],
        *,
        pace: Pace,
        tally: Tally,
        where: str,
        before_request: Callable[[], None] | None = None,
    ) -> Exchange[Subject]:
        return Exchange(
            self._pool,
            self._signer,
            calls,
            pace=pace,
            patience=self.settings.patience,
            tally=tally,
            where=where,
            before_request=before_request,
        )

    def call(self, operation: str, request: dict[str, Any], *, where: str = "DynamoDB") -> dict[str, Any]:
        """One request and its answer, with all retries. Raises TargetError where it is refused."""
        call = Call(operation, orjson.dumps(request), None)
        for _, reply in self.exchange([call], pace=self.pace(1), tally=Tally(), where=where):
            if reply.verdict is Verdict.DONE:
                return reply.content
            raise TargetError(f"{operation} was refused: {reply.code}", where=where, fix=reply.reason)
        raise AssertionError("an exchange answers every call")

    def close(self) -> None:
        self._pool.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


__all__ = ["Counts", "Patience", "Wire", "WireSettings"]
