"""Which declared table a relation of the stream belongs to, and the table's columns by now.

A relation is a declared table, a leaf partition of one (the publication sends rows under the
leaf's name), or was published before: its rows are counted and left alone. Partitions are looked up once
and again whenever a relation is not known; one that was detached meanwhile stays mapped,
because the stream lags behind the catalog.

Relation messages are resolved when the first row after them is, so that a change of columns
is told at that row's position and never at one that is already stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import psycopg

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import DecodeError, SourceNotReady
from replication_assets.sources.postgres.connection import source_errors
from replication_assets.sources.postgres.pgoutput import Relation
from replication_assets.sources.postgres.reflection import find_relation
from replication_assets.sources.postgres.schema_watch import (
    PartitionChanges,
    catalog_columns,
    compare,
    partition_changes,
    relation_columns,
)

Session = Callable[[], psycopg.Connection[Any]]
SchemaChange = tuple[TableId, TableSchema, SchemaChanged]


@dataclass(slots=True)
class _Watched:
    """A declared table: its oid (None while no table has its name), columns and partitions."""

    id: TableId
    schema: TableSchema
    oid: int | None = None
    is_partitioned: bool = False
    leaves: dict[int, str] | None = None


class Relations:
    """Relations of one session of the change stream, resolved to tables."""

    def __init__(
        self,
        session: Session,
        tables: Sequence[tuple[TableId, TableSchema]],
        publications: Sequence[str],
        where: str,
    ) -> None:
        self._session = session
        self._where = where
        self._publications = list(publications)
        self._watched = {table: _Watched(table, schema) for table, schema in tables}
        self._by_name = {(table.schema, table.name): table for table, _ in tables}
        self._by_leaf: dict[int, TableId] = {}
        self._current: dict[int, Relation] = {}
        self._resolved: dict[int, tuple[Relation, TableId | None]] = {}
        self._described: dict[int, Relation] = {}
        with source_errors(where):
            for watched in self._watched.values():
                found = find_relation(session(), watched.id)
                if found is not None:
                    watched.oid, watched.is_partitioned = found.oid, found.kind == "p"
        self._look_up_leaves()

    def schema(self, table: TableId) -> TableSchema:
        return self._watched[table].schema

    def current(self, oid: int) -> Relation:
        """Raises DecodeError if the stream never described the relation."""
        try:
            return self._current[oid]
        except KeyError:
            raise DecodeError(f"relation {oid} was never described", where=self._where) from None

    def learn(self, relation: Relation) -> None:
        """Take note of a Relation message; rows after it are of this shape."""
        self._current[relation.oid] = relation

    def resolve(
        self, relation: Relation, at: Position, xid: int
    ) -> tuple[TableId | None, list[SchemaChange]]:
        """The declared table of a relation whose next row is at `at`, written by transaction
        `xid`; None if it has none. And what changed with it."""
        resolved = self._resolved.get(relation.oid)
        if resolved is not None and resolved[0] is relation:
            return resolved[1], []
        with source_errors(self._where):
            table = self._owner(relation)
            if table is None:
                changes, settled = self._lost(relation, at), True
            else:
                changes, settled = self._changed(table, relation, at, xid)
        if settled:
            self._resolved[relation.oid] = (relation, table)
        return table, changes

    def holds_all_rows(self, table: TableId, leaves: Set[int]) -> bool:
        """Whether these partitions are all that the table has: emptying them empties it."""
        with source_errors(self._where):
            changes = self._map_leaves(self._watched[table])
        return changes is not None and changes.leaves.keys() <= leaves

    def partitions(self) -> list[tuple[TableId, PartitionChanges]]:
        """Partitions that came or went since the last look."""
        return self._look_up_leaves()

    # --- which table ---------------------------------------------------------------------

    def _owner(self, relation: Relation) -> TableId | None:
        named = self._by_name.get((relation.schema, relation.name))
        if named is not None:
            return named
        if relation.oid not in self._by_leaf:
            for watched in self._watched.values():
                self._map_leaves(watched)
        return self._by_leaf.get(relation.oid)

    def _map_leaves(self, watched: _Watched) -> PartitionChanges | None:
        """Map all leaves that the catalog has now. What changed is for `partitions` to tell."""
        if not watched.is_partitioned or watched.oid is None:
            return None
        changes = partition_changes(self._session(), watched.oid, watched.leaves or {})
        for oid in changes.leaves:
            self._by_leaf.setdefault(oid, watched.id)
        return changes

    def _look_up_leaves(self) -> list[tuple[TableId, PartitionChanges]]:
        found = []
        with source_errors(self._where):
            for watched in self._watched.values():
                changes = self._map_leaves(watched)
                if changes is None:
                    continue
                if watched.leaves is not None and changes.reason:
                    found.append((watched.id, changes))
                watched.leaves = dict(changes.leaves)
        return found

    def _lost(self, relation: Relation, at: Position) -> list[SchemaChange]:
        """Rows that cannot be placed: of a declared table under another name, of one that was
        declared after this session began, or of what may have been a partition."""
        shown = f"{relation.schema}.{relation.name}"
        for watched in self._watched.values():
            if watched.oid == relation.oid:
                return [
                    _reload(watched, at, f"the table was renamed to {shown}; its changes are not captured")
                ]
        if self._is_published(relation.oid):
            raise SourceNotReady(
                f"{shown} is published and this capture was not told of it: its rows would be lost",
                where=self._where,
                fix="run the source's setup, and start the capture anew with the catalog as it is now",
            )
        partitioned = [watched for watched in self._watched.values() if watched.is_partitioned]
        return [_reload(w, at, f"{shown}, published no more, may have been a partition") for w in partitioned]

    def _is_published(self, oid: int) -> bool:
        """Whether the relation is in our publications by its own name."""
        row = self._session().execute(
            "SELECT FROM pg_catalog.pg_publication_rel r"
            " JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid"
            " WHERE r.prrelid = %s AND p.pubname = ANY(%s)",
            (oid, self._publications),
        )
        return row.fetchone() is not None

    # --- which columns -------------------------------------------------------------------

    def _changed(
        self, table: TableId, relation: Relation, at: Position, xid: int
    ) -> tuple[list[SchemaChange], bool]:
        watched = self._watched[table]
        changes = []
        if relation.is_called(table) and watched.oid != relation.oid:
            changes.append(_reload(watched, at, "the table was replaced by another of the same name"))
            watched.oid = relation.oid
        catalog = catalog_columns(self._session(), watched.oid or relation.oid)
        columns, settled = relation_columns(self._session(), relation, watched.schema, catalog, xid)
        filled = {name for name, column in catalog.items() if column.filled}
        difference = compare(watched.schema, columns, filled)
        moved_key = _identity_change(self._described.get(relation.oid), relation)
        self._described[relation.oid] = relation
        if difference is not None:
            watched.schema = difference.schema
            reason = "; ".join(part for part in (moved_key, difference.reason) if part)
            event = SchemaChanged(
                at, difference.reload or bool(moved_key), reason, difference.added, difference.dropped
            )
            changes.append((table, watched.schema, event))
        elif moved_key:
            changes.append(_reload(watched, at, moved_key))
        return changes, settled


def _identity_change(before: Relation | None, now: Relation) -> str:
    """Why rows may have another identity than before; empty if they have not.

    Compared within a session only, and between equal kinds of identity: FULL lists all columns.
    """
    if before is None or before.replica_identity != now.replica_identity or now.replica_identity not in "di":
        return ""
    key, old_key = _identity(now), _identity(before)
    return "" if key == old_key else f"the key changed to {', '.join(sorted(key)) or 'nothing'}"


def _identity(relation: Relation) -> set[str]:
    return {column.name for column in relation.columns if column.in_identity}


def _reload(watched: _Watched, at: Position, reason: str) -> SchemaChange:
    return watched.id, watched.schema, SchemaChanged(at, True, reason)
