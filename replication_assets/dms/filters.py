"""Source filters: read, written as SQL, and declared.

Filters are combined with AND, the conditions of one filter with OR (`core.row_filters`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from replication_assets.core.row_filters import Compare, Where
from replication_assets.core.sql import literal, quoted
from replication_assets.dms.members import Members
from replication_assets.dms.rules import Condition, Filter
from replication_assets.dms.source_tables import SourceTable

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


def read_filters(rule: Members) -> tuple[Filter, ...] | None:
    """None where one cannot be read, which is told: without it the rule would take rows that it must not."""
    filters = []
    given = len(rule.array("filters"))
    for each in rule.objects("filters", "filter"):
        kind = each.word("filter-type", ("source",), required=True)
        column = each.text("column-name", required=True)
        conditions = tuple(
            found for inner in each.objects("filter-conditions", "filter condition", required=True)
            if (found := _condition(inner)) is not None
        )  # fmt: skip
        whole = len(conditions) == len(each.array("filter-conditions"))
        if each.has("filter-conditions") and not conditions:
            each.error("no-condition", "the filter has no condition", "add one, or delete the filter")
        if len(conditions) > 1 and any(condition.operator in NEGATIVE for condition in conditions):
            what = "conditions of one filter are OR, and one of them is negative: nearly all rows pass"
            each.warn("negative-or", what, "give the negative condition a filter of its own: filters are AND")
        each.finish()
        if kind is not None and column is not None and conditions and whole:
            filters.append(Filter(column, conditions, each.place))
    return tuple(filters) if len(filters) == given else None


def _condition(members: Members) -> Condition | None:
    operator = members.word("filter-operator", tuple(OPERATORS), required=True)
    if operator is None:
        return None
    values = [members.text(name, required=True, empty=True, truth=True) for name in OPERATORS[operator]]
    members.finish()
    if any(value is None for value in values):
        return None
    return Condition(operator, tuple(value for value in values if value is not None), members.place)


def as_sql(filters: Iterable[Filter], table: SourceTable | None = None) -> str:
    """The condition in SQL, numbers without quotes unless the column is known to be none; empty without
    filters."""
    parts = []
    for each in filters:
        column = table.column(each.column) if table is not None else None
        numeric = column is None or column.type is None or column.type.type.startswith(_NUMERIC)
        either = (_sql(each.column, condition, numeric=numeric) for condition in each.conditions)
        parts.append(f"({' OR '.join(either)})")
    return " AND ".join(parts)


_NUMERIC = ("int", "uint", "numeric", "real")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
"""Numbers as they are written; `007` is a text."""


def _sql(column: str, condition: Condition, *, numeric: bool) -> str:
    name = quoted(column)
    values = [v if numeric and _NUMBER.fullmatch(v) else literal(v) for v in condition.values]
    comparisons = {"lte": "<=", "ste": "<=", "gte": ">=", "eq": "=", "noteq": "<>"}
    if condition.operator in comparisons:
        return f"{name} {comparisons[condition.operator]} {values[0]}"
    if condition.operator in ("between", "notbetween"):
        word = "BETWEEN" if condition.operator == "between" else "NOT BETWEEN"
        return f"{name} {word} {values[0]} AND {values[1]}"
    return f"{name} IS {'NULL' if condition.operator == 'null' else 'NOT NULL'}"


def declared(filters: Iterable[Filter]) -> tuple[Where, ...]:
    """The filters as the project declares them."""
    return tuple(
        Where(each.column, [Compare(_NAMES.get(c.operator, c.operator), c.values) for c in each.conditions])
        for each in filters
    )


_NAMES = {"ste": "lte"}
