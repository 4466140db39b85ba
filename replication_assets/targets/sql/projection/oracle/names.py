"""Names and constants as Oracle's SQL writes them. All names are quoted: their letters stay as they are, and
they may begin with an underscore."""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.errors import TargetError
from replication_assets.targets.sql.projection.layout import Place

LIMIT = 128
"""Bytes of a name, from 12.2 on."""
_CONSTANT_BYTES = 3_900
"""A constant has 4,000 bytes; longer ones are put together of several."""


def quoted(*names: str) -> str:
    """Identifiers joined by dots.

    Raises:
        TargetError: nothing in Oracle can have such a name, so that none can be quoted.
    """
    for name in names:
        if not name or '"' in name or "\0" in name or len(name.encode()) > LIMIT:
            raise TargetError(
                f"{name[:40]!r} is no name of Oracle: 1 to {LIMIT} bytes without a double quote",
                fix="rename it in a view and replicate that",
            )
    return ".".join(f'"{name}"' for name in names)


def text(value: str) -> str:
    """A constant; a long one is a CLOB, put together of pieces."""
    if len(value.encode()) <= _CONSTANT_BYTES:
        return _constant(value)
    # A character has four bytes at most.
    step = _CONSTANT_BYTES // 4
    pieces = [value[at : at + step] for at in range(0, len(value), step)]
    return " || ".join(f"TO_CLOB({_constant(piece)})" for piece in pieces)


def _constant(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def named(place: Place) -> str:
    return quoted(place.schema, place.name)


def staged(name: str) -> str:
    """A private temporary table: a session sees its own alone, and making one ends no transaction."""
    return f"ORA$PTT_{name.upper().removeprefix('_')}"


def listed(names: Sequence[str], alias: str = "") -> str:
    return ", ".join(f"{alias}.{quoted(name)}" if alias else quoted(name) for name in names)
