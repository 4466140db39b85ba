"""What changed between two shapes of a table, and whether its loaded rows still tell the truth.

MySQL numbers columns by their place, so that a column which was renamed looks like one that was dropped
and another that was added: where both happened, a reload is asked for. Where it cannot be sure, `compare`
asks for a reload: a needless load costs time, a missing one leaves wrong rows.

Rows that come or go with a partition are in no row event; `partition_changes` finds them by comparing
the partitions with what they were.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from replication_assets.core.column_changes import Difference, compare_columns
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.ports import PartitionTree
from replication_assets.sources.mysql.connection import Session, literal
from replication_assets.sources.mysql.reflection import CatalogColumn
from replication_assets.sources.mysql.types import NativeType


def filled_columns(catalog: Sequence[CatalogColumn]) -> frozenset[str]:
    """Columns that rows older than the column hold a value in: with a default, or NOT NULL, which gives
    old rows zero or the empty text."""
    return frozenset(column.name for column in catalog if column.has_default or not column.nullable)


def compare(known: TableSchema, now: Sequence[Column], filled: Set[str]) -> Difference | None:
    """See `core.column_changes`."""
    return compare_columns(known, now, filled, _holds_all)


_TEXTS = ("tinytext", "text", "mediumtext", "longtext")
_BLOBS = ("tinyblob", "blob", "mediumblob", "longblob")
_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")


def _holds_all(old: str, new: str) -> bool:
    """Whether every value of the old type is a value of the new one, with the same text."""
    before, after = NativeType.parse(old), NativeType.parse(new)
    if before.base in ("enum", "set"):
        return after.base == before.base and new.startswith(old[:-1] + ",")
    if before.base == after.base:
        same = before.unsigned == after.unsigned and before.scale == after.scale
        longer = (after.length or 0) >= (before.length or 0)
        # Only lengths of strings: digits of other types change how values are printed.
        return same and longer and before.base in ("varchar", "varbinary", "char", *_INTEGERS)
    for family in (_TEXTS, _BLOBS):
        if before.base in family and after.base in family:
            return family.index(after.base) > family.index(before.base)
    signs = before.unsigned == after.unsigned
    if before.base in _INTEGERS and after.base in _INTEGERS and signs:
        return _INTEGERS.index(after.base) > _INTEGERS.index(before.base)
    return False


# --- partitions --------------------------------------------------------------------------


def partition_changes(
    session: Session, table: TableId, known: tuple[tuple[int, str], ...] | None
) -> PartitionTree | None:
    """The partitions now; None if the table has none. Numbers are made from names: the server has none
    that it tells everybody. DROP, TRUNCATE and EXCHANGE PARTITION take or bring rows that no row event
    names; of these, the stream tells (`binlog`) what leaves the names as they are."""
    rows = session.rows(
        "SELECT CONCAT_WS('/', PARTITION_NAME, SUBPARTITION_NAME) FROM information_schema.PARTITIONS"
        f" WHERE TABLE_SCHEMA = {literal(table.schema)} AND TABLE_NAME = {literal(table.name)}"
        " AND PARTITION_NAME IS NOT NULL ORDER BY 1"
    )
    if not rows:
        return None
    leaves = tuple(sorted((_number(str(name)), str(name)) for (name,) in rows))
    if known is None:
        return PartitionTree(leaves, "")
    gone = sorted({name for _, name in known} - {name for _, name in leaves})
    reason = f"partition {', '.join(gone)} was dropped, or its rows were reorganised" if gone else ""
    return PartitionTree(leaves, reason)


def _number(name: str) -> int:
    """FNV-1a in 32 bits (draft-eastlake-fnv): the same in every process."""
    found = 0x811C9DC5
    for byte in name.encode():
        found = (found ^ byte) * 0x01000193 & 0xFFFFFFFF
    return found
