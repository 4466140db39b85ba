"""What is watched, when it is alarming, and who is told.

Every limit has a default, so that `Catalog(...)` alone watches everything in Dagster; channels
and monitoring systems are added to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from replication_assets.declarations.base import Declaration, LiteralSecret
from replication_assets.secret_references import SecretReference

WatchEvent: TypeAlias = Literal["failure", "lag", "dead-letters", "slot", "disk", "schema-change"]
ALL_EVENTS: tuple[WatchEvent, ...] = ("failure", "lag", "dead-letters", "slot", "disk", "schema-change")

_SECRET_HEADER = re.compile(r"auth|cookie|token|secret|key|password|signature", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(r"(auth|token|secret|key|password|sig|signature|code)=", re.IGNORECASE)
_TOKEN = re.compile(r"(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{16,}|[0-9a-fA-F-]{24,}")
"""A part of a path that nobody would type: the token of a chat's hook."""


@dataclass(frozen=True, slots=True)
class Webhook(Declaration):
    """A URL that gets a POST of JSON (https; http on this machine only). A URL that holds a token,
    as those of chat systems do, is given by reference, and so are secret headers."""

    url: str | SecretReference
    _: KW_ONLY
    headers: Mapping[str, str | SecretReference] = field(default_factory=dict, hash=False)
    events: Sequence[WatchEvent] = ALL_EVENTS
    cafile: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.url, str) and holds_token(self.url):
            object.__setattr__(self, "url", LiteralSecret())
        if isinstance(self.headers, Mapping):
            safe = {name: _safe_header(str(name), value) for name, value in self.headers.items()}
            object.__setattr__(self, "headers", safe)
        Declaration.__post_init__(self)


def holds_token(url: str) -> bool:
    """Whether a URL looks as if whoever knows it may use it."""
    parts = urlsplit(url)
    segments = parts.path.split("/")
    return bool(_SECRET_PARAMETER.search(parts.query)) or any(_TOKEN.fullmatch(each) for each in segments)


def _safe_header(name: str, value: object) -> object:
    return LiteralSecret() if isinstance(value, str) and _SECRET_HEADER.search(name) else value


@dataclass(frozen=True, slots=True)
class Sns(Declaration):
    """An Amazon SNS topic, published to with the credentials of the process."""

    topic_arn: str
    _: KW_ONLY
    events: Sequence[WatchEvent] = ALL_EVENTS
    region: str | None = None
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True)
class Email(Declaration):
    """E-mail through an SMTP server. With `user` and `password` the connection is encrypted."""

    host: str
    _: KW_ONLY
    sender: str
    recipients: Sequence[str]
    port: int = 587
    user: str | None = None
    password: SecretReference | None = None
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    events: Sequence[WatchEvent] = ALL_EVENTS
    cafile: str | None = None


@dataclass(frozen=True, slots=True)
class CloudWatch(Declaration):
    """Amazon CloudWatch, written to with the credentials of the process. `dimensions` are put on
    every figure, beside `Source`, `Table` and `Projection`."""

    namespace: str = "ReplicationAssets"
    _: KW_ONLY
    region: str | None = None
    endpoint_url: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Prometheus(Declaration):
    """A file of Prometheus text, for the textfile collector of the node exporter; ends in
    `.prom`."""

    file: str


Channel: TypeAlias = Webhook | Sns | Email
MetricExport: TypeAlias = CloudWatch | Prometheus


@dataclass(frozen=True, slots=True)
class Watch(Declaration):
    """When replication is in trouble, and who is told.

    * `lag_sla_seconds`: from a commit in the source until the event store holds it, and for a
      projection until it is applied; `Table.lag_sla_seconds` and `freshness_seconds` of a
      projection are for one of them.
    * A slot or a disk is in danger when it is predicted to run out in `headroom_hours`, or has
      less than `headroom_bytes` left (by default a tenth of what a slot may keep, a twentieth
      of a disk). Where the source keeps its log without limit, a slot is in danger when it
      holds `retained_bytes` back.
    * Everything is looked at each `every_seconds`. A condition counts as over when it was absent
      for `settle_seconds`, and is told again every `repeat_seconds`.
    """

    lag_sla_seconds: float = 300
    _: KW_ONLY
    headroom_hours: float = 24
    headroom_bytes: int | None = None
    retained_bytes: int = 64 * 2**30
    every_seconds: float = 30
    repeat_seconds: float = 4 * 3600
    settle_seconds: float = 120
    notify: Sequence[Channel] = ()
    metrics: Sequence[MetricExport] = ()
