"""Events as a shape has them: columns left out, renamed and computed, rows that its filters take.

A row that an update moves out of the filters, or that is changed outside of them, is told as deleted: an
event does not say whether its row was told before, and a delete of an unknown key does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.envelopes.produced import MOVED
from replication_assets.core.envelopes.producing import TableEvent
from replication_assets.core.events import BEFORE, OP, OVERFLOW, stored_schema
from replication_assets.core.expressions.parser import parse_expression
from replication_assets.core.fold import row_schema
from replication_assets.core.schema import TableSchema
from replication_assets.core.shape_specs import Shape
from replication_assets.core.shapes import Shaping
from replication_assets.errors import TargetError


def told_schema(schema: TableSchema) -> pa.Schema:
    """Columns of the events that messages are made of."""
    return pa.schema([*stored_schema(schema), pa.field(MOVED, pa.bool_())])


_NO_COLUMNS = TableSchema(())
_FURTHER = tuple(name for name in told_schema(_NO_COLUMNS).names if name not in row_schema(_NO_COLUMNS).names)
"""Columns of an event that a folded row has not."""


class ShapedEvents:
    """A shape compiled for the events of one table. `schema` is that of the shaped events."""

    def __init__(self, shape: Shape, schema: TableSchema) -> None:
        """Raises CatalogError with everything in which the shape does not fit the columns."""
        self._shape, self._source = shape, schema
        self._shaping = Shaping(shape, schema)
        columns_differ = shape.exclude or shape.rename
        self._named = Shaping(replace(shape, computed=()), schema) if columns_differ else None
        self.schema = self._shaping.schema
        kept = [name for name in schema.names if name not in shape.exclude]
        self._names = {name: shape.rename.get(name, name) for name in kept}

    def source_columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Columns of the source that these are made of."""
        made: dict[str, tuple[str, ...]] = {told: (name,) for name, told in self._names.items()}
        made |= {each.name: parse_expression(each.expression).columns for each in self._shape.computed}
        return tuple(dict.fromkeys(column for name in names for column in made.get(name, ())))

    def events(self, rows: pa.Table, wanted_of_deleted: Sequence[str] = ()) -> pa.Table:
        """`rows` have `told_schema` of the source's columns, and keep their order. Deletes have nothing
        computed, unless one of `wanted_of_deleted` is.

        Raises:
            TargetError: a value is not of the type that the shape has it in, or a filter's column holds an
                odd one.
        """
        wanted = told_schema(self.schema)
        if not rows.num_rows:
            return wanted.empty_table()
        (batch,) = rows.combine_chunks().to_batches()
        ops = batch.column(OP).to_numpy(zero_copy_only=False)
        outside = self._outside(batch, ops == "D")
        lasting, left = (ops != "D") & ~outside, outside & (ops == "U")
        computes = any(each.name in wanted_of_deleted for each in self._shape.computed)
        parts = [
            self._exact(batch.filter(pa.array(lasting))),
            self._ended(batch.filter(pa.array(ops == "D")), computes),
            self._ended(self._keys_alone(batch.filter(pa.array(left)), wanted_of_deleted), computes),
        ]
        whole = pa.Table.from_batches([self._told(each, wanted) for each in parts], wanted)
        places = np.concatenate([np.flatnonzero(each) for each in (lasting, ops == "D", left)])
        return whole.take(pa.array(np.argsort(places, kind="stable"))).combine_chunks()

    def table_events(self, events: Sequence[TableEvent]) -> list[TableEvent]:
        """Columns that came and went as far as the shape has them, by its names."""
        return [
            each if each.change is None else replace(each, change=self._change(each.change))
            for each in events
        ]

    def _change(self, change: SchemaChanged) -> SchemaChanged:
        renamed, excluded = self._shape.rename, self._shape.exclude
        added, dropped = (
            tuple(renamed.get(name, name) for name in names if name not in excluded)
            for names in (change.added, change.dropped)
        )
        return replace(change, added=added, dropped=dropped)

    def _outside(self, batch: pa.RecordBatch, deleted: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Rows that the filters do not take; of deletes nobody knows."""
        outside = np.zeros(batch.num_rows, np.bool_)
        if self._shape.where:
            passing = self._shaping.passes(batch.filter(pa.array(~deleted)))
            outside[~deleted] = ~passing.to_numpy(zero_copy_only=False).astype(np.bool_)
        return outside

    def _keys_alone(self, batch: pa.RecordBatch, wanted: Sequence[str]) -> pa.RecordBatch:
        """Without the values of a row that nobody is to be told of; as deletes."""
        shown = {*self._source.key, *self.source_columns(wanted)}
        unknown = set(self._source.names) - shown
        texts = [_only(text, shown) for text in batch.column(OVERFLOW).to_pylist()]
        instead = {
            OP: pa.repeat("D", batch.num_rows),
            MOVED: pa.repeat(False, batch.num_rows),
            BEFORE: pa.nulls(batch.num_rows, pa.string()),
            OVERFLOW: pa.array(texts, pa.string()),
        }
        arrays = [
            pa.nulls(batch.num_rows, field.type)
            if field.name in unknown
            else instead.get(field.name, batch.column(field.name))
            for field in batch.schema
        ]
        return pa.record_batch(arrays, schema=batch.schema)

    def _ended(self, batch: pa.RecordBatch, computes: bool) -> pa.RecordBatch:
        if computes or not self._shape.computed:
            return self._exact(batch)
        bare = self._shaping.keys(batch, _FURTHER)
        odd = batch.column(OVERFLOW) if self._named is None else self._named.shaped(batch).column(OVERFLOW)
        at = bare.schema.get_field_index(OVERFLOW)
        return bare.set_column(at, bare.schema.field(at), odd)

    def _exact(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A message is of one event of many, in their order: there is no leaving one out."""
        shaped = self._shaping.fitting(batch, _FURTHER)
        if shaped.refused:
            raise TargetError(
                shaped.refused[0].detail,
                where=self._shape.table,
                fix="declare a type that holds it, or leave such rows out by a filter",
            )
        return shaped.rows

    def _told(self, batch: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
        at = batch.schema.get_field_index(BEFORE)
        before = pa.array([self._old(text) for text in batch.column(BEFORE).to_pylist()], pa.string())
        told = batch.set_column(at, batch.schema.field(at), before)
        return pa.record_batch([told.column(each.name).cast(each.type) for each in wanted], schema=wanted)

    def _old(self, text: str | None) -> str | None:
        """Old values of columns that the shape keeps: what it computes anew, or has as another type, has
        none."""
        if text is None:
            return None
        kept = {name: told for name, told in self._names.items() if name not in self._shape.types}
        was = {kept[name]: value for name, value in json.loads(text).items() if name in kept}
        return json.dumps(was, ensure_ascii=False)


def _only(text: str | None, names: set[str]) -> str | None:
    odd = {} if text is None else {n: v for n, v in json.loads(text).items() if n in names}
    return json.dumps(odd, ensure_ascii=False) if odd else None
