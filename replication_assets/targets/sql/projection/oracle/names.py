"""Names and constants as Oracle's SQL writes them. All names are quoted: their letters stay as they are, and
they may begin with an underscore."""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.quoting import (
    ORACLE_NAME_BYTES,
    constant,
    double_quoted,
    oracle_name_problem,
)
from replication_assets.errors import TargetError
from replication_assets.targets.sql.projection.layout import Place

LIMIT = ORACLE_NAME_BYTES
_CONSTANT_BYTES = 3_900
"""A constant has 4,000 bytes; longer ones are put together of several."""


def quoted(*names: str) -> str:
    """Identifiers joined by dots.

    Raises:
        TargetError: nothing in Oracle can have such a name, so that none can be quoted.
    """
    problem = oracle_name_problem(names)
    if problem is not None:
        raise TargetError(problem, fix="rename it in a view and replicate that")
    return double_quoted(*names)


def text(value: str) -> str:
    """A constant; a long one is a CLOB, put together of pieces."""
    if len(value.encode()) <= _CONSTANT_BYTES:
        return constant(value)
    # A character has four bytes at most.
    step = _CONSTANT_BYTES // 4
    pieces = [value[at : at + step] for at in range(0, len(value), step)]
    return " || ".join(f"TO_CLOB({constant(piece)})" for piece in pieces)


def named(place: Place) -> str:
    return quoted(place.schema, place.name)


def staged(name: str) -> str:
    """A private temporary table: a session sees its own alone, and making one ends no transaction."""
    return f"ORA$PTT_{name.upper().removeprefix('_')}"


def listed(names: Sequence[str], alias: str = "") -> str:
    return ", ".join(f"{alias}.{quoted(name)}" if alias else quoted(name) for name in names)
