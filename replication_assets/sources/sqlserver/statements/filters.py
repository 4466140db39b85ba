"""Row filters as SQL Server compares them.

Whole numbers, decimals, bits, dates and `datetime2` compare as they are stored. Collations of text differ,
and binary of any length equals itself with zeros behind: only that text equals another one is pushed, which
finds all that are equal and some that are not. `datetime` and `smalldatetime` are rounded in ways of their
own, and are compared where the rows arrive, as is everything that no line here names.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from replication_assets.core.pushed_filters import Bound, Comparable, digits_of
from replication_assets.core.schema import Column
from replication_assets.sources.sqlserver.statements.names import literal, quoted
from replication_assets.sources.sqlserver.types import NativeType

_AS_STORED = frozenset(
    {"tinyint", "smallint", "int", "bigint", "decimal", "money", "smallmoney", "bit", "date", "datetime2"}
)
_TEXTS = frozenset({"varchar", "nvarchar"})
_MOST_DIGITS = 38


class SqlServerFilters:
    """See `core.pushed_filters.Dialect`."""

    def comparable(self, column: Column) -> Comparable | None:
        native, name = NativeType.parse(column.source_type), quoted(column.name)
        if native.base in _TEXTS and native.length != -1:
            return Comparable(name, only_equal=True)
        if native.base not in _AS_STORED:
            return None
        odd = f"DATEPART(NANOSECOND, {name}) % 1000 <> 0" if native.may_be_odd else None
        return Comparable(name, odd)

    def constant(self, bound: Bound) -> str | None:
        if isinstance(bound, bool):
            return f"CAST({int(bound)} AS bit)"
        if isinstance(bound, Decimal):
            digits = digits_of(bound)
            return digits if sum(each.isdigit() for each in digits) <= _MOST_DIGITS else None
        if isinstance(bound, dt.datetime):
            return f"CAST({literal(bound.isoformat(timespec='microseconds'))} AS datetime2(6))"
        if isinstance(bound, dt.date):
            return f"CAST({literal(bound.isoformat())} AS date)"
        # Text that every code page has.
        return literal(bound) if bound.isascii() and bound.isprintable() else None

    def plain_constant(self, column: Column, bound: Bound) -> str | None:  # noqa: ARG002
        return None
