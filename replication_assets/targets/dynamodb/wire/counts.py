"""Owns the figures of a run of requests: what is shown as metrics, and never decides anything."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run cost. Counts of several runs are added up with `+`."""

    requests: int = 0
    """Sent, retries included."""
    items: int = 0
    """Written, deleted or read."""
    retried: int = 0
    """Requests that were sent again: throttled, failed, or without an answer."""
    unanswered: int = 0
    """Requests that ended without an answer, or with the server's failure: they may have been
    done, and for a moment longer may still be, after the retry that was answered."""
    throttled: int = 0
    """Answers that refused a request for its rate."""
    unprocessed: int = 0
    """Items or keys of an answered batch that were left undone, and sent again."""
    stale: int = 0
    """Items whose condition did not hold: the table has a newer one."""
    refused: int = 0
    """Items that DynamoDB does not store."""
    bytes_sent: int = 0
    """Bodies of requests."""
    write_units: float = 0.0
    read_units: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)))


@dataclass(slots=True)
class Tally:
    """Counts in the making."""

    requests: int = 0
    items: int = 0
    retried: int = 0
    unanswered: int = 0
    throttled: int = 0
    unprocessed: int = 0
    stale: int = 0
    refused: int = 0
    bytes_sent: int = 0
    write_units: float = 0.0
    read_units: float = 0.0

    def counts(self) -> Counts:
        return Counts(*(getattr(self, each.name) for each in fields(Counts)))
