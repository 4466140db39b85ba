"""Sample items and rows: what a mapping makes of a few rows, without writing anything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
import pyarrow as pa

from replication_assets.core.expressions.evaluation import arrow_type, evaluate, fitted
from replication_assets.core.expressions.parser import parse_expression
from replication_assets.core.expressions.syntax import Expression
from replication_assets.core.fold import row_schema
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.spec import Items
from replication_assets.core.refusals import Refusal
from replication_assets.core.row_filters import mask
from replication_assets.core.schema import Column, TableSchema
from replication_assets.core.shape_specs import Shape
from replication_assets.core.shapes import Shaping
from replication_assets.dms.filters import declared
from replication_assets.dms.masking import value_expression
from replication_assets.dms.outcome import ColumnOutcome, TableOutcome
from replication_assets.dms.rules import DataType
from replication_assets.dms.source_tables import SourceColumn, SourceTable

_POSITION: dict[str, object] = {"_epoch": 1, "_commit_position": 1, "_sequence": 0}


def table_schema(table: SourceTable) -> TableSchema:
    """Columns as the store would have them, by their DMS types; texts where that is not known."""
    columns = tuple(Column(each.name, each.native, stored_type(each)) for each in table.columns or ())
    return TableSchema(columns, tuple(name for name in table.key if table.column(name) is not None))


def stored_type(column: SourceColumn) -> pa.DataType:
    if column.arrow is not None:
        return column.arrow
    if column.type is None:
        return pa.string()
    return arrow_type(column.type.type, column.type.precision, column.type.scale)


def sample_rows(table: SourceTable) -> pa.RecordBatch:
    """The samples as folded rows.

    Raises:
        ValueError: a sample is not of its column's type; the message names the column.
    """
    schema = row_schema(table_schema(table))
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in table.rows]
        if field.name in _POSITION:
            values = [_POSITION[field.name]] * len(table.rows)
        try:
            columns.append(pa.array([_typed(value, field.type) for value in values], field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, InvalidOperation):
            raise ValueError(f"a sample of column {field.name!r} of {table} is no {field.type}") from None
    return pa.record_batch(columns, schema=schema)


def _typed(value: object, kind: pa.DataType) -> object:
    if value is None:
        return None
    if pa.types.is_decimal(kind):
        return Decimal(str(value)).quantize(Decimal(1).scaleb(-kind.scale))
    if pa.types.is_timestamp(kind) and isinstance(value, str):
        return dt.datetime.fromisoformat(value)
    if pa.types.is_date(kind) and isinstance(value, str):
        return dt.date.fromisoformat(value)
    if pa.types.is_string(kind) and not isinstance(value, str):
        return orjson.dumps(value).decode()
    if pa.types.is_binary(kind) and isinstance(value, str):
        return value.encode()
    if pa.types.is_boolean(kind) and isinstance(value, int):
        return bool(value)
    return value


def passing(outcome: TableOutcome, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows that pass the filters. Raises ValueError where a filter's column is not there."""
    for each in outcome.filters:
        if each.column not in rows.schema.names:
            raise ValueError(f"filter on {each.column!r}, which is no column of {outcome.source}")
    return rows.filter(mask(declared(outcome.filters), rows)) if outcome.filters else rows


def sample_items(
    items: Items, outcome: TableOutcome, rows: pa.RecordBatch, shape: Shape | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Items of rows in DynamoDB's JSON, and why rows or values of them would be dead letters; `items` name
    columns as the shape calls them.

    Raises:
        CatalogError: the mapping or the shape does not fit the columns.
    """
    schema = table_schema(outcome.source)
    if shape is not None:
        shaping = Shaping(shape, schema)
        rows, schema = shaping.shaped(rows), shaping.schema
    converted = ItemMapping(items, schema).convert(rows)
    found = [orjson.loads(text) for text in converted.items.column("item").to_pylist()]
    return found, [_refused(each) for each in converted.refusals]


def _refused(refusal: Refusal) -> str:
    about = "a row" if refusal.column is None else f"a value of {refusal.column!r}"
    return f"{about}: {refusal.reason} ({refusal.detail})"


def target_rows(outcome: TableOutcome, rows: pa.RecordBatch) -> list[Mapping[str, Any]]:
    """Rows as the target's columns have them: renamed, computed, masked, without what is removed.

    A loaded row has no values before it: those columns are None. So are values that a column's new type
    cannot hold, where a projection fails. Random digits are named, not shown.
    """
    columns = {each.target: _values(outcome, each, rows) for each in outcome.columns}
    return [{name: values[at] for name, values in columns.items()} for at in range(rows.num_rows)]


def _values(outcome: TableOutcome, column: ColumnOutcome, rows: pa.RecordBatch) -> Sequence[Any]:
    if column.before:
        return [None] * rows.num_rows
    text = value_expression(column, outcome.source)
    if text is None:
        return ["(random digits)"] * rows.num_rows
    if column.source is not None and not column.recomputed:
        found: Sequence[Any] = rows.column(column.source).to_pylist()
        return found
    return _computed(parse_expression(text), column.type, rows)


def _computed(expression: Expression, kind: DataType | None, rows: pa.RecordBatch) -> Sequence[Any]:
    unknown = [name for name in expression.columns if name not in rows.schema.names]
    if unknown:
        raise ValueError(f"an expression uses ${unknown[0]}, which is no column")
    variables: dict[str, Sequence[Any]] = {
        name: [_OF_LOADED.get(name, "")] * rows.num_rows for name in expression.variables
    }
    if "operation_indicator" in expression.functions:
        variables["AR_H_OPERATION"] = ["INSERT"] * rows.num_rows
    (values,) = evaluate([expression], rows, variables, before=_no_values(rows))
    if kind is None:
        return values
    found: list[Any] = fitted(values, kind.type, kind.length, kind.precision, kind.scale)[0].to_pylist()
    return found


def _no_values(rows: pa.RecordBatch) -> pa.RecordBatch:
    """What a loaded row has instead of values before it."""
    nulls = [pa.nulls(rows.num_rows, field.type) for field in rows.schema]
    return pa.record_batch(nulls, schema=rows.schema)


_OF_LOADED = {"AR_H_OPERATION": "INSERT", "AR_H_CHANGE_SEQ": "0" * 35}
"""Headers of a row that is loaded, as far as a sample can have them."""
