"""Row filters as SQLite compares them.

A column may hold values of any class, and only those of its own are compared: rows with any other are
always read. Integers are pushed, and that a text equals: its order is that of its bytes in the encoding of
the database, which in UTF-16 is not the order of UTF-8. Dates are text here and real numbers are not exact,
so they are compared where the rows arrive.
"""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa

from replication_assets.core.pushed_filters import Bound, Comparable, digits_of
from replication_assets.core.schema import Column
from replication_assets.sources.sqlite.quoting import identifier, literal
from replication_assets.sources.sqlite.types import holds_literals

_EXACT = 2**63
"""Beyond, or with a fraction, a constant is a real number, which is compared exactly all the same only up
to its own digits."""


class SqliteFilters:
    """See `core.pushed_filters.Dialect`."""

    def comparable(self, column: Column) -> Comparable | None:
        name = identifier(column.name)
        if pa.types.is_int64(column.arrow):
            return Comparable(name, f"typeof({name}) NOT IN ('integer', 'null')")
        if pa.types.is_string(column.arrow) and not holds_literals(column):
            odd = f"typeof({name}) NOT IN ('text', 'null')"
            return Comparable(f"{name} COLLATE BINARY", odd, only_equal=True)
        return None

    def constant(self, bound: Bound) -> str | None:
        if isinstance(bound, Decimal):
            whole = bound == bound.to_integral_value() and -_EXACT < bound < _EXACT
            return digits_of(bound) if whole else None
        if isinstance(bound, str) and "\0" not in bound:
            return literal(bound)
        return None

    def plain_constant(self, column: Column, bound: Bound) -> str | None:  # noqa: ARG002
        return None
