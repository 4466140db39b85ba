"""What a DDL statement of the redo log means for the rows of its table.

Its text is looked at for its first words alone, and never told: it may hold values.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Effect: TypeAlias = Literal["emptied", "dropped", "partition", "unseen", "columns", "nothing"]
"""`emptied`: TRUNCATE TABLE. `dropped`: the table is there no more. `partition`: rows came or went with a
partition. `unseen`: rows changed that no row of the log tells. `columns`: the columns are to be looked at."""

REASONS: dict[Effect, str] = {
    "dropped": "the table was dropped or renamed",
    "partition": "rows came or went with a partition",
    "unseen": "a statement changed rows that the redo log does not tell of",
}

_COMMENT = re.compile(r"\s*(?:--[^\n]*(?:\n|$)|/\*.*?\*/)", re.DOTALL)
_NAME = r'(?:"[^"]+"|[\w$#]+)(?:\s*\.\s*(?:"[^"]+"|[\w$#]+))?'
_ALTER = re.compile(rf"alter\s+table\s+{_NAME}\s*(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_PARTITION = re.compile(
    r"(?:truncate|drop|exchange)\s+(?:sub)?partition|coalesce\s+(?:sub)?partition", re.IGNORECASE
)
_WORDS: tuple[tuple[str, Effect], ...] = (
    (r"truncate\s+table\b", "emptied"),
    (r"truncate\s+cluster\b", "unseen"),
    (r"drop\s+table\b", "dropped"),
    (r"rename\b", "dropped"),
    (r"flashback\s+table\b", "unseen"),
    (r"purge\b", "nothing"),
    # One made from a query is filled without rows in the log.
    (r"create\s+table\b", "unseen"),
    (r"(?:create|alter|drop)\s+(?:unique\s+|bitmap\s+)?index\b", "nothing"),
    (r"(?:create|alter|drop)\s+(?:or\s+replace\s+)?.{0,40}?(?:trigger|view|synonym)\b", "nothing"),
    (r"(?:grant|revoke|comment|analyze|associate|audit|noaudit|lock)\b", "nothing"),
)
_FIRST_WORDS = tuple((re.compile(pattern, re.IGNORECASE), effect) for pattern, effect in _WORDS)


def effect_of(statement: str) -> Effect:
    """What a statement did to its table. What is not known may have changed anything."""
    text = statement
    while (comment := _COMMENT.match(text)) is not None:
        text = text[comment.end() :]
    text = text.strip()
    found = _ALTER.match(text)
    if found is not None:
        return _altered(found["rest"].strip())
    for pattern, effect in _FIRST_WORDS:
        if pattern.match(text):
            return effect
    return "unseen"


def _altered(rest: str) -> Effect:
    if _PARTITION.match(rest):
        return "partition"
    if re.match(r"rename\s+to\b", rest, re.IGNORECASE):
        return "dropped"
    return "columns"
