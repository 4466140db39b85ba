"""Filters of rows: declared, and evaluated on columns.

Filters are combined with AND, the comparisons of one filter with OR. NULL meets no comparison but
`null`. Values are texts and are compared as what the column is: numbers as numbers, dates and
timestamps as such, everything else by its bytes. A value that is none is refused, and so is one of so many
digits that Arrow does not compare it with the column. No error quotes a value.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.declared import Declared
from replication_assets.core.typed_texts import moment_in, number_of

VALUES = {
    "lte": 1, "gte": 1, "eq": 1, "noteq": 1, "between": 2, "notbetween": 2, "null": 0, "notnull": 0,
}  # fmt: skip
"""Operators, and how many values each takes. Both ends of `between` are inside of it."""


@dataclass(frozen=True, slots=True)
class Compare(Declared):
    """`Compare("between", ["1", "100"])`, `Compare("null")`.

    `operator` is one of lte, gte, eq, noteq, between, notbetween, null and notnull. `values` are texts,
    as many as it takes, and are compared as what the column is.
    """

    operator: str
    values: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Where(Declared):
    """Rows for which one of the comparisons `one_of` holds on `column`."""

    column: str
    one_of: Sequence[Compare]


def filter_problems(where: Where) -> Iterable[str]:
    """What is wrong whatever the column is, each with its fix."""
    if not where.one_of:
        yield f"filter on {where.column!r} compares nothing. Fix: give one_of at least one comparison"
    for each in where.one_of:
        if each.operator not in VALUES:
            known = ", ".join(VALUES)
            yield f"filter operator {str(each.operator)[:30]!r} is not known. Fix: one of {known}"
        elif len(each.values) != VALUES[each.operator]:
            wanted = VALUES[each.operator]
            yield f"filter operator {each.operator} has {len(each.values)} values. Fix: give it {wanted}"


def typed_value(text: str, kind: pa.DataType) -> object:
    """What a filter's text means for a column; raises ValueError where it is no such value."""
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return number_of(text.strip())
    if pa.types.is_floating(kind):
        return float(number_of(text.strip()))
    if pa.types.is_boolean(kind):
        return _truth(text)
    if pa.types.is_date(kind):
        return _day(text)
    if pa.types.is_timestamp(kind):
        moment = moment_in(text.strip())
        return moment if moment.tzinfo or kind.tz is None else moment.replace(tzinfo=dt.UTC)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return text
    raise ValueError(f"columns of type {kind} cannot be compared")


def _day(text: str) -> dt.date:
    """A day, also written as its midnight. A time of day would be cut off, and other rows pass."""
    try:
        moment = moment_in(text.strip())
    except ValueError:
        raise ValueError("is no date") from None
    if moment.tzinfo is not None or moment.time() != dt.time():
        raise ValueError("has a time of day, which the column has not")
    return moment.date()


def _truth(text: str) -> bool:
    known = {"1": True, "true": True, "t": True, "0": False, "false": False, "f": False}
    if text.strip().lower() not in known:
        raise ValueError("is neither true nor false")
    return known[text.strip().lower()]


def mask(filters: Iterable[Where], rows: pa.RecordBatch | pa.Table) -> pa.Array | pa.ChunkedArray:
    """Which rows pass: true or false, never null.

    Raises:
        ValueError: a filter does not fit its column, whether there are rows or not.
    """
    passed: pa.Array | pa.ChunkedArray = pa.array([True] * rows.num_rows, pa.bool_())
    for each in filters:
        column = rows.column(each.column)
        one_of = [_holds(compare, column) for compare in each.one_of]
        either = one_of[0]
        for other in one_of[1:]:
            either = pc.or_(either, other)
        passed = pc.and_(passed, either)
    return passed


def _holds(compare: Compare, column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    if compare.operator == "null":
        return pc.is_null(column)
    if compare.operator == "notnull":
        return pc.is_valid(column)
    values = [typed_value(value, column.type) for value in compare.values]
    try:
        return pc.fill_null(_typed_holds(compare.operator, column, values), False)
    except (pa.ArrowException, OverflowError, UnicodeError):
        raise ValueError("cannot be compared with the column") from None


def _typed_holds(operator: str, column: pa.Array, values: Sequence[object]) -> pa.Array:
    if pa.types.is_integer(column.type):
        # A bound may be a fraction, or beyond what the column can hold.
        column = pc.cast(column, pa.decimal128(20, 0))
    decimal = pa.types.is_decimal(column.type)
    bounds = [pa.scalar(value) if decimal else pa.scalar(value, column.type) for value in values]
    return _compared(operator, column, bounds)


def _compared(operator: str, column: pa.Array, bounds: list[pa.Scalar]) -> pa.Array:
    if operator == "lte":
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
