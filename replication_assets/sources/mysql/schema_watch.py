"""What changed between two shapes of a table, and whether its loaded rows still tell the truth.

MySQL numbers columns by their place, so that a column which was renamed looks like one that was dropped
and another that was added: where both happened, a reload is asked for. Where it cannot be sure, `compare`
asks for a reload: a needless load costs time, a missing one leaves wrong rows.

Rows that come or go with a partition are in no row event; `partition_changes` finds them by comparing
the partitions with what they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.ports import PartitionTree
from replication_assets.sources.mysql.connection import Session, literal
from replication_assets.sources.mysql.reflection import CatalogColumn
from replication_assets.sources.mysql.types import NativeType


@dataclass(frozen=True, slots=True)
class Difference:
    """The new shape of a table, and what is to be told of it (`core.controls.SchemaChanged`)."""

    schema: TableSchema
    reload: bool
    reason: str
    added: tuple[str, ...]
    dropped: tuple[str, ...]


def filled_columns(catalog: Sequence[CatalogColumn]) -> frozenset[str]:
    """Columns that rows older than the column hold a value in: with a default, or NOT NULL, which gives
    old rows zero or the empty text."""
    return frozenset(column.name for column in catalog if column.has_default or not column.nullable)


def compare(known: TableSchema, now: Sequence[Column], filled: Set[str]) -> Difference | None:
    """What turned the columns of `known` into `now`; None if nothing did.

    The order of columns, and whether they may be null, make no difference. A dropped column alone needs
    no reload (it is null from here on), nor does an added one that is null in all rows, nor a type that
    only became wider.
    """
    before = {column.name: column for column in known.columns}
    after = {column.name: column for column in now}
    added = tuple(name for name in after if name not in before)
    dropped = tuple(name for name in before if name not in after)
    widened, retyped = _retyped(before, after)
    reasons = [*_renamed(added, dropped), *retyped, *_filled(known, added, filled)]
    reasons += [f"key column {name} was dropped" for name in dropped if name in known.key]
    if not (added or dropped or widened or reasons):
        return None
    key = known.key if set(known.key) <= after.keys() else ()
    schema = replace(known, columns=tuple(now), key=key)
    told = [*_summary(added, dropped), *widened]
    return Difference(schema, bool(reasons), "; ".join(reasons or told), added, dropped)


def _summary(added: Sequence[str], dropped: Sequence[str]) -> list[str]:
    parts = [f"column {name} was added, null in all rows" for name in added]
    return parts + [f"column {name} was dropped" for name in dropped]


def _renamed(added: Sequence[str], dropped: Sequence[str]) -> list[str]:
    if not (added and dropped):
        return []
    return [f"columns {', '.join(dropped)} were dropped or renamed, to {', '.join(added)} if so"]


def _retyped(before: Mapping[str, Column], after: Mapping[str, Column]) -> tuple[list[str], list[str]]:
    """What became wider, and what became something else."""
    widened, retyped = [], []
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        if old.source_type == new.source_type and old.arrow == new.arrow:
            continue
        change = f"column {name} changed from {old.source_type} to {new.source_type}"
        if old.arrow == new.arrow and _holds_all(old.source_type, new.source_type):
            widened.append(f"{change}, which changes no value")
        else:
            stored = "" if old.arrow == new.arrow else f" (stored as {new.arrow} instead of {old.arrow})"
            retyped.append(change + stored)
    return widened, retyped


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


def _filled(known: TableSchema, added: Sequence[str], filled: Set[str]) -> list[str]:
    reasons = []
    for name in added:
        if name in filled:
            reasons.append(f"column {name} was added with a value for the rows that were there")
        elif name in known.not_replicated:
            reasons.append(f"column {name} existed before and is replicated from here on")
    return reasons


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
