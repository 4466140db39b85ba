"""Names and literals in SQL text. Streams through ADBC and replication commands take no
parameters, so they are quoted here, for sessions with `standard_conforming_strings`."""

from __future__ import annotations

from replication_assets.core.schema import TableId


def identifier(name: str) -> str:
    """A quoted identifier."""
    return '"' + _without_nul(name).replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted text constant; the context gives it its type."""
    return "'" + _without_nul(text).replace("'", "''") + "'"


def relation(table: TableId) -> str:
    """A table's qualified name."""
    return f"{identifier(table.schema)}.{identifier(table.name)}"


def from_item(table: TableId, relkind: str) -> str:
    """What to read FROM. A table that others inherit from is read alone: rows of the heirs
    are theirs, in the change stream too. Partitions' rows are the partitioned table's."""
    return relation(table) if relkind == "p" else f"ONLY {relation(table)}"


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("PostgreSQL text cannot hold a NUL character")
    return text
