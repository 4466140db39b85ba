"""Which rows a slice reads, as SQL conditions that indexes can serve; values are bound.

They agree with `core.id_ranges` and `core.dates`, which place the same rows from their stored values. Text is
compared by its bytes (NLS_COMP and NLS_SORT of the session), which are those of UTF-8 in a database of
AL32UTF8 alone: `extent.range_column` asks.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa

from replication_assets.core.dates import USABLE_BEFORE, USABLE_FROM, EventDates, is_date
from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.schema import Column
from replication_assets.ports import LoadSlice
from replication_assets.ports.slice_conditions import Buckets, slice_conditions
from replication_assets.sources.oracle.filters import OracleFilters
from replication_assets.sources.oracle.statements.names import quoted
from replication_assets.sources.oracle.types import NativeType


@dataclass(slots=True)
class Conditions:
    """A WHERE clause (empty for a whole table) and what its names are bound to."""

    text: str = ""
    binds: dict[str, object] = field(default_factory=dict)


def row_conditions(load_slice: LoadSlice) -> Conditions:
    """The rows of a slice."""
    binds: dict[str, object] = {}

    def in_range(column: Column, id_range: IdRange) -> list[str]:
        cut = range_conditions(column, id_range)
        binds.update(cut.binds)
        return [cut.text] if cut.text else []

    parts = slice_conditions(
        load_slice, in_range=in_range, in_dates=partial(_in_dates, binds=binds), filters=OracleFilters()
    )
    return Conditions(" AND ".join(parts), binds)


def range_conditions(column: Column, id_range: IdRange) -> Conditions:
    """The rows of a range. Raises ValueError if the column cannot cut ranges."""
    found = Conditions()
    if id_range.lo is None and id_range.hi is None:
        return found
    if not is_range_column(column):
        raise ValueError(f"column {column.name!r} ({column.source_type}) cannot cut ranges")
    key, parts = quoted(column.name), []
    if id_range.lo is not None:
        parts.append(f"{key} >= :lo")
        found.binds["lo"] = _bound(column, id_range.lo)
    if id_range.hi is not None:
        parts.append(f"{key} < :hi")
        found.binds["hi"] = _bound(column, id_range.hi)
    found.text = " AND ".join(parts)
    if id_range.includes_null:
        found.text = f"({found.text} OR {key} IS NULL)"
    return found


def is_range_column(column: Column) -> bool:
    """Whether rows can be cut by it: whole numbers, and VARCHAR2. CHAR compares without its padding, and
    national text in another order."""
    return is_number(column) or NativeType.parse(column.source_type).base == "VARCHAR2"


def is_number(column: Column) -> bool:
    kind = column.arrow
    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0))


def _bound(column: Column, bound: Key) -> object:
    if is_number(column):
        return int(bound)
    if str(bound) == "":
        raise ValueError("an empty text is NULL, which bounds nothing")
    return str(bound)


# --- dates ----------------------------------------------------------------------------------


def _in_dates(column: Column, dates: EventDates, buckets: Buckets, binds: dict[str, object]) -> str:
    if not is_date(column.arrow):
        raise ValueError(f"column {column.name!r} ({column.source_type}) has no date")
    conditions = [_within(column, low, high, binds) for low, high in dates.intervals(buckets)]
    if None in buckets:
        # Moments that are no typed value are in no bucket; years before 1 sort below all others.
        usable = _within(column, USABLE_FROM, USABLE_BEFORE, binds)
        conditions.append(f"({quoted(column.name)} IS NULL OR NOT ({usable}){_or_fine(column)})")
    chosen = f"({' OR '.join(conditions)})" if conditions else "1 = 0"
    if None in buckets or not _or_fine(column):
        return chosen
    return f"({chosen} AND NOT (1 = 0{_or_fine(column)}))"


def _or_fine(column: Column) -> str:
    """Nanoseconds have no typed value, so no date: they go where NULL goes."""
    native = NativeType.parse(column.source_type)
    if native.family not in ("timestamp", "local") or (native.precision or 0) <= 6:
        return ""
    return f" OR TO_CHAR({quoted(column.name)}, 'FF9') NOT LIKE '%000'"


def _within(column: Column, low: dt.date, high: dt.date, binds: dict[str, object]) -> str:
    name, number = quoted(column.name), len(binds)
    binds |= {f"d{number}": low.isoformat(), f"d{number + 1}": high.isoformat()}
    at = {
        "date": "TO_DATE(:{}, 'YYYY-MM-DD')",
        "timestamp": "TO_TIMESTAMP(:{}, 'YYYY-MM-DD')",
        "local": "FROM_TZ(TO_TIMESTAMP(:{}, 'YYYY-MM-DD'), '+00:00')",
    }[NativeType.parse(column.source_type).family]
    return f"({name} >= {at.format(f'd{number}')} AND {name} < {at.format(f'd{number + 1}')})"
