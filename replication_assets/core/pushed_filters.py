"""Row filters as conditions of a database, so that it sends fewer rows.

A condition is true of every row that passes, and perhaps of more: what a database compares in another way
than `core.row_filters` is left out, and rows whose value is beyond its column's type are always read, for
whoever filters them then refuses them by name. A source says what it compares alike; how comparisons are
put together is the same for all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Protocol

import pyarrow as pa

from replication_assets.core.row_filters import Compare, Where, typed_value
from replication_assets.core.schema import Column, TableSchema

Bound = Decimal | bool | dt.date | dt.datetime | str
"""A value of a filter as its column holds it. Whole numbers are decimals, which may be fractions."""

_MOST_DIGITS = 60
"""Of a number that is written into a statement; one with more is compared here."""


@dataclass(frozen=True, slots=True)
class Comparable:
    """How one column is compared: `value` is SQL for what it holds; `odd`, where it can hold what its
    stored type cannot, is SQL that is true of those rows. `same`, where an index serves it, is SQL for the
    column as it is: values that are equal to us are equal to the database by it too. With `only_equal` it
    is compared in no other way than that it equals, which may be true of more rows than to us."""

    value: str
    odd: str | None = None
    same: str | None = None
    only_equal: bool = False


class Dialect(Protocol):
    """What a database compares as we do."""

    def comparable(self, column: Column) -> Comparable | None:
        """None for a column that is compared in another way, or that nobody is sure of."""
        ...

    def constant(self, bound: Bound) -> str | None:
        """SQL for a value that is compared with `Comparable.value`; None for one that cannot be written."""
        ...

    def plain_constant(self, column: Column, bound: Bound) -> str | None:
        """SQL for a value that is compared with `Comparable.same`."""
        ...


def pushed(dialect: Dialect, where: Iterable[Where], schema: TableSchema) -> list[str]:
    """Conditions that every row that passes the filters meets; none for a filter that is not pushed."""
    found = [_condition(dialect, each, schema) for each in where if each.column in schema.names]
    return [each for each in found if each is not None]


def _condition(dialect: Dialect, where: Where, schema: TableSchema) -> str | None:
    column = schema.column(where.column)
    comparable = dialect.comparable(column)
    if comparable is None:
        return None
    either = [_comparison(dialect, column, comparable, each) for each in where.one_of]
    parts = [each for each in either if each is not None]
    if len(parts) < len(either) or not parts:
        return None
    return f"({' OR '.join([*parts, *([comparable.odd] if comparable.odd else [])])})"


def _comparison(dialect: Dialect, column: Column, comparable: Comparable, compare: Compare) -> str | None:
    value, operator = comparable.value, compare.operator
    if operator == "null":
        return f"{value} IS NULL"
    if operator == "notnull":
        return f"{value} IS NOT NULL"
    bounds = _bounds(compare.values, column.arrow)
    if bounds is None or (comparable.only_equal and operator != "eq"):
        return None
    if pa.types.is_integer(column.arrow):
        bounds = _whole_bounds(operator, bounds)
    if bounds is None:
        return None
    constants = [dialect.constant(each) for each in bounds]
    texts = [each for each in constants if each is not None]
    if len(texts) < len(constants):
        return None
    if operator == "eq" and comparable.same is not None:
        plain = dialect.plain_constant(column, bounds[0])
        exact = f"{value} = {texts[0]}"
        return exact if plain is None else f"({comparable.same} = {plain} AND {exact})"
    return _written(operator, value, texts)


def _written(operator: str, value: str, texts: Sequence[str]) -> str | None:
    signs = {"lte": "<=", "gte": ">=", "eq": "=", "noteq": "<>"}
    if operator in signs:
        return f"{value} {signs[operator]} {texts[0]}"
    if operator == "between":
        return f"({value} >= {texts[0]} AND {value} <= {texts[1]})"
    if operator == "notbetween":
        return f"({value} < {texts[0]} OR {value} > {texts[1]})"
    raise ValueError(f"filter operator {operator} is not known")


def _bounds(values: Sequence[str], kind: pa.DataType) -> list[Bound] | None:
    """As Arrow compares them: a moment in the column's zone and unit."""
    found: list[Bound] = []
    for value in values:
        typed = typed_value(value, kind)
        if isinstance(typed, dt.datetime):
            typed = pa.scalar(typed, kind).as_py()
        if isinstance(typed, Decimal) and not _is_writable(typed):
            return None
        if not isinstance(typed, Decimal | bool | dt.date | str):
            return None
        found.append(typed)
    return found


_LEAST, _GREATEST = Decimal(-(2**63)), Decimal(2**63 - 1)


def _whole_bounds(operator: str, bounds: Sequence[Bound]) -> list[Bound] | None:
    """Bounds of whole numbers as such, which an index serves: nothing lies between a fraction and its
    neighbour. Bounds that no column reaches end where columns do; None where that end would be left out:
    all is outside of a range that lies beyond every column."""
    if operator not in ("lte", "gte", "between", "notbetween"):
        return list(bounds)
    found: list[Bound] = []
    for place, bound in enumerate(bounds):
        assert isinstance(bound, Decimal)
        is_upper = operator == "lte" or place == 1
        whole = bound.to_integral_value(ROUND_FLOOR if is_upper else ROUND_CEILING)
        reached = min(max(whole, _LEAST), _GREATEST)
        if operator == "notbetween" and (reached > whole if is_upper else reached < whole):
            return None
        found.append(reached)
    return found


def _is_writable(number: Decimal) -> bool:
    _, digits, exponent = number.as_tuple()
    return isinstance(exponent, int) and len(digits) + abs(exponent) <= _MOST_DIGITS


def digits_of(number: Decimal) -> str:
    """A number without an exponent, and without a point where it is whole."""
    whole = number == number.to_integral_value()
    return str(int(number)) if whole else format(number, "f")
