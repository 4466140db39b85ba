"""How a projection is served: what becomes of rows that it refuses, how it is validated, and how
reads are cut over to it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from replication_assets.declarations.base import Declaration, LiteralSecret
from replication_assets.declarations.watch import holds_token
from replication_assets.secret_references import SecretReference

RefusalPolicy: TypeAlias = Literal["dead-letter", "suspend", "stop"]


@dataclass(frozen=True, slots=True)
class Refusals(Declaration):
    """What happens to an event that the target, or a converter before it, refuses.

    `dead-letter` keeps it aside and goes on. `suspend` keeps it aside and then leaves its table
    alone until somebody resumes it. `stop` keeps it too, so that it can be seen, and fails the run
    with the checkpoint where it was, and so every later run until the cause is mended. With
    `escalate_after`, a table that has this many open dead letters is treated by the policy
    `escalate_to` instead.
    """

    policy: RefusalPolicy = "dead-letter"
    _: KW_ONLY
    escalate_after: int | None = None
    escalate_to: Literal["suspend", "stop"] = "suspend"


@dataclass(frozen=True, slots=True)
class Validation(Declaration):
    """How a projection is held against its source, as Dagster asset checks.

    `cron` (UTC) says when all of it is validated; None: on demand only. A `blocking` check that
    fails holds back what is materialized after the projection in the same run. Changes that are
    in flight are waited for `wait_seconds`; what has not arrived then is reported as late, not
    as a mismatch.
    """

    cron: str | None = "41 * * * *"
    _: KW_ONLY
    blocking: bool = False
    wait_seconds: float = 60


@dataclass(frozen=True, slots=True)
class PythonHook(Declaration):
    """A function to call, as `package.module:function`; it gets a `ports.HookCall`."""

    function: str


@dataclass(frozen=True, slots=True)
class WebhookHook(Declaration):
    """A URL to POST a JSON description to; any answer but 2xx is a failure. A URL that holds a
    token is given by reference."""

    url: str | SecretReference

    def __post_init__(self) -> None:
        if isinstance(self.url, str) and holds_token(self.url):
            object.__setattr__(self, "url", LiteralSecret())
        Declaration.__post_init__(self)


Hook: TypeAlias = PythonHook | WebhookHook


@dataclass(frozen=True, slots=True)
class Cutover(Declaration):
    """The gated hand-over of reads from the tables of a source to one projection.

    Writes count as stopped when no transaction holds a lock to write the tables and none of their
    rows changes for `quiet_seconds`. Captures and projections get `drain_seconds` to reach the
    last change. `switch` points readers at the projection, `back` points them at the source
    again. After the switch the projection is watched for `watch_seconds`.
    """

    name: str
    _: KW_ONLY
    projection: str
    switch: Hook | None = None
    back: Hook | None = None
    quiet_seconds: float = 30
    drain_seconds: float = 600
    watch_seconds: float = 60
