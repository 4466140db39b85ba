"""A target that holds a shape of a table: filters, renames, left-out and computed columns.

Stands before any other target and keeps its promises. The inner target's checkpoints carry the shape,
so that rows which were written under another shape are replaced, not followed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.changes import RangeChanges
from replication_assets.core.events import BEFORE, UNCHANGED
from replication_assets.core.fold import row_schema
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.schema import TableSchema
from replication_assets.core.shape_specs import Shape
from replication_assets.core.shapes import Shaping
from replication_assets.ports.target import (
    ProjectionTarget,
    RangeCheckpoint,
    Refuse,
    TargetNeeds,
    TargetView,
    refuse_loudly,
)


class ShapedTarget:
    """`inner` has the rows that pass, with the columns of the shape."""

    def __init__(self, inner: ProjectionTarget, shape: Shape) -> None:
        self._inner, self._shape = inner, shape
        parts = (shape.where, shape.exclude, sorted(shape.rename.items()), shape.computed)
        text = repr((*parts, sorted(shape.types.items())) if shape.types else parts)
        # 62 bits: a baseline that is marked so stays an int64.
        self._mark = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2

    def __repr__(self) -> str:
        return f"ShapedTarget({self._inner!r})"

    @property
    def needs(self) -> TargetNeeds:
        """Whole rows: what did not change decides too whether a row passes."""
        return TargetNeeds(whole_rows=True, former_rows=self._inner.needs.former_rows)

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        return self._unmarked(self._inner.checkpoint(id_range))

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
        shaping = Shaping(self._shape, schema)
        passing = (_passing(shaping, batch, refuse) for batch in rows)
        mark = baseline ^ self._mark
        told = _by_source_names(shaping, refuse)
        done = self._inner.replace(id_range, shaping.schema, passing, mark, position, refuse=told)
        return replace(done, baseline=baseline)

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
        shaping = Shaping(self._shape, schema)
        mark = baseline ^ self._mark
        shaped = _shaped_changes(shaping, changes, refuse)
        told = _by_source_names(shaping, refuse)
        done = self._inner.apply(id_range, shaping.schema, shaped, mark, position, refuse=told)
        return replace(done, baseline=baseline)

    def figures(self) -> Mapping[str, float]:
        return self._inner.figures()

    def identity(self, schema: TableSchema) -> tuple[str, ...]:
        return self._inner.identity(Shaping(self._shape, schema).schema)

    def image(self, schema: TableSchema, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        shaping = Shaping(self._shape, schema)
        return self._inner.image(shaping.schema, (_passing(shaping, batch, _tell_nobody) for batch in rows))

    def identities(self, schema: TableSchema, rows: pa.RecordBatch) -> pa.RecordBatch:
        shaping = Shaping(self._shape, schema)
        return self._inner.identities(shaping.schema, shaping.shaped(rows))

    def view(self, schema: TableSchema) -> TargetView:
        return _ShapedView(self._inner.view(Shaping(self._shape, schema).schema), self._mark)

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
        shaping = Shaping(self._shape, schema)
        inner = row_schema(shaping.schema)
        batches = rows.combine_chunks().to_batches()
        kept = pa.Table.from_batches([_passing(shaping, batch, refuse) for batch in batches], inner)
        # Rows that do not pass must not be there; one without an identity never was.
        outside = [batch.filter(pc.invert(_held(shaping, batch))) for batch in batches]
        known = [self.identities(schema, batch) for batch in outside]
        if known:
            others = pa.Table.from_batches(known).drop_null()
            gone = pa.concat_tables([gone, others.cast(gone.schema)]) if gone.num_rows else others
        marked = replace(checkpoint, baseline=checkpoint.baseline ^ self._mark)
        told = _by_source_names(shaping, refuse)
        self._inner.repair(id_range, shaping.schema, kept, gone, marked, refuse=told)

    def reset(self, schema: TableSchema) -> None:
        self._inner.reset(Shaping(self._shape, schema).schema)

    def tidy(self, older_than: dt.timedelta) -> Iterator[str]:
        return self._inner.tidy(older_than)

    def read(self) -> Iterable[pa.RecordBatch]:
        return self._inner.read()

    def _unmarked(self, found: RangeCheckpoint | None) -> RangeCheckpoint | None:
        return None if found is None else replace(found, baseline=found.baseline ^ self._mark)


class _ShapedView:
    """What the inner target holds, with checkpoints as the flows know them."""

    def __init__(self, inner: TargetView, mark: int) -> None:
        self._inner, self._mark = inner, mark
        self.read = inner.read

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        found = self._inner.checkpoint(id_range)
        return None if found is None else replace(found, baseline=found.baseline ^ self._mark)


def _by_source_names(shaping: Shaping, refuse: Refuse) -> Refuse:
    """Refusals of the inner target, whose keys are told by the columns of the source."""
    names = dict(zip(shaping.schema.key, shaping.source.key, strict=True))

    def told(refusals: Sequence[Refusal]) -> None:
        refuse([replace(each, key=_renamed_key(each.key, names)) for each in refusals])

    return refuse if shaping.schema.key == shaping.source.key else told


def _renamed_key(key: str, names: Mapping[str, str]) -> str:
    return orjson.dumps({names.get(name, name): text for name, text in orjson.loads(key).items()}).decode()


def _tell_nobody(_: Sequence[Refusal]) -> None:
    """Where rows are compared: what is refused was told when it was written."""


def _passing(shaping: Shaping, batch: pa.RecordBatch, refuse: Refuse) -> pa.RecordBatch:
    found = shaping.fitting(batch.filter(shaping.passes(batch)))
    if found.refused:
        refuse(found.refused)
    return found.rows


def _held(shaping: Shaping, batch: pa.RecordBatch) -> pa.BooleanArray:
    """Which rows pass and fit."""
    passes = np.array(shaping.passes(batch))
    passes[passes] = np.asarray(shaping.fitting(batch.filter(pa.array(passes))).fits)
    return pa.array(passes)


def _shaped_changes(shaping: Shaping, changes: RangeChanges, refuse: Refuse) -> RangeChanges:
    """Upserts that do not pass, or are refused, are deletes: the row may have passed before. A table
    without key says by its deletes which rows go, so there nothing that never was is deleted."""
    keyed = bool(shaping.source.key)
    upserts, out = _split(shaping, changes.upserts, refuse)
    deletes = _table(shaping, changes.deletes, filtered=not keyed)
    if keyed and out.num_rows:
        deletes = pa.concat_tables([deletes, out.select(deletes.schema.names).cast(deletes.schema)])
    former = None if changes.former is None else _table(shaping, changes.former, filtered=True)
    insert_only = changes.insert_only and not out.num_rows
    return RangeChanges(upserts, deletes, insert_only, former)


def _split(shaping: Shaping, rows: pa.Table, refuse: Refuse) -> tuple[pa.Table, pa.Table]:
    """Rows that pass and those that do not, both in the shape."""
    further = _further(rows)
    kept, out = [], []
    for batch in rows.combine_chunks().to_batches():
        passes = np.array(shaping.passes(batch))
        found = shaping.fitting(batch.filter(pa.array(passes)), further)
        if found.refused:
            refuse(found.refused)
        kept.append(found.rows)
        passes[passes] = np.asarray(found.fits)
        # Only the key and the position count of a delete.
        out.append(shaping.keys(batch.filter(pa.array(~passes)), further))
    schema = _schema(shaping, rows, further)
    return pa.Table.from_batches(kept, schema), pa.Table.from_batches(out, schema)


def _table(shaping: Shaping, rows: pa.Table, *, filtered: bool) -> pa.Table:
    further = _further(rows)
    found = []
    for batch in rows.combine_chunks().to_batches():
        if filtered:
            found.append(shaping.fitting(batch.filter(shaping.passes(batch)), further).rows)
        else:
            found.append(shaping.keys(batch, further))
    return pa.Table.from_batches(found, _schema(shaping, rows, further))


def _further(rows: pa.Table) -> list[str]:
    return [name for name in (UNCHANGED, BEFORE) if name in rows.schema.names]


def _schema(shaping: Shaping, rows: pa.Table, further: list[str]) -> pa.Schema:
    return pa.schema([*row_schema(shaping.schema), *(rows.schema.field(name) for name in further)])
