"""What changed between two shapes of a table, and whether its loaded rows still tell the truth.

Oracle numbers columns by their place, which moves: a column that was renamed looks like one that was
dropped and another that was added. Where it cannot be sure, `compare` asks for a reload: a needless load
costs time, a missing one leaves wrong rows.

Rows that come or go with a partition are in no row of the redo log; `partition_changes` finds them.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from replication_assets.core.column_changes import Difference, compare_columns
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.ports import PartitionTree
from replication_assets.sources.oracle.reflection import CatalogColumn, names_of
from replication_assets.sources.oracle.sessions import Session
from replication_assets.sources.oracle.statements import catalog
from replication_assets.sources.oracle.types import NativeType


def filled_columns(found: Sequence[CatalogColumn]) -> frozenset[str]:
    """Columns that rows older than the column hold a value in: with a default, or NOT NULL."""
    return frozenset(column.name for column in found if column.has_default or not column.nullable)


def compare(known: TableSchema, now: Sequence[Column], filled: Set[str]) -> Difference | None:
    """See `core.column_changes`. A column that is replicated from here on is no more left out."""
    found = compare_columns(known, now, filled, _holds_all)
    if found is None:
        return None
    names = {column.name for column in now}
    left_out = tuple(name for name in known.not_replicated if name not in names)
    return replace(found, schema=replace(found.schema, not_replicated=left_out))


def _holds_all(old: str, new: str) -> bool:
    """Whether every value of the old type is a value of the new one, with the same text. CHAR is padded
    anew, digits of a fraction change how moments are printed."""
    before, after = NativeType.parse(old), NativeType.parse(new)
    if before.base != after.base or before.base not in ("VARCHAR2", "NVARCHAR2", "RAW", "NUMBER"):
        return False
    wider = (after.precision or 0) >= (before.precision or 0)
    return wider and before.scale == after.scale


def partition_changes(
    session: Session, table: TableId, known: tuple[tuple[int, str], ...] | None
) -> PartitionTree | None:
    """The partitions now, by the number of their object; None if the table has none. DROP, TRUNCATE, SPLIT
    and EXCHANGE PARTITION are told by the redo log too (`logminer.definitions`)."""
    rows = session.rows(catalog.PARTITIONS, names_of(table))
    if not rows:
        return None
    leaves = tuple(sorted((int(number), str(name)) for number, name in rows))
    if known is None:
        return PartitionTree(leaves, "")
    gone = sorted(name for number, name in set(known) - set(leaves))
    reason = f"partition {', '.join(gone)} was dropped, or its rows were reorganised" if gone else ""
    return PartitionTree(leaves, reason)
