"""Functions of expressions: those that DMS documents, and those that SQLite has beside them.

The first are read in any case and spelled as here. DMS's own (`replaceChars`, `hash_sha256`,
`operation_indicator`) are defined here; all others are SQLite's.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

MANY = 127

Stored: TypeAlias = str | bytes | int | float | None
"""A value of SQLite."""

DOCUMENTED: dict[str, tuple[int, int]] = {
    "lower": (1, 1),
    "upper": (1, 1),
    "ltrim": (1, 2),
    "rtrim": (1, 2),
    "trim": (1, 2),
    "replace": (3, 3),
    "replaceChars": (3, 3),
    "substr": (2, 3),
    "hash_sha256": (1, 1),
    "hex": (1, 1),
    "randomblob": (1, 1),
    "zeroblob": (1, 1),
    "abs": (1, 1),
    "random": (0, 0),
    "round": (1, 2),
    "max": (2, MANY),
    "min": (2, MANY),
    "ifnull": (2, 2),
    "nullif": (2, 2),
    "coalesce": (2, MANY),
    "date": (0, MANY),
    "time": (0, MANY),
    "datetime": (0, MANY),
    "julianday": (0, MANY),
    "strftime": (1, MANY),
    "operation_indicator": (3, 3),
}
"""Least and most arguments. `max` and `min` of one argument are aggregates, which no row has."""

OF_SQLITE: dict[str, tuple[int, int]] = {
    "length": (1, 1),
    "instr": (2, 2),
    "substring": (2, 3),
    "printf": (1, MANY),
    "format": (1, MANY),
    "quote": (1, 1),
    "typeof": (1, 1),
    "unicode": (1, 1),
    "char": (1, MANY),
    "iif": (3, 3),
    "sign": (1, 1),
    "unixepoch": (0, MANY),
    "glob": (2, 2),
    "like": (2, 3),
    "json": (1, 1),
    "json_extract": (2, MANY),
    "json_valid": (1, 1),
    "json_array": (0, MANY),
    "json_object": (0, MANY),
    "json_quote": (1, 1),
    "json_type": (1, 2),
    "json_array_length": (1, 2),
}
"""In SQLite, and not in DMS's list of functions."""

FUNCTIONS = DOCUMENTED | OF_SQLITE


def replace_chars(text: object, replaced: object, by: object) -> str | None:
    """Each letter of `text` that is in `replaced` becomes the letter of `by` at the same place; the
    first of `by` where that has none there, nothing where `by` is empty.

    As in the documentation's example: `replaceChars('abcde', 'abcd', '123')` is `1231e`.
    """
    if text is None or replaced is None or by is None:
        return None
    old, new = _as_text(replaced), _as_text(by)
    table: dict[int, str] = {}
    for at, letter in enumerate(old):
        table.setdefault(ord(letter), new[at] if at < len(new) else new[:1])
    return _as_text(text).translate(table)


def hash_sha256(value: object) -> str | None:
    """Upper-case hexadecimal SHA-256 of the value's UTF-8 text, unsalted; of a blob its own bytes."""
    if value is None:
        return None
    data = value if isinstance(value, bytes) else _as_text(value).encode()
    return hashlib.sha256(data).hexdigest().upper()


def operation_indicator(operation: object, deleted: Stored, updated: Stored, inserted: Stored) -> Stored:
    """One of three values by what the newest change of the row is."""
    return {"DELETE": deleted, "UPDATE": updated, "INSERT": inserted}[str(operation)]


def _as_text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
