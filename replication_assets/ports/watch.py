"""The ports that tell people and monitoring systems how replication fares.

A notification says that a condition started, still holds, or ended. It names tables, slots,
jobs and figures, never a cell value and never a credential: it leaves for systems that the
data itself may not reach.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["failure", "lag", "dead-letters", "slot", "disk", "schema-change"]
"""What a notification is about: a run or a connection that fails, lag over its SLA, rows that a
target refused, a change stream (slot) or a disk that runs out, columns that changed."""

Phase: TypeAlias = Literal["started", "repeated", "resolved", "noted"]
"""`noted` is for what happens once and has no end."""

Unit: TypeAlias = Literal[
    "Seconds", "Hours", "Count", "Count/Second", "Bytes", "Kilobytes/Second", "Percent", "None"
]
"""CloudWatch's words, and hours, which it lacks. A kilobyte is 1024 bytes, as in DMS."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One message about one `subject` (`shop`, `shop.public.orders`, `lake shop.public.orders`).

    `id` is the same whenever the same message is delivered again, so that receivers can drop
    repetitions: delivery is at least once. `since` is when the condition started.
    """

    id: str
    kind: Kind
    phase: Phase
    subject: str
    what: str
    fix: str
    since: dt.datetime
    at: dt.datetime

    def __str__(self) -> str:
        text = f"{self.subject}: {self.what}"
        return f"{text} Fix: {self.fix}" if self.fix and self.phase != "resolved" else text


def headline(notifications: Sequence[Notification]) -> str:
    """One line for all of them: the first, and how many more there are."""
    first = notifications[0]
    start = {"started": first.kind, "repeated": f"still {first.kind}", "noted": first.kind}
    more = f" and {len(notifications) - 1} more" if len(notifications) > 1 else ""
    return f"{start.get(first.phase, f'resolved {first.kind}')}: {first.subject}{more}"


def as_text(notifications: Sequence[Notification]) -> str:
    """A paragraph each, for people."""
    return "\n\n".join(
        f"{each.kind.upper()} {each.phase}, since {_utc(each.since)}\n{each}" for each in notifications
    )


def as_json(notifications: Sequence[Notification]) -> list[dict[str, str]]:
    """An object each, for programs; times are ISO 8601 in UTC."""
    return [
        {
            "id": each.id,
            "kind": each.kind,
            "phase": each.phase,
            "subject": each.subject,
            "what": each.what,
            "fix": each.fix,
            "since": _utc(each.since),
            "at": _utc(each.at),
        }
        for each in notifications
    ]


def _utc(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).isoformat(timespec="seconds")


class Notifier(Protocol):
    """A channel that people or programs listen to."""

    @property
    def where(self) -> str:
        """The receiver, for errors and logs, without any secret part of its address."""
        ...

    def send(self, notifications: Sequence[Notification]) -> str | None:
        """Deliver all of them as one message, or raise. Returns who did not get it, if others
        did: sending it again would reach those a second time.

        Raises:
            DeliveryError: nobody confirmed; the message may or may not have arrived.
            SecretError: a credential or address reference cannot be resolved.
        """
        ...


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure at one time. `name` is CamelCase as in DMS, `help` one sentence."""

    name: str
    unit: Unit
    value: float
    at: dt.datetime
    help: str
    dimensions: Mapping[str, str] = field(default_factory=dict, hash=False)


class MetricSink(Protocol):
    """A monitoring system that keeps figures."""

    @property
    def where(self) -> str:
        """The system, for errors and logs."""
        ...

    def publish(self, metrics: Sequence[Metric]) -> None:
        """Hand over all figures of one moment.

        Raises:
            DeliveryError: they were not accepted, or only some of them.
        """
        ...
