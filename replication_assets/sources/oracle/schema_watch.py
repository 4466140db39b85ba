"""What changed between two shapes of a table, and whether its loaded rows still tell the truth.

Oracle numbers columns by their place, which moves: a column that was renamed looks like one that was
dropped and another that was added. Where it cannot be sure, `compare` asks for a reload: a needless load
costs time, a missing one leaves wrong rows.

Rows that come or go with a partition are in no row of the redo log; `partition_changes` finds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.ports import PartitionTree
from replication_assets.sources.oracle.reflection import CatalogColumn, names_of
from replication_assets.sources.oracle.sessions import Session
from replication_assets.sources.oracle.statements import catalog
from replication_assets.sources.oracle.types import NativeType


@dataclass(frozen=True, slots=True)
class Difference:
    """The new shape of a table, and what is to be told of it (`core.controls.SchemaChanged`)."""

    schema: TableSchema
    reload: bool
    reason: str
    added: tuple[str, ...]
    dropped: tuple[str, ...]


def filled_columns(found: Sequence[CatalogColumn]) -> frozenset[str]:
    """Columns that rows older than the column hold a value in: with a default, or NOT NULL."""
    return frozenset(column.name for column in found if column.has_default or not column.nullable)


def compare(known: TableSchema, now: Sequence[Column], filled: Set[str]) -> Difference | None:
    """What turned the columns of `known` into `now`; None if nothing did. The order of columns, and whether
    they may be null, make no difference."""
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
    left_out = tuple(name for name in known.not_replicated if name not in after)
    schema = replace(known, columns=tuple(now), key=key, not_replicated=left_out)
    told = [f"column {name} was added, null in all rows" for name in added]
    told += [f"column {name} was dropped" for name in dropped]
    return Difference(schema, bool(reasons), "; ".join(reasons or [*told, *widened]), added, dropped)


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


def _holds_all(old: str, new: str) -> bool:
    """Whether every value of the old type is a value of the new one, with the same text. CHAR is padded
    anew, digits of a fraction change how moments are printed."""
    before, after = NativeType.parse(old), NativeType.parse(new)
    if before.base != after.base or before.base not in ("VARCHAR2", "NVARCHAR2", "RAW", "NUMBER"):
        return False
    wider = (after.precision or 0) >= (before.precision or 0)
    return wider and before.scale == after.scale


def _filled(known: TableSchema, added: Sequence[str], filled: Set[str]) -> list[str]:
    reasons = []
    for name in added:
        if name in filled:
            reasons.append(f"column {name} was added with a value for the rows that were there")
        elif name in known.not_replicated:
            reasons.append(f"column {name} existed before and is replicated from here on")
    return reasons


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
