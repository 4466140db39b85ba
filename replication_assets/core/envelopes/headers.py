"""Headers of the messages that this project writes, by which a reader drops what was sent twice.

`stream` names who wrote the message (a projection, and how often it began anew), `number` counts the
stream's messages of one table from 1, `position` is that of the event. A producer that was killed may
send messages again, in the same order and with the same numbers. So within a partition a message whose
number is not greater than that of an earlier one of its stream and table is a repeat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

STREAM, TABLE = "replication-stream", "replication-table"
NUMBER, POSITION = "replication-number", "replication-position"

Headers: TypeAlias = Mapping[str, str | bytes | None] | Sequence[tuple[str, str | bytes | None]]
_DIGITS = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Numbered:
    """Which message of which stream it is."""

    stream: str
    table: str
    number: int


def numbered(headers: Headers | None) -> Numbered | None:
    """None for a message of somebody else."""
    if not headers:
        return None
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found = {name: value for name, value in pairs if name in (STREAM, TABLE, NUMBER)}
    stream, table, number = (_text(found.get(name)) for name in (STREAM, TABLE, NUMBER))
    if stream is None or table is None or number is None or _DIGITS.fullmatch(number) is None:
        return None
    return Numbered(stream, table, int(number))


def stream_key(told: Numbered, topic: str, partition: int) -> str:
    """What numbers rise within. No name of a topic or a stream has a line break."""
    return f"{told.stream}\n{topic}\n{partition}\n{told.table}"


def _text(value: str | bytes | None) -> str | None:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value
