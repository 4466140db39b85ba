"""Row filters as MySQL and MariaDB compare them.

Whole numbers, decimals, BIT(1), dates, DATETIME and TIMESTAMP compare as they are stored (sessions are at
UTC); a date that is no day is always read. Text is compared by its bytes in UTF-8, which no collation does;
where it is to be equal, an index narrows it down before. What no line here names is not pushed.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa

from replication_assets.core.pushed_filters import Bound, Comparable, digits_of
from replication_assets.core.schema import Column
from replication_assets.sources.mysql.connection import literal, quoted
from replication_assets.sources.mysql.types import NativeType

_NUMBERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal"})
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_TIMES = frozenset({"date", "datetime", "timestamp"})


class MySqlFilters:
    """See `core.pushed_filters.Dialect`."""

    def comparable(self, column: Column) -> Comparable | None:
        base, name = NativeType.parse(column.source_type).base, quoted(column.name)
        if base in _TEXTS and pa.types.is_string(column.arrow):
            return Comparable(f"CAST(CONVERT({name} USING utf8mb4) AS BINARY)", same=name)
        if base == "bit" and pa.types.is_boolean(column.arrow):
            return Comparable(f"({name} + 0)")
        if base in _NUMBERS and not pa.types.is_string(column.arrow):
            return Comparable(name)
        if base in _TIMES:
            # Zero, partial and impossible days: see `predicates`.
            return Comparable(name, f"(FROM_DAYS(TO_DAYS({name})) = DATE({name})) IS NOT TRUE")
        return None

    def constant(self, bound: Bound) -> str | None:
        if isinstance(bound, bool):
            return "1" if bound else "0"
        if isinstance(bound, Decimal):
            return digits_of(bound)
        if isinstance(bound, dt.datetime):
            return f"TIMESTAMP{literal(bound.replace(tzinfo=None).isoformat(sep=' '))}"
        if isinstance(bound, dt.date):
            return f"DATE{literal(bound.isoformat())}"
        return f"x'{bound.encode().hex()}'"

    def plain_constant(self, column: Column, bound: Bound) -> str | None:
        """Text that every character set has."""
        fits = isinstance(bound, str) and bound.isascii() and bound.isprintable()
        return literal(str(bound)) if fits and pa.types.is_string(column.arrow) else None
