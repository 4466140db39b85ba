"""Names and constants as Transact-SQL writes them, whatever they are made of."""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.quoting import bracketed, unicode_constant
from replication_assets.targets.sql.projection.layout import Place

quoted = bracketed
text = unicode_constant


def named(place: Place) -> str:
    return quoted(place.schema, place.name)


def staged(name: str) -> str:
    """A temporary table: a session sees its own alone."""
    return quoted(f"#{name}")


def listed(names: Sequence[str], alias: str = "") -> str:
    return ", ".join(quoted(alias, name) if alias else quoted(name) for name in names)
