"""Names and constants as Transact-SQL writes them, whatever they are made of."""

from __future__ import annotations

from replication_assets.core.quoting import bracketed, unicode_constant
from replication_assets.core.schema import TableId

quoted = bracketed
literal = unicode_constant


def relation(table: TableId) -> str:
    return quoted(table.schema, table.name)


def hexadecimal(value: bytes) -> str:
    """A binary constant."""
    return "0x" + value.hex()
