"""Names and literals in SQL text: DDL and the text of triggers take no parameters."""

from __future__ import annotations

from replication_assets.core.schema import TableId

SCHEMA = "main"
"""The one schema of a database file."""


def identifier(name: str) -> str:
    """A quoted identifier."""
    return '"' + _without_nul(name).replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted text constant."""
    return "'" + _without_nul(text).replace("'", "''") + "'"


def relation(table: TableId) -> str:
    """A table's qualified name."""
    return f"{SCHEMA}.{identifier(table.name)}"


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("SQL text cannot hold a NUL character")
    return text
