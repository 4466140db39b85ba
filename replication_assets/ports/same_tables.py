"""For another way to capture a database that is known already: tables and rows are the same, only where
changes come from, and where a load meets them, is not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.range_plans import RangePlan
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.structure import TableStructure
from replication_assets.ports.source import (
    ChangeSource,
    KeyBounds,
    PartitionTree,
    SchemaDifference,
    Writer,
)


class SameTables(ABC):
    """The part of a `ChangeSource` that `_tables` answers."""

    __slots__ = ()

    @property
    @abstractmethod
    def _tables(self) -> ChangeSource:
        """The database, captured the usual way. Nothing of its change stream is asked for."""
        ...

    def reflect(self, table: TableId, *, key: Sequence[str] = (), append_only: bool = False) -> TableSchema:
        return self._tables.reflect(table, key=key, append_only=append_only)

    def is_captured(self, table: TableId) -> bool:
        return self._tables.is_captured(table)

    def structure(self, table: TableId) -> TableStructure:
        return self._tables.structure(table)

    def difference(self, table: TableId, known: TableSchema, current: TableSchema) -> SchemaDifference | None:
        return self._tables.difference(table, known, current)

    def partition_tree(
        self, table: TableId, known: tuple[tuple[int, str], ...] | None
    ) -> PartitionTree | None:
        return self._tables.partition_tree(table, known)

    def bounds(self, table: TableId, column: str) -> KeyBounds:
        return self._tables.bounds(table, column)

    def quantiles(self, table: TableId, column: str, parts: int) -> tuple[Key, ...]:
        return self._tables.quantiles(table, column, parts)

    def range_plan(self, table: TableId, schema: TableSchema, column: str, id_range: IdRange) -> RangePlan:
        return self._tables.range_plan(table, schema, column, id_range)

    def writers(self, tables: Sequence[TableId]) -> tuple[Writer, ...]:
        return self._tables.writers(tables)

    def stop_writes(self, tables: Sequence[TableId]) -> tuple[str, ...]:
        return self._tables.stop_writes(tables)
