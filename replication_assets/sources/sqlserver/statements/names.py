"""Names and constants as Transact-SQL writes them, whatever they are made of."""

from __future__ import annotations

from replication_assets.core.schema import TableId


def quoted(*names: str) -> str:
    """Identifiers joined by dots. Brackets hold under every setting of QUOTED_IDENTIFIER."""
    return ".".join("[" + name.replace("]", "]]") + "]" for name in names)


def relation(table: TableId) -> str:
    return quoted(table.schema, table.name)


def literal(text: str) -> str:
    """A Unicode constant: without the N it would go through the code page of the database."""
    return "N'" + text.replace("'", "''") + "'"


def hexadecimal(value: bytes) -> str:
    """A binary constant."""
    return "0x" + value.hex()
