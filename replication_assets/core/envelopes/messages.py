"""What a message of a topic says of a table, whichever envelope it came in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from replication_assets.errors import DecodeError

Envelope: TypeAlias = Literal["dms", "debezium"]
Row: TypeAlias = Mapping[str, Any]
"""Columns of a row by name; values as `json_values.read_json` gives them."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_INT64 = 2**63


@dataclass(slots=True)
class RowChange:
    """One changed row. `op` is `I`, `U` or `D`; `row` is the new row, of a delete the old one as far as
    it was sent. `before` holds old values where the message has them. `committed_at` is in
    microseconds since 1970. `unsent` names columns of `row` whose value did not change and was not sent:
    what stands there is no value."""

    op: Literal["I", "U", "D"]
    schema: str
    table: str
    row: Row
    before: Row | None
    committed_at: int | None
    transaction: int | None
    unsent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableChange:
    """What happened to a whole table: it was `emptied`, or it is not any more what the messages told
    (`stale`), for a `reason`."""

    kind: Literal["emptied", "stale"]
    schema: str
    table: str
    committed_at: int | None
    reason: str


Message: TypeAlias = RowChange | TableChange | None
"""None: a message that says nothing of rows (a tombstone, a heartbeat, a table that was created)."""


def member(holder: Any, name: str, kind: type) -> Any:
    """A member that must be there. Raises DecodeError naming it."""
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, kind):
        raise DecodeError(f"the message has no {name!r} as its envelope asks for")
    return value


def optional_row(holder: Any, name: str) -> Row | None:
    """A member that is a row, null or missing."""
    if holder.get(name) is None:
        return None
    row: Row = member(holder, name, dict)
    return row


def microseconds(text: Any) -> int | None:
    """A timestamp in ISO 8601, without a zone UTC, in microseconds since 1970; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return ((time if time.tzinfo else time.replace(tzinfo=dt.UTC)) - _EPOCH) // _MICROSECOND


def int64(value: Any) -> int | None:
    """A number that fits; None for what is none."""
    return value if type(value) is int and -_INT64 <= value < _INT64 else None
