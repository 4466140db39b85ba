"""Debezium's envelope: `before`, `after`, `source`, `op`, `ts_ms`; bare, or with its schema beside it.

Operations: `c` and `r` (a row that a snapshot read), `u`, `d`, `t` (the table was emptied), `m` (a
message of PostgreSQL's, which says nothing of rows). A change of a key comes as a delete and a
create, as Debezium writes it. Records that a transform flattened are not in this envelope.
"""

from __future__ import annotations

import base64
from typing import Any

from replication_assets.core.envelopes.messages import (
    Message,
    Row,
    RowChange,
    TableChange,
    int64,
    member,
    optional_row,
)
from replication_assets.errors import DecodeError

UNAVAILABLE = "__debezium_unavailable_value"
"""Debezium's default for a large value of PostgreSQL that did not change and was not in its log."""

_UNSENT = (
    UNAVAILABLE,
    base64.b64encode(UNAVAILABLE.encode()).decode(),
    UNAVAILABLE.encode().hex(),
    [UNAVAILABLE],
)
"""How it is spelled in columns of text, of binary values (base64, hexadecimal) and of arrays."""

_OPERATIONS = {"c": "I", "r": "I", "u": "U", "d": "D"}


def decode_debezium(value: Any) -> Message:
    """What a message says. Raises DecodeError for one that is not in this envelope."""
    if isinstance(value, dict) and "payload" in value and "op" not in value:
        value = value["payload"]
    if value is None:
        return None
    op = member(value, "op", str)
    if op == "m":
        return None
    source = member(value, "source", dict)
    table = member(source, "table", str)
    schema = source.get("schema") if source.get("schema") is not None else member(source, "db", str)
    at = _committed(source)
    if op == "t":
        return TableChange("emptied", schema, table, at, "truncate in the topic")
    letter = _OPERATIONS.get(op)
    if letter is None or not isinstance(schema, str):
        raise DecodeError("the message's op or schema is not one that Debezium documents")
    before, after = optional_row(value, "before"), optional_row(value, "after")
    row = before if letter == "D" else after
    if row is None:
        raise DecodeError("the message has no row as its op asks for")
    transaction = int64(source.get("txId"))
    old = _known(before) if letter == "U" else None
    unsent = tuple(name for name, each in row.items() if each in _UNSENT)
    return RowChange(letter, schema, table, row, old, at, transaction, unsent)  # type: ignore[arg-type]


def _committed(source: Row) -> int | None:
    exact, rounded = int64(source.get("ts_us")), int64(source.get("ts_ms"))
    return exact if exact is not None else rounded * 1000 if rounded is not None else None


def _known(before: Row | None) -> Row | None:
    """Old values that the message really has: the placeholder is none."""
    if before is None:
        return None
    return {name: each for name, each in before.items() if each not in _UNSENT}
