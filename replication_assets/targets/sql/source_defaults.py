"""Types and defaults of PostgreSQL columns for engines with another SQL: a default is carried where it
says the same there, and nowhere else.

Refused: whatever calls a function that is not listed, and literals whose text one engine reads
differently from the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from replication_assets.core.structure import ColumnStructure, TableStructure

_SPELLING = re.compile(r"(?P<base>[^(]+?)\s*(?:\((?P<arguments>[\d,\s-]+)\))?(?P<rest>[^()]*)")
_NUMBER = re.compile(r"\(?'?(-?\d+(?:\.\d+)?)'?\)?(?:::[a-z][a-z ]*(?:\([\d,]+\))?)?")
_TEXT = re.compile(r"'((?:[^']|'')*)'::(?:[^:'()]|\(\d+\))+")
_CAST_TO_NULL = re.compile(r"NULL::[^:']+")
_NOW = re.compile(
    r"(?:now\(\)|CURRENT_TIMESTAMP(?:\(\d\))?|(?:transaction|statement|clock)_timestamp\(\))", re.IGNORECASE
)
_SERIAL = re.compile(r"nextval\('(?:[^']|'')*'::regclass\)")
_NUMERIC = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision", "oid"})
_TEXTUAL = frozenset({"text", "character varying", "json", "jsonb", "uuid", "citext"})


@dataclass(frozen=True, slots=True)
class Functions:
    """What an engine has for the functions that defaults call; None where it has nothing alike."""

    now: str
    uuid: str | None = None


def spelled(column: ColumnStructure) -> tuple[str, tuple[int, ...]]:
    """A type's name without arguments, and the arguments: `timestamp with time zone`, (3,)."""
    found = _SPELLING.fullmatch(column.type)
    if found is None or column.type.endswith("[]"):
        return column.type, ()
    arguments = tuple(int(each) for each in (found["arguments"] or "").split(",") if each.strip())
    return f"{found['base']}{found['rest']}".strip(), arguments


def is_serial(structure: TableStructure, column: ColumnStructure) -> bool:
    """Whether the source draws the column's values from a sequence."""
    owned = {each.column for each in structure.sequences}
    drawn = column.default is not None and _SERIAL.fullmatch(column.default) is not None
    return column.name in owned or column.identity is not None or drawn


def is_carried(structure: TableStructure, column: ColumnStructure, functions: Functions) -> bool:
    """Whether there is nothing to say of the column's default in `not_carried`."""
    if column.default is None or _CAST_TO_NULL.fullmatch(column.default):
        return True
    return is_serial(structure, column) or default_of(column, functions) is not None


def default_of(column: ColumnStructure, functions: Functions) -> str | None:
    """An expression in brackets; None if there is none, or none that means the same."""
    text = column.default
    if text is None:
        return None
    base, _ = spelled(column)
    if base == "boolean" and text in ("true", "false"):
        return "(1)" if text == "true" else "(0)"
    number = _NUMBER.fullmatch(text)
    if number is not None and base in _NUMERIC:
        return f"({number[1]})"
    constant = _TEXT.fullmatch(text)
    if constant is not None and (base in _TEXTUAL or column.labels):
        return f"('{constant[1]}')"
    if _NOW.fullmatch(text) and base.startswith("timestamp"):
        return functions.now
    if text in ("gen_random_uuid()", "uuid_generate_v4()") and base == "uuid":
        return functions.uuid
    return None
