"""Defaults of PostgreSQL columns in MySQL's SQL, where they say the same; nothing else is carried.

Refused: whatever calls a function that is not listed, and literals whose text one engine reads
differently from the other.
"""

from __future__ import annotations

import re

from replication_assets.core.structure import ColumnStructure, TableStructure
from replication_assets.targets.sql.mysql.connection import literal
from replication_assets.targets.sql.mysql.types import spelled

_NUMBER = re.compile(r"\(?'?(-?\d+(?:\.\d+)?)'?\)?(?:::[a-z][a-z ]*(?:\([\d,]+\))?)?")
_TEXT = re.compile(r"'((?:[^']|'')*)'::(?:[^:'()]|\(\d+\))+")
_CAST_TO_NULL = re.compile(r"NULL::[^:']+")
_NOW = re.compile(
    r"(?:now\(\)|CURRENT_TIMESTAMP(?:\(\d\))?|(?:transaction|statement|clock)_timestamp\(\))", re.IGNORECASE
)
_SERIAL = re.compile(r"nextval\('(?:[^']|'')*'::regclass\)")
_NUMERIC = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision", "oid"})
_TEXTUAL = frozenset({"text", "character varying", "json", "jsonb", "uuid", "citext"})


def is_serial(structure: TableStructure, column: ColumnStructure) -> bool:
    """Whether the source draws the column's values from a sequence."""
    owned = {each.column for each in structure.sequences}
    drawn = column.default is not None and _SERIAL.fullmatch(column.default) is not None
    return column.name in owned or column.identity is not None or drawn


def is_carried(structure: TableStructure, column: ColumnStructure) -> bool:
    """Whether there is nothing to say of the column's default in `not_carried`."""
    if column.default is None or _CAST_TO_NULL.fullmatch(column.default):
        return True
    return is_serial(structure, column) or default_of(column) is not None


def default_of(column: ColumnStructure) -> str | None:
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
        return f"({literal(constant[1].replace(chr(39) * 2, chr(39)))})"
    if _NOW.fullmatch(text) and base.startswith("timestamp"):
        return "(UTC_TIMESTAMP(6))"
    if text in ("gen_random_uuid()", "uuid_generate_v4()") and base == "uuid":
        return "(UUID())"
    return None
