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

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

import boto3
import orjson

from replication_assets.errors import TargetError
from replication_assets.targets.dynamodb.tables import service_errors
from replication_assets.targets.dynamodb.wire.connections import ConnectionPool, Endpoint
from replication_assets.targets.dynamodb.wire.counts import Counts, Tally
from replication_assets.targets.dynamodb.wire.credentials import Credentials, CredentialSource, from_session
from replication_assets.targets.dynamodb.wire.exchange import Call, Exchange, Patience
from replication_assets.targets.dynamodb.wire.replies import Verdict
from replication_assets.targets.dynamodb.wire.signing import Signer
from replication_assets.targets.dynamodb.wire.throttle import BASE_SECONDS, LONGEST_SECONDS, Pace

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
    backoff_base: float = BASE_SECONDS
    """The first retry waits up to this long, each further one up to twice as long ..."""
    backoff_longest: float = LONGEST_SECONDS
    """... until this."""

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
        self,
        region: str,
        endpoint: Endpoint,
        source: CredentialSource,
        settings: WireSettings,
        make_client: Callable[[], Any],
    ) -> None:
        self.settings = settings
        self.endpoint = endpoint
        self._make_client = make_client
        self._making = threading.Lock()
        self._paces: dict[str, Pace] = {}
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
            make_client = partial(session.client, "dynamodb", endpoint_url=settings.endpoint_url)
            url = settings.endpoint_url or make_client().meta.endpoint_url
        return cls(session.region_name, Endpoint.of(url), source, settings, make_client)

    @property
    def client(self) -> Any:
        """boto3's, for what is asked for now and then. Made when it is needed: that takes a while, and
        boto3 refuses to be made by two threads at once."""
        with self._making:
            return self._client

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def pace_of(self, table: str) -> Pace:
        """The pace of a table, for all who write to it over this wire."""
        return self._paces.setdefault(table, self.pace())

    def pace(self, requests: int | None = None) -> Pace:
        """A new pace, that starts with all connections (or so many requests) at once."""
        settings = self.settings
        return Pace(
            requests or settings.connections, base=settings.backoff_base, longest=settings.backoff_longest
        )

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
