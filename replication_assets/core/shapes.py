"""Shapes: which rows and columns of a table a projection has, and what they are called there.

The event store keeps every row and column; a shape is applied between fold and target, to filled rows
and to changes alike. A row that an update moves out of the filters is deleted from the projection, one
that is moved in is added.

Computed columns are expressions of SQLite's language (`core.expressions`) over columns of the source;
their variables are those of the event that made the row what it is. A row with a value that its column
does not hold, computed or in another type, is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa

from replication_assets.core.events import (
    COMMIT_POSITION,
    COMMITTED_AT,
    EPOCH,
    OVERFLOW,
    POSITION,
    SEQUENCE,
)
from replication_assets.core.expressions.evaluation import arrow_type, evaluate, fitted
from replication_assets.core.expressions.parser import parse_expression
from replication_assets.core.expressions.syntax import Expression
from replication_assets.core.fold import row_schema
from replication_assets.core.items.rows import Rows
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.retyping import Misfits, can_be, retyped
from replication_assets.core.row_filters import mask
from replication_assets.core.schema import Column, TableSchema
from replication_assets.core.shape_specs import Shape, shape_problems, type_of
from replication_assets.core.table_filters import value_problems
from replication_assets.errors import CatalogError, TargetError


@dataclass(frozen=True, slots=True)
class Shaped:
    """`rows` that the columns hold; `fits` says which of the given ones these are, `refused` why not."""

    rows: pa.RecordBatch
    fits: pa.BooleanArray
    refused: tuple[Refusal, ...]


MEND = "mend the value in the source, or filter by another column"


class Shaping:
    """A shape compiled against a table's columns."""

    def __init__(self, shape: Shape, schema: TableSchema) -> None:
        """Raises CatalogError with everything in which the shape does not fit the columns."""
        self.source = schema
        problems = [*shape_problems(shape)] or [*_misfits(shape, schema)]
        if problems:
            raise CatalogError(problems, where=f"shape of {shape.table}")
        self._where = tuple(shape.where)
        self._rename = dict(shape.rename)
        self._kept = [name for name in schema.names if name not in set(shape.exclude)]
        self._types = {name: type_of(text) for name, text in shape.types.items()}
        self._declared = {**shape.types, **{each.name: each.type for each in shape.computed}}
        self._kinds = {name: type_of(text)[0] for name, text in self._declared.items()}
        self._as_texts = {
            name for name, kind in self._types.items() if pa.types.is_string(arrow_type(kind[0]))
        }
        self._computed = [
            (each, parse_expression(each.expression), type_of(each.type)) for each in shape.computed
        ]
        columns = [self._column(schema.column(name)) for name in self._kept]
        columns += [_computed_column(each.name, kind) for each, _, kind in self._computed]
        key = tuple(self._rename.get(name, name) for name in schema.key)
        self.schema = TableSchema(tuple(columns), key, schema.append_only, schema.not_replicated)

    def passes(self, rows: pa.RecordBatch, *, mend: str = MEND) -> pa.BooleanArray:
        """Which rows the projection has. `mend` is what can be done about a value that cannot be compared.

        Raises:
            TargetError: a filter's column holds what its type cannot (`infinity`), so that nobody can tell;
                or the columns are not those that the shape was compiled for.
        """
        self._require_comparable(rows, mend)
        try:
            return mask(self._where, rows)
        except (ValueError, KeyError):
            raise TargetError(
                "the columns are not those that the filters of the shape were written for",
                fix="write the filters for the columns that the table has now",
            ) from None

    def shaped(self, rows: pa.RecordBatch, further: Sequence[str] = ()) -> pa.RecordBatch:
        """Rows with the columns of `schema`, the envelope and `further` columns as they are; null where a
        value does not fit."""
        return self._shaped(rows, further)[0]

    def fitting(self, rows: pa.RecordBatch, further: Sequence[str] = ()) -> Shaped:
        """As `shaped`, of the rows whose every value fits.

        Raises:
            TargetError: one does not, and no key says which row it is.
        """
        shaped, misfits = self._shaped(rows, further)
        if not misfits:
            return Shaped(shaped, pa.repeat(pa.scalar(True), rows.num_rows), ())
        if not self.source.key:
            name = next(iter(misfits))
            raise TargetError(
                f"{int(misfits[name].sum())} values of column {name!r} are no {self._declared[name]}",
                fix="declare a type that holds them, or the table's key, so that such rows can be refused",
            )
        fits = pa.array(~np.logical_or.reduce(list(misfits.values())))
        return Shaped(shaped.filter(fits), fits, tuple(self._refusals(rows, misfits)))

    def keys(
        self, rows: pa.RecordBatch, further: Sequence[str] = (), wanted: Sequence[str] = ()
    ) -> pa.RecordBatch:
        """As `shaped`, of rows in which the key and the position count: nothing is computed or has another
        type but the key and what is `wanted`, null where that does not fit. A row whose key does not fit
        was never written, and is left out."""
        fields = list(row_schema(self.schema))
        arrays, lost = [], np.zeros(rows.num_rows, dtype=bool)
        odd = self._odd_texts(rows)
        for name, field in zip(self._kept, fields, strict=False):
            in_key = name in self.source.key
            if name in self._types and not in_key and field.name not in wanted:
                arrays.append(pa.nulls(rows.num_rows, field.type))
                continue
            array, misfits = self._kept_column(rows, name, odd)
            arrays.append(array)
            lost |= misfits & in_key
        made = {name: array for name, array, _ in self._values(rows, wanted)}
        arrays += [
            made.get(each.name, pa.nulls(rows.num_rows, each.type))
            for each in fields[len(arrays) : len(self.schema.names)]
        ]
        arrays += [rows.column(each.name) for each in fields[len(arrays) :] if each.name != OVERFLOW]
        arrays.append(pa.nulls(rows.num_rows, pa.string()))
        fields += [rows.schema.field(name) for name in further]
        arrays += [rows.column(name) for name in further]
        batch = pa.record_batch(arrays, schema=pa.schema(fields))
        return batch.filter(pa.array(~lost)) if lost.any() else batch

    def _shaped(
        self, rows: pa.RecordBatch, further: Sequence[str]
    ) -> tuple[pa.RecordBatch, dict[str, Misfits]]:
        """And which rows do not fit, by the source's column or the computed one."""
        fields = list(row_schema(self.schema))
        odd = self._odd_texts(rows)
        arrays, wrong = [], {}
        for name in self._kept:
            array, misfits = self._kept_column(rows, name, odd)
            arrays.append(array)
            wrong[name] = misfits
        for name, array, misfits in self._values(rows):
            arrays.append(array)
            wrong[name] = misfits
        envelope = [each.name for each in fields[len(arrays) :]]
        arrays += [self._overflow(rows) if name == OVERFLOW else rows.column(name) for name in envelope]
        fields += [rows.schema.field(name) for name in further]
        arrays += [rows.column(name) for name in further]
        batch = pa.record_batch(arrays, schema=pa.schema(fields))
        return batch, {name: each for name, each in wrong.items() if each.any()}

    def _kept_column(
        self, rows: pa.RecordBatch, name: str, odd: Mapping[str, pa.Array]
    ) -> tuple[pa.Array, Misfits]:
        values = rows.column(name)
        if name not in self._types:
            return values, np.zeros(rows.num_rows, dtype=bool)
        return retyped(values, self._types[name], odd.get(name), one_to_one=name in self.source.key)

    def _column(self, column: Column) -> Column:
        name = self._rename.get(column.name, column.name)
        if column.name in self._types:
            return _computed_column(name, self._types[column.name])
        return Column(name, column.source_type, column.arrow, column.nullable, column.ordinal)

    def _refusals(self, rows: pa.RecordBatch, misfits: Mapping[str, Misfits]) -> Iterator[Refusal]:
        """One for each row, of the first column that does not fit."""
        first: dict[int, str] = {}
        for name, each in misfits.items():
            for at in np.flatnonzero(each).tolist():
                first.setdefault(at, name)
        concerned = rows.take(pa.array(first, pa.int64()))
        seen = Rows(concerned)
        keys = {name: seen.shown(name).to_pylist() for name in self.source.key}
        positions = [concerned.column(name).to_pylist() for name in POSITION]
        for at, name in enumerate(first.values()):
            yield Refusal(
                orjson.dumps({column: texts[at] for column, texts in keys.items()}).decode(),
                Position(*(column[at] for column in positions)),
                None,
                f"not-{self._kinds[name]}",
                f"the value of column {name!r} is no {self._declared[name]}",
            )

    def _values(
        self, rows: pa.RecordBatch, wanted: Sequence[str] | None = None
    ) -> list[tuple[str, pa.Array, Misfits]]:
        """Computed columns by their names: all, or those that are `wanted`."""
        computed = [each for each in self._computed if wanted is None or each[0].name in wanted]
        if not computed:
            return []
        expressions = [expression for _, expression, _ in computed]
        try:
            results = evaluate(expressions, rows, _variables(expressions, rows))
        except ValueError as error:
            raise TargetError(
                str(error), fix="mend the expression, or leave such rows out by a filter"
            ) from None
        arrays = []
        for (each, _, kind), values in zip(computed, results, strict=True):
            array, refused = fitted(values, *kind)
            misfits = np.zeros(rows.num_rows, dtype=bool)
            misfits[[at for at, _ in refused]] = True
            arrays.append((each.name, array, misfits))
        return arrays

    def _require_comparable(self, rows: pa.RecordBatch, mend: str) -> None:
        names = {each.column for each in self._where}
        if not names or rows.column(OVERFLOW).null_count == rows.num_rows:
            return
        for text in rows.column(OVERFLOW).drop_null().to_pylist():
            odd = names & set(orjson.loads(text))
            if odd:
                raise TargetError(
                    f"column {sorted(odd)[0]!r}, which rows are filtered by, holds a value beyond its type",
                    fix=mend,
                )

    def _odd_texts(self, rows: pa.RecordBatch) -> dict[str, pa.Array]:
        """Values that a column could not hold, of those that become texts."""
        names = [name for name in self._types if name in self._as_texts]
        column = rows.column(OVERFLOW)
        if not names or column.null_count == rows.num_rows:
            return {}
        odd = [{} if text is None else orjson.loads(text) for text in column.to_pylist()]
        return {name: pa.array([each.get(name) for each in odd], pa.large_string()) for name in names}

    def _overflow(self, rows: pa.RecordBatch) -> pa.Array:
        """Odd values under the names that their columns have now."""
        column = rows.column(OVERFLOW)
        kept = set(self._kept) - self._as_texts
        if column.null_count == rows.num_rows or not (self._rename or len(kept) < len(self.source.names)):
            return column
        texts = []
        for text in column.to_pylist():
            odd = {} if text is None else orjson.loads(text)
            named = {self._rename.get(name, name): value for name, value in odd.items() if name in kept}
            texts.append(orjson.dumps(named).decode() if named else None)
        return pa.array(texts, pa.string())


def _misfits(shape: Shape, schema: TableSchema) -> Iterator[str]:
    types = {column.name: column.arrow for column in schema.columns}
    used = [("where", each.column) for each in shape.where]
    used += [("exclude", name) for name in shape.exclude] + [("rename", name) for name in shape.rename]
    used += [("types", name) for name in shape.types]
    for name in set(shape.types) & set(types):
        if not can_be(types[name], type_of(shape.types[name])):
            yield f"types {name!r}: {types[name]} is never {shape.types[name]}. Fix: another type"
    parsed = [(each.name, parse_expression(each.expression)) for each in shape.computed]
    used += [(f"computed {name!r}", column) for name, expression in parsed for column in expression.columns]
    for what, name in used:
        if name not in types:
            alike = [each for each in types if each.lower() == name.lower()]
            fix = f"did you mean {alike[0]}?" if alike else f"one of {', '.join(list(types)[:8])}"
            yield f"{what}: {name!r} is no column of the table. Fix: {fix}"
    for name in shape.exclude:
        if name in schema.key:
            yield f"exclude {name!r} is in the key of the table. Fix: keep it"
    for where in shape.where:
        if where.column in types:
            yield from value_problems(where, types[where.column])
    names = [shape.rename.get(name, name) for name in schema.names if name not in shape.exclude]
    names += [each.name for each in shape.computed]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"two columns would be called {name!r}. Fix: a name each"
    for name in names:
        if name in row_schema(TableSchema(())).names or not name:
            yield f"a column would be called {name!r}, which is taken. Fix: another name"


def _computed_column(name: str, kind: tuple[str, int | None, int | None, int | None]) -> Column:
    return Column(name, kind[0], arrow_type(kind[0], kind[2], kind[3]))


def _variables(expressions: Sequence[Expression], rows: pa.RecordBatch) -> dict[str, list[object]]:
    wanted = {name for each in expressions for name in each.variables}
    if not wanted:
        return {}
    times = rows.column(COMMITTED_AT).to_pylist()
    columns = (rows.column(name).to_pylist() for name in (EPOCH, COMMIT_POSITION, SEQUENCE))
    positions = list(zip(*columns, strict=True))
    values: dict[str, list[object]] = {
        "AR_H_TIMESTAMP": times,
        "AR_H_COMMIT_TIMESTAMP": times,
        "AR_H_STREAM_POSITION": [f"{commit:020d}" for _, commit, _ in positions],
        # Epoch, commit and sequence: 35 digits that ascend as the changes do.
        "AR_H_CHANGE_SEQ": [f"{e:06d}{c:019d}{s:010d}" for e, c, s in positions],
    }
    return {name: values[name] for name in wanted}
