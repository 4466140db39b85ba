"""Source filters: read, written as SQL, and evaluated on columns.

Filters are combined with AND, the conditions of one filter with OR. NULL meets no condition but
`null`. Values are texts in the file; they are compared as what the column is: numbers as numbers,
dates and timestamps as such, everything else by its bytes. A value that is none is refused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.sql import literal, quoted
from replication_assets.dms.members import Members
from replication_assets.dms.rules import Condition, Filter

OPERATORS: dict[str, tuple[str, ...]] = {
    "lte": ("value",),
    "ste": ("value",),
    "gte": ("value",),
    "eq": ("value",),
    "noteq": ("value",),
    "between": ("start-value", "end-value"),
    "notbetween": ("start-value", "end-value"),
    "null": (),
    "notnull": (),
}
"""Each with the members it takes. There is no `lt` and no `gt`; `ste` is an older name of `lte`."""

NEGATIVE = {"noteq", "notbetween", "notnull"}


def read_filters(rule: Members) -> tuple[Filter, ...]:
    filters = []
    for each in rule.objects("filters", "filter"):
        each.word("filter-type", ("source",), required=True)
        column = each.text("column-name", required=True)
        conditions = tuple(
            found for inner in each.objects("filter-conditions", "filter condition", required=True)
            if (found := _condition(inner)) is not None
        )  # fmt: skip
        if each.has("filter-conditions") and not conditions:
            each.error("no-condition", "the filter has no condition", "add one, or delete the filter")
        if len(conditions) > 1 and any(condition.operator in NEGATIVE for condition in conditions):
            what = "conditions of one filter are OR, and one of them is negative: nearly all rows pass"
            each.warn("negative-or", what, "give the negative condition a filter of its own: filters are AND")
        each.finish()
        if column is not None and conditions:
            filters.append(Filter(column, conditions, each.place))
    return tuple(filters)


def _condition(members: Members) -> Condition | None:
    operator = members.word("filter-operator", tuple(OPERATORS), required=True)
    if operator is None:
        return None
    values = [members.text(name, required=True, empty=True) for name in OPERATORS[operator]]
    members.finish()
    if any(value is None for value in values):
        return None
    return Condition(operator, tuple(value for value in values if value is not None), members.place)


def as_sql(filters: Iterable[Filter]) -> str:
    """The condition in SQL, values as texts; empty without filters."""
    return " AND ".join(
        f"({' OR '.join(_sql(each.column, condition) for condition in each.conditions)})" for each in filters
    )


def _sql(column: str, condition: Condition) -> str:
    name, values = quoted(column), [literal(value) for value in condition.values]
    comparisons = {"lte": "<=", "ste": "<=", "gte": ">=", "eq": "=", "noteq": "<>"}
    if condition.operator in comparisons:
        return f"{name} {comparisons[condition.operator]} {values[0]}"
    if condition.operator in ("between", "notbetween"):
        word = "BETWEEN" if condition.operator == "between" else "NOT BETWEEN"
        return f"{name} {word} {values[0]} AND {values[1]}"
    return f"{name} IS {'NULL' if condition.operator == 'null' else 'NOT NULL'}"


def typed_value(text: str, kind: pa.DataType) -> object:
    """What a filter's text means for a column; raises ValueError where it is no such value."""
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return _number(text)
    if pa.types.is_floating(kind):
        return float(_number(text))
    if pa.types.is_boolean(kind):
        return _truth(text)
    if pa.types.is_date(kind):
        return dt.date.fromisoformat(text.strip()[:10])
    if pa.types.is_timestamp(kind):
        moment = dt.datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo or kind.tz is None else moment.replace(tzinfo=dt.UTC)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return text
    raise ValueError(f"columns of type {kind} cannot be compared")


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError("is no number") from None
    if not number.is_finite():
        raise ValueError("is no finite number")
    return number


def _truth(text: str) -> bool:
    known = {"1": True, "true": True, "t": True, "0": False, "false": False, "f": False}
    if text.strip().lower() not in known:
        raise ValueError("is neither true nor false")
    return known[text.strip().lower()]


def mask(filters: Iterable[Filter], rows: pa.RecordBatch | pa.Table) -> pa.Array | pa.ChunkedArray:
    """Which rows pass: true or false, never null."""
    passed: pa.Array | pa.ChunkedArray = pa.array([True] * rows.num_rows, pa.bool_())
    for each in filters:
        column = rows.column(each.column)
        one_of = [_holds(condition, column) for condition in each.conditions]
        either = one_of[0]
        for other in one_of[1:]:
            either = pc.or_(either, other)
        passed = pc.and_(passed, either)
    return passed


def _holds(condition: Condition, column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    if condition.operator == "null":
        return pc.is_null(column)
    if condition.operator == "notnull":
        return pc.is_valid(column)
    values = [typed_value(value, column.type) for value in condition.values]
    if pa.types.is_integer(column.type):
        return pc.fill_null(_of_integers(condition.operator, values, column), False)
    bounds = [_scalar(value, column.type) for value in values]
    return pc.fill_null(_compared(condition.operator, column, bounds), False)


def _scalar(value: object, kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_decimal(kind):
        return pa.scalar(value)
    return pa.scalar(value, kind)


def _of_integers(operator: str, values: list[object], column: pa.Array) -> pa.Array:
    """A bound may be a fraction, or beyond what the column can hold."""
    return _compared(operator, pc.cast(column, pa.decimal128(20, 0)), [pa.scalar(value) for value in values])


def _compared(operator: str, column: pa.Array, bounds: list[pa.Scalar]) -> pa.Array:
    if operator in ("lte", "ste"):
        return pc.less_equal(column, bounds[0])
    if operator == "gte":
        return pc.greater_equal(column, bounds[0])
    if operator == "eq":
        return pc.equal(column, bounds[0])
    if operator == "noteq":
        return pc.not_equal(column, bounds[0])
    within = pc.and_(pc.greater_equal(column, bounds[0]), pc.less_equal(column, bounds[1]))
    if operator == "between":
        return within
    if operator == "notbetween":
        return pc.invert(within)
    raise ValueError(f"filter operator {operator} is not known")
