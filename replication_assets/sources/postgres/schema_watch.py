"""What changed between two shapes of a table, and whether its loaded rows still tell the truth.

The change stream carries no DDL. A Relation message shows a table's columns as they are when
the next row is written; the catalog, which may be ahead of the stream, adds column numbers and
whether a new column came with values for the rows that were there. From both, `compare` says
what happened. Where it cannot be sure, it asks for a reload: a needless load costs time, a
missing one leaves wrong rows.

Rows that come or go with a partition are in no message at all; `partition_changes` finds them
by comparing the partition tree with what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from replication_assets.core.column_changes import Difference
from replication_assets.core.schema import Column, TableSchema
from replication_assets.sources.postgres.pgoutput import Relation
from replication_assets.sources.postgres.types import Attribute, resolve_columns


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """A column in the catalog now. `filled`: rows older than it may hold a value in it.
    `changed_by` is the transaction that wrote the entry."""

    ordinal: int
    nullable: bool
    filled: bool
    changed_by: int


def compare(known: TableSchema, now: Sequence[Column], filled: Set[str]) -> Difference | None:
    """What turned the columns of `known` into `now`; None if nothing did.

    `filled` names columns of `now` that rows older than the column may hold values in. The
    order of columns, and whether they may be null, make no difference. A dropped column alone
    needs no reload (it is null from here on), nor does an added one that is null in all rows.
    """
    before = {column.name: column for column in known.columns}
    after = {column.name: column for column in now}
    added = tuple(name for name in after if name not in before)
    dropped = tuple(name for name in before if name not in after)
    reasons = [
        *_renamed(before, after, added, dropped),
        *_retyped(before, after),
        *_replaced(before, after),
        *_filled(known, after, added, filled),
        *(f"key column {name} was dropped" for name in dropped if name in known.key),
    ]
    if not (added or dropped or reasons):
        return None
    key = known.key if set(known.key) <= after.keys() else ()
    schema = replace(known, columns=tuple(now), key=key)
    return Difference(schema, bool(reasons), "; ".join(reasons) or _summary(added, dropped), added, dropped)


def _summary(added: Sequence[str], dropped: Sequence[str]) -> str:
    parts = [f"column {name} was added, null in all rows" for name in added]
    return "; ".join([*parts, *(f"column {name} was dropped" for name in dropped)])


def _renamed(
    before: Mapping[str, Column], after: Mapping[str, Column], added: Sequence[str], dropped: Sequence[str]
) -> list[str]:
    gone = {before[name].ordinal: name for name in dropped if before[name].ordinal is not None}
    return [
        f"column {gone[after[name].ordinal]} was renamed to {name}"
        for name in added
        if after[name].ordinal in gone
    ]


def _retyped(before: Mapping[str, Column], after: Mapping[str, Column]) -> list[str]:
    reasons = []
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if old.source_type != new.source_type or old.arrow != new.arrow:
            stored = "" if old.arrow == new.arrow else f" (stored as {new.arrow} instead of {old.arrow})"
            reasons.append(f"column {name} changed from {old.source_type} to {new.source_type}{stored}")
    return sorted(reasons)


def _replaced(before: Mapping[str, Column], after: Mapping[str, Column]) -> list[str]:
    return [
        f"column {name} was dropped and added again"
        for name in sorted(before.keys() & after.keys())
        if None not in (old := before[name].ordinal, new := after[name].ordinal) and old != new
    ]


def _filled(
    known: TableSchema, after: Mapping[str, Column], added: Sequence[str], filled: Set[str]
) -> list[str]:
    """Added columns whose value in older rows is not known to be null.

    A column numbered below one that was there before is not new: it was generated until now,
    or not published.
    """
    newest = max((column.ordinal or 0 for column in known.columns), default=0)
    reasons = []
    for name in added:
        ordinal = after[name].ordinal
        if name in filled:
            reasons.append(f"column {name} was added with a default for the rows that were there")
        elif ordinal is None:
            reasons.append(f"column {name} was added, and changed again since")
        elif ordinal <= newest or name in known.not_replicated:
            reasons.append(f"column {name} existed before and is replicated from here on")
    return reasons


# --- catalog -----------------------------------------------------------------------------


def catalog_columns(session: psycopg.Connection[Any], oid: int) -> dict[str, CatalogColumn]:
    """Columns of a table as they are now; of a partitioned one, `filled` if in any partition.

    `atthasmissing` is true for a constant default given to existing rows; any other default
    rewrote them, and an identity column or a domain's default filled them too.
    """
    rows = session.execute(
        "SELECT a.attname, min(a.attnum) FILTER (WHERE a.attrelid = %(oid)s),"
        " coalesce(bool_or(NOT a.attnotnull) FILTER (WHERE a.attrelid = %(oid)s), true),"
        " bool_or(a.atthasmissing OR a.atthasdef OR a.attidentity <> '' OR"
        "   coalesce(t.typtype = 'd' AND (t.typdefault IS NOT NULL OR t.typbasetype = ANY("
        "     SELECT oid FROM pg_catalog.pg_type WHERE typtype = 'd')), true)),"
        " min(a.xmin::text::bigint) FILTER (WHERE a.attrelid = %(oid)s)"
        " FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
        " WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = ANY("
        "   SELECT relid FROM pg_catalog.pg_partition_tree(%(oid)s) UNION SELECT %(oid)s::regclass)"
        " GROUP BY a.attname",
        {"oid": oid},
    ).fetchall()
    return {
        name: CatalogColumn(ordinal, nullable, filled, changed_by)
        for name, ordinal, nullable, filled, changed_by in rows
        if ordinal is not None
    }


def relation_columns(
    session: psycopg.Connection[Any],
    relation: Relation,
    known: TableSchema,
    catalog: Mapping[str, CatalogColumn],
    xid: int,
) -> tuple[tuple[Column, ...], bool]:
    """Columns of a Relation message whose next row transaction `xid` wrote, in the order of
    the table they belong to (a partition may have another); and whether all are settled.

    Numbers are the catalog's, which may be ahead of the stream: a column that was dropped and
    added again looks the same in both Relation messages. It keeps the number that is known,
    and is not settled, before a row of the transaction that changed it or of a later one.
    """
    before = {column.name: column for column in known.columns}
    attributes, settled = [], True
    for column in relation.columns:
        old, now = before.get(column.name), catalog.get(column.name)
        ordinal = now.ordinal if now else old.ordinal if old else None
        if now and old and old.ordinal not in (None, now.ordinal) and _precedes(xid, now.changed_by):
            ordinal, settled = old.ordinal, False
        nullable = now.nullable if now else True
        attributes.append(Attribute(column.name, column.type_oid, column.typmod, ordinal, nullable))
    columns = resolve_columns(session, attributes)
    last = 1 + max((column.ordinal or 0 for column in columns), default=0)
    return tuple(sorted(columns, key=lambda column: column.ordinal or last)), settled


def _precedes(xid: int, other: int) -> bool:
    """Transaction ids are 32 bits and wrap around."""
    return (xid - other) & 0x80000000 != 0


# --- partitions --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PartitionChanges:
    """`leaves` (oid to name) as they are now. `attached` may have brought rows, `detached`
    took theirs; a leaf that was created as a partition began empty and is in neither."""

    leaves: Mapping[int, str]
    attached: tuple[str, ...]
    detached: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why rows changed unseen; empty if they did not."""
        parts = [f"partition {name} was attached" for name in self.attached]
        return "; ".join([*parts, *(f"partition {name} was detached or dropped" for name in self.detached)])


def partition_changes(
    session: psycopg.Connection[Any], table: int, known_leaves: Mapping[int, str]
) -> PartitionChanges:
    """Leaf partitions of the table with oid `table` that came or went since `known_leaves`."""
    nodes = {row[0]: _Node(*row[1:]) for row in session.execute(_TREE, {"oid": table}).fetchall()}
    leaves = {oid: node.name for oid, node in nodes.items() if node.is_leaf}
    old = set(known_leaves) & leaves.keys()
    for oid in tuple(old):
        old.update(_path(nodes, oid))
    attached = tuple(
        name
        for oid, name in leaves.items()
        if any(not nodes[step].is_born for step in _path(nodes, oid) if step not in old)
    )
    detached = tuple(name for oid, name in known_leaves.items() if oid not in leaves)
    return PartitionChanges(leaves, attached, detached)


@dataclass(frozen=True, slots=True)
class _Node:
    """A partition; `is_born`: it was created as one."""

    parent: int | None
    name: str
    is_leaf: bool
    is_born: bool


def _path(nodes: Mapping[int, _Node], oid: int | None) -> list[int]:
    """A partition and those above it, without the table itself."""
    path = []
    while oid is not None and oid in nodes:
        path.append(oid)
        oid = nodes[oid].parent
    return path


_BORN_WITHIN = 3
"""CREATE TABLE ... PARTITION OF enters the tree 2 or 3 commands after its row type exists; a
CREATE TABLE and an ATTACH in one transaction, between which rows fit, are at least 6 apart
(measured on 15 and 18)."""

_TREE = f"""
SELECT tree.relid::oid::bigint, tree.parentrelid::oid::bigint, format('%%I.%%I', n.nspname, c.relname),
    tree.isleaf AND c.relkind = 'r',
    coalesce(t.xmin = i.xmin
        AND i.cmin::text::bigint - t.cmin::text::bigint BETWEEN 0 AND {_BORN_WITHIN}, false)
FROM pg_catalog.pg_partition_tree(%(oid)s) AS tree
JOIN pg_catalog.pg_class c ON c.oid = tree.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_type t ON t.oid = c.reltype
LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = tree.relid
WHERE tree.relid <> %(oid)s ORDER BY 3
"""
