"""Row filters as Oracle compares them, and whether changes of a filtered table are told whole.

Numbers of a declared precision, dates and timestamps compare as they are stored, but for numbers of so many
digits that they are stored as text; moments that no typed value holds are always read. Text is compared by
its bytes in the character set of the database, which are those of UTF-8 in some alone: only that it equals
ASCII is the same in all of them, and pushed. An empty text is NULL here. What no line here names is compared
where the rows arrive.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa

from replication_assets.core.pushed_filters import Bound, Comparable, digits_of
from replication_assets.core.schema import Column, TableSchema
from replication_assets.core.table_filters import left_out_problem
from replication_assets.sources.oracle.statements.names import literal, quoted
from replication_assets.sources.oracle.types import NativeType, is_out_of_row

_MOST_DIGITS = 38


class OracleFilters:
    """See `core.pushed_filters.Dialect`."""

    def comparable(self, column: Column) -> Comparable | None:
        native, name = NativeType.parse(column.source_type), quoted(column.name)
        if native.base == "NUMBER" and native.precision is not None and not pa.types.is_string(column.arrow):
            return Comparable(name) if native.precision <= _MOST_DIGITS else None
        if native.base == "VARCHAR2":
            return Comparable(name, only_equal=True)
        if native.family in ("date", "timestamp", "local"):
            return Comparable(name, _odd(native, name))
        return None

    def constant(self, bound: Bound) -> str | None:
        if isinstance(bound, bool):
            return None
        if isinstance(bound, Decimal):
            digits = digits_of(bound)
            return digits if sum(each.isdigit() for each in digits) <= _MOST_DIGITS else None
        if isinstance(bound, dt.datetime):
            zone = " +00:00" if bound.tzinfo else ""
            return f"TIMESTAMP '{bound.replace(tzinfo=None).isoformat(sep=' ')}{zone}'"
        if isinstance(bound, str):
            fits = bound and bound.isascii() and bound.isprintable()
            return literal(bound) if fits else None
        raise ValueError(f"no column of Oracle holds a {type(bound).__name__}")

    def plain_constant(self, column: Column, bound: Bound) -> str | None:  # noqa: ARG002
        return None


def _odd(native: NativeType, name: str) -> str:
    first = "DATE '0001-01-01'" if native.family == "date" else "TIMESTAMP '0001-01-01 00:00:00'"
    if native.family == "local":
        first = "TIMESTAMP '0001-01-01 00:00:00 +00:00'"
    odd = f"{name} < {first}"
    if native.family != "date" and (native.precision or 0) > 6:
        odd = f"({odd} OR TO_CHAR({name}, 'FF9') NOT LIKE '%000')"
    return odd


def left_out(table: str, schema: TableSchema) -> tuple[str, ...]:
    """What the redo log does not carry whole beside a row."""
    columns = [each.name for each in schema.columns if is_out_of_row(each)]
    if not columns:
        return ()
    fix = "Capture the source by triggers to read fewer"
    return (left_out_problem(columns, table, fix),)
