"""Events as a shape has them: columns left out, renamed and computed, rows that its filters take.

A row that an update moves out of the filters, or that is changed outside of them, is told as deleted: an
event does not say whether its row was told before, and a delete of an unknown key does no harm. So is one
that a second load finds outside: it may have left them unseen. Of a row that the filters do not provably
take nothing is told but its key.

A value that does not fit its type stops the topic where the row is told; of a delete it is left out, and a
delete whose key does not fit is not told: nor was its row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.envelopes.filtered import Taken, takes_deleted, takes_former
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
_PLACE, _ODD = "~place", "~odd"
"""Columns that are carried along: the event's number in its batch, and odd values that a delete tells."""


_MEND = "filter by another column: this event is to be told, whatever the source holds now"
"""Rows are folded, so that a mended value takes the place of an odd one; events are not."""


class ShapedEvents:
    """A shape compiled for the events of one table. `schema` is that of the shaped events."""

    def __init__(self, shape: Shape, schema: TableSchema) -> None:
        """Raises CatalogError with everything in which the shape does not fit the columns."""
        self._shape, self._source = shape, schema
        self._shaping = Shaping(shape, schema)
        self.schema = self._shaping.schema
        kept = [name for name in schema.names if name not in shape.exclude]
        self._names = {name: shape.rename.get(name, name) for name in kept}
        retyped = {told for name, told in self._names.items() if name in shape.types}
        made = retyped | {each.name for each in shape.computed}
        self.anew = frozenset(made - set(self.schema.key))
        """Columns whose old values nobody knows: the source's are not what the shape made of them."""

    def source_columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Columns of the source that these are made of."""
        made: dict[str, tuple[str, ...]] = {told: (name,) for name, told in self._names.items()}
        made |= {each.name: parse_expression(each.expression).columns for each in self._shape.computed}
        return tuple(dict.fromkeys(column for name in names for column in made.get(name, ())))

    def events(
        self, rows: pa.Table, wanted_of_deleted: Sequence[str] = (), *, again: bool = False
    ) -> pa.Table:
        """`rows` have `told_schema` of the source's columns, and keep their order. Deletes have nothing
        computed or of another type but their key and `wanted_of_deleted`. `again` says that rows of a load
        may have been told before: those outside of the filters are told as deleted.

        Raises:
            TargetError: a value is not of the type that the shape has it in, or a filter's column holds an
                odd one.
        """
        wanted = told_schema(self.schema)
        if not rows.num_rows:
            return wanted.empty_table()
        (batch,) = rows.combine_chunks().to_batches()
        batch = batch.append_column(_PLACE, pa.array(np.arange(batch.num_rows)))
        ops = batch.column(OP).to_numpy(zero_copy_only=False)
        deleted, taken = ops == "D", self._taken(batch, ops == "D")
        ended = deleted | (ops == "U") | ((ops == "R") & again)
        outside = self._ended(batch.filter(pa.array(ended & ~taken)), wanted_of_deleted)
        parts = [
            self._lasting(batch.filter(pa.array(~deleted & taken))),
            self._ended(batch.filter(pa.array(deleted & taken)), wanted_of_deleted),
            self._keys_alone(outside, wanted_of_deleted),
        ]
        carried = pa.schema([*wanted, pa.field(_PLACE, pa.int64())])
        whole = pa.Table.from_batches([self._told(each, carried) for each in parts], carried)
        return whole.sort_by(_PLACE).drop_columns([_PLACE]).combine_chunks()

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

    def _taken(self, batch: pa.RecordBatch, deleted: Taken) -> Taken:
        """Rows that the filters take, deletes provably."""
        taken = np.ones(batch.num_rows, np.bool_)
        if self._shape.where:
            passing = self._shaping.passes(batch.filter(pa.array(~deleted)), mend=_MEND)
            taken[~deleted] = passing.to_numpy(zero_copy_only=False).astype(np.bool_)
            taken[deleted] = takes_deleted(self._shape.where, batch.filter(pa.array(deleted)))
        return taken

    def _lasting(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Without the old values of rows that the filters did not provably take."""
        if self._shape.where:
            at = batch.schema.get_field_index(BEFORE)
            shown = pa.array(takes_former(self._shape.where, batch), pa.bool_())
            texts = pc.if_else(shown, batch.column(at), pa.scalar(None, pa.string()))
            batch = batch.set_column(at, batch.schema.field(at), texts)
        return self._exact(batch)

    def _keys_alone(self, batch: pa.RecordBatch, wanted: Sequence[str]) -> pa.RecordBatch:
        """Shaped rows without the values that nobody is to be told of; as deletes."""
        shown = {*self.schema.key, *wanted}
        unknown = set(self.schema.names) - shown
        texts = [_only(text, {name: name for name in shown}) for text in batch.column(OVERFLOW).to_pylist()]
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

    def _ended(self, batch: pa.RecordBatch, wanted: Sequence[str]) -> pa.RecordBatch:
        """With what is known of a row that ends; without rows whose key does not fit."""
        kept = {name: told for name, told in self._names.items() if name not in self._shape.types}
        odd = pa.array([_only(text, kept) for text in batch.column(OVERFLOW).to_pylist()], pa.string())
        found = self._shaping.keys(batch.append_column(_ODD, odd), (*_FURTHER, _PLACE, _ODD), wanted)
        at = found.schema.get_field_index(OVERFLOW)
        return found.set_column(at, found.schema.field(at), found.column(_ODD)).drop_columns([_ODD])

    def _exact(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A message is of one event of many, in their order: there is no leaving one out."""
        shaped = self._shaping.fitting(batch, (*_FURTHER, _PLACE))
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


def _only(text: str | None, names: Mapping[str, str]) -> str | None:
    """Odd values of these columns, by the names that they are given."""
    odd = {} if text is None else {names[n]: v for n, v in json.loads(text).items() if n in names}
    return json.dumps(odd, ensure_ascii=False) if odd else None
