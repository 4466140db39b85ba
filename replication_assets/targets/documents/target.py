"""Documents for any target that holds rows: rows are converted on their way to it.

The target beneath is given rows whose documents are JSON text, under a schema that says so, and knows
nothing else. What cannot be read is refused before a checkpoint passes it, and NULL in its row.

The declaration is part of each checkpoint's baseline: rows that another declaration made, or none, are made
again. So a path that is added to a selection, or a declaration that is taken away, needs no rebuild by hand.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from replication_assets.core.changes import RangeChanges
from replication_assets.core.documents.columns import DocumentColumns, fingerprint
from replication_assets.core.documents.spec import Document
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.ports import (
    ProjectionTarget,
    RangeCheckpoint,
    Refuse,
    TargetNeeds,
    TargetView,
    refuse_loudly,
)


class DocumentTarget:
    """See `ports.ProjectionTarget`. `documents` are those of its one table."""

    def __init__(self, beneath: ProjectionTarget, documents: Sequence[Document], where: str) -> None:
        self._beneath = beneath
        self._documents = tuple(documents)
        self._mark = fingerprint(documents)
        self._where = where

    @property
    def needs(self) -> TargetNeeds:
        """Whole rows: a value that was refused and not sent again must be refused again, not kept."""
        return TargetNeeds(True, self._beneath.needs.former_rows)

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        return _marked(self._beneath.checkpoint(id_range), self._mark)

    def replace(
        self,
        id_range: str,
        schema: TableSchema,
        rows: Iterable[pa.RecordBatch],
        baseline: int,
        position: Position,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> RangeCheckpoint:
        columns = self._columns(schema)

        def converted() -> Iterator[pa.RecordBatch]:
            for batch in rows:
                done, refusals = columns.convert(batch)
                refuse(refusals)
                yield done

        found = self._beneath.replace(
            id_range, columns.schema, converted(), baseline ^ self._mark, position, refuse=refuse
        )
        return replace(found, baseline=baseline)

    def apply(
        self,
        id_range: str,
        schema: TableSchema,
        changes: RangeChanges,
        baseline: int,
        position: Position,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> RangeCheckpoint:
        columns = self._columns(schema)
        upserts, refusals = columns.converted(changes.upserts)
        refuse(refusals)
        deletes, _ = columns.converted(changes.deletes)
        former = columns.converted(changes.former)[0] if changes.former is not None else None
        given = RangeChanges(upserts, deletes, changes.insert_only, former)
        found = self._beneath.apply(
            id_range, columns.schema, given, baseline ^ self._mark, position, refuse=refuse
        )
        return replace(found, baseline=baseline)

    def figures(self) -> Mapping[str, float]:
        return self._beneath.figures()

    def identity(self, schema: TableSchema) -> tuple[str, ...]:
        return self._beneath.identity(self._columns(schema).schema)

    def image(self, schema: TableSchema, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        columns = self._columns(schema)
        return self._beneath.image(columns.schema, (columns.convert(batch)[0] for batch in rows))

    def identities(self, schema: TableSchema, rows: pa.RecordBatch) -> pa.RecordBatch:
        columns = self._columns(schema)
        return self._beneath.identities(columns.schema, columns.convert(rows)[0])

    def view(self, schema: TableSchema) -> TargetView:
        return _View(self._beneath.view(self._columns(schema).schema), self._mark)

    def repair(
        self,
        id_range: str,
        schema: TableSchema,
        rows: pa.Table,
        gone: pa.Table,
        checkpoint: RangeCheckpoint,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> None:
        columns = self._columns(schema)
        converted, refusals = columns.converted(rows)
        refuse(refusals)
        own = replace(checkpoint, baseline=checkpoint.baseline ^ self._mark)
        self._beneath.repair(id_range, columns.schema, converted, gone, own, refuse=refuse)

    def reset(self, schema: TableSchema) -> None:
        self._beneath.reset(self._columns(schema).schema)

    def tidy(self, older_than: dt.timedelta) -> Iterator[str]:
        return self._beneath.tidy(older_than)

    def read(self) -> Iterable[pa.RecordBatch]:
        return self._beneath.read()

    def _columns(self, schema: TableSchema) -> DocumentColumns:
        return DocumentColumns.of(self._documents, schema, self._where)


@dataclass(frozen=True, slots=True)
class _View:
    """See `ports.TargetView`."""

    beneath: TargetView
    mark: int

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        return _marked(self.beneath.checkpoint(id_range), self.mark)

    def read(self, id_ranges: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        return self.beneath.read(id_ranges)


def _marked(found: RangeCheckpoint | None, mark: int) -> RangeCheckpoint | None:
    return None if found is None else replace(found, baseline=found.baseline ^ mark)
