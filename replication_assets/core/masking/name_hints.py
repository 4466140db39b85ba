"""Hints: what the name of a column says of what it holds, and which rule would fit then.

Names are split into words (`customerEMail2` is `customer e mail`), and words are looked for, so
that `email_verified` and `shipping_email` can be told apart by the kind of their values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from replication_assets.core.masking.column_kinds import Kind, kind_of, length_of
from replication_assets.core.masking.policy import ColumnPolicy
from replication_assets.core.masking.rules import (
    Constant,
    DateShift,
    FreeText,
    Keep,
    Null,
    Rule,
    Token,
)
from replication_assets.core.structure import ColumnStructure

Make: TypeAlias = Callable[[ColumnStructure], Rule]

INTERNAL = "internal"
"""The class of what is proposed to be kept: never `public`, which is for somebody to decide."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Names that hold `pattern` (whole words, `_` between them), in columns of these kinds."""

    what: str
    pattern: str
    data_class: str
    make: Make
    kinds: tuple[Kind, ...] = ("text",)

    def fits(self, column: ColumnStructure) -> bool:
        return kind_of(column) in self.kinds and self.named(column.name)

    def named(self, name: str) -> bool:
        return re.search(rf"(?:^|_)(?:{self.pattern})(?:_|$)", words_of(name)) is not None


def words_of(name: str) -> str:
    """A name in lower-case words: `customerEMail2` is `customer_e_mail`."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return "_".join(word for word in re.split(r"[^a-z]+", split) if word)


def gone(column: ColumnStructure) -> Rule:
    """Nothing of the value is left: NULL, or an empty value where NULL may not stand."""
    if column.nullable:
        return Null()
    return Constant(_EMPTY.get(kind_of(column), ""))


_EMPTY: dict[Kind, str | int | float | bool] = {
    "integer": 0,
    "decimal": 0,
    "float": 0.0,
    "boolean": False,
    "date": "1970-01-01",
    "timestamp": "1970-01-01T00:00:00",
    "time": "00:00:00",
    "json": "{}",
    "xml": "<masked/>",
    # Addresses for documentation: RFC 5737 and RFC 7042.
    "network": "192.0.2.1",
    "array": "{}",
    "uuid": "00000000-0000-0000-0000-000000000000",
}


def token(namespace: str, *, prefix: str = "") -> Make:
    """A token that fits: as long as the column takes, 16 characters at most."""

    def made(column: ColumnStructure) -> Rule:
        longest = length_of(column)
        if longest is None or longest >= 16 + len(prefix):
            return Token(namespace, prefix=prefix)
        return Token(namespace, length=longest)

    return made


def if_room(least: int, rule: Rule, namespace: str) -> Make:
    """A rule that needs so many characters, or else a token in its namespace."""

    def made(column: ColumnStructure) -> Rule:
        longest = length_of(column)
        return rule if longest is None or longest >= least else token(namespace)(column)

    return made


def free_text(column: ColumnStructure) -> Rule:
    longest = length_of(column)
    return FreeText() if longest is None or longest >= 200 else FreeText(longest=longest)


def always(rule: Rule) -> Make:
    """The same rule for every column."""

    def made(_: ColumnStructure) -> Rule:
        return rule

    return made


def rule_by_kind(column: ColumnStructure) -> ColumnPolicy:
    """What is proposed where the name says nothing: text is replaced, numbers are for somebody to
    look at."""
    kind = kind_of(column)
    if kind == "text":
        return ColumnPolicy("pii.freetext", _unknown_text(column))
    if kind in ("date", "timestamp"):
        return ColumnPolicy("pii.date", DateShift())
    if kind in ("integer", "decimal", "float", "boolean", "enum", "time"):
        return ColumnPolicy(INTERNAL, Keep())
    return ColumnPolicy("pii.unknown", gone(column))


def _unknown_text(column: ColumnStructure) -> Rule:
    longest = length_of(column)
    if longest is not None and longest <= 64:
        return token(words_of(column.name) or "text")(column)
    return free_text(column)
