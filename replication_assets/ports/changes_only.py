"""For sources that hold changes and no rows: topics, landed files.

A load of a range reads nothing, and says that the range was empty where the capture began. The fold of
all changes after that is the table. Columns are declared, or come late and are in the log alone.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import pyarrow as pa

from replication_assets.core.envelopes.types import ANY
from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.range_plans import RangePlan
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.structure import ColumnStructure, TableStructure
from replication_assets.errors import SlotLost, SourceError, SourceNotReady
from replication_assets.ports.offsets import OffsetJournal
from replication_assets.ports.source import (
    KeyBounds,
    LoadSlice,
    LoadStream,
    PartitionTree,
    RangeDigests,
    SchemaDifference,
)


class ChangesOnly(ABC):
    """The part of a `ChangeSource` that is the same whatever the changes are read from. `CALLED` names that
    in errors, in the plural."""

    __slots__ = ()

    CALLED: ClassVar[str]
    name: str
    journal: OffsetJournal

    @abstractmethod
    def reflect(self, table: TableId, *, key: Sequence[str] = (), append_only: bool = False) -> TableSchema:
        """As in `ChangeSource`."""
        ...

    @abstractmethod
    def _declared(self, table: TableId) -> tuple[Column, ...]: ...

    def is_captured(self, table: TableId) -> bool:  # noqa: ARG002
        return True

    def structure(self, table: TableId) -> TableStructure:
        """Of the declared columns. They have PostgreSQL's names."""
        columns = tuple(ColumnStructure(each.name, each.source_type) for each in self._declared(table))
        return TableStructure(table, "postgresql", columns)

    def difference(self, table: TableId, known: TableSchema, current: TableSchema) -> SchemaDifference | None:
        """Columns that came late are in the log and not declared: that is no difference.

        Raises:
            SourceNotReady: a column is declared with another type than its log has.
        """
        _require_same_types(table, known, current)
        added = tuple(name for name in current.names if name not in known.names)
        return SchemaDifference(False, f"declared {', '.join(added)}", added) if added else None

    def declared_since(
        self, tables: Sequence[tuple[TableId, TableSchema]], tell: Callable[[TableId, TableSchema], None]
    ) -> None:
        """Tells the schema of every table that has columns which its log does not.

        Raises:
            SourceNotReady: a column is declared with another type than its log has.
        """
        for table, known in tables:
            current = self.reflect(table, key=known.key, append_only=known.append_only)
            _require_same_types(table, known, current)
            added = tuple(column for column in current.columns if column.name not in known.names)
            if added:
                tell(table, replace(known, columns=(*known.columns, *added)))

    def partition_tree(
        self,
        table: TableId,  # noqa: ARG002
        known: tuple[tuple[int, str], ...] | None,  # noqa: ARG002
    ) -> PartitionTree | None:
        return None

    def bounds(self, table: TableId, column: str) -> KeyBounds:  # noqa: ARG002
        return KeyBounds(None, None, 0)

    def quantiles(self, table: TableId, column: str, parts: int) -> tuple[Key, ...]:
        raise SourceNotReady(
            f"{self.CALLED} do not tell how the values of {column!r} lie, to cut {parts} ranges",
            where=str(table),
            fix="declare id ranges ByBounds, or ByWidth",
        )

    def confirm_setup(self) -> None:  # noqa: B027
        """Nothing: `setup` adds no tables."""

    def range_plan(self, table: TableId, schema: TableSchema, column: str, id_range: IdRange) -> RangePlan:
        """A load reads no row."""
        del table, schema, column, id_range
        return RangePlan((), None, f"{self.CALLED} hold changes, which the capture reads", ())

    def load(self, load_slice: LoadSlice) -> AbstractContextManager[LoadStream]:
        return _open_load(self, load_slice)

    def digests(
        self,
        table: TableId,
        schema: TableSchema,  # noqa: ARG002
        range_column: str | None,  # noqa: ARG002
        id_ranges: Sequence[IdRange],  # noqa: ARG002
    ) -> RangeDigests:
        raise SourceError(
            f"{self.CALLED} have no rows to hold the event store against",
            where=str(table),
            fix="validate the projections, which are held against the event store",
        )


def _require_same_types(table: TableId, known: TableSchema, current: TableSchema) -> None:
    for column in current.columns:
        before = known.column(column.name) if column.name in known.names else column
        if before.arrow != column.arrow or (before.source_type == ANY) != (column.source_type == ANY):
            raise SourceNotReady(
                f"column {column.name!r} is declared as {column.source_type}, and its log has"
                f" {'JSON text' if before.source_type == ANY else before.source_type}",
                where=str(table),
                fix="declare it as it was, or read the changes under another source name",
            )


@dataclass(frozen=True, slots=True)
class _EmptyLoad:
    """A `LoadStream`: before its first change a table has no rows."""

    commit: int
    taken_at: dt.datetime
    columns: tuple[Column, ...]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(())


@contextmanager
def _open_load(source: ChangesOnly, load_slice: LoadSlice) -> Iterator[LoadStream]:
    end = source.journal.last()
    if end is None:
        raise SlotLost(
            f"the {source.CALLED} are not captured",
            where=source.name,
            fix=f"run `recover` for {source.name}, which reads every change from the beginning",
        )
    yield _EmptyLoad(end.start, dt.datetime.now(dt.UTC), load_slice.schema.columns)
