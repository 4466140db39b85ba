"""Dates and timestamps moved by a keyed number of days, the same for all of one entity.

A date that would leave the years 1 to 9999 moves as far the other way. That a date lies in these
years proves little of a masked one; that none equals its own input is what the rule promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.families.draws import Draw, draw_for
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.pools import drawn
from replication_assets.core.masking.rules import DateShift
from replication_assets.errors import GuardError, PolicyError

_EPOCH = date(1970, 1, 1).toordinal()
_FIRST_DAY, _LAST_DAY = date.min.toordinal() - _EPOCH, date.max.toordinal() - _EPOCH
# A day in the unit of a timestamp.
_DAYS = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}
# Half of all years: what does not fit one way then fits the other.
_MOST_DAYS = (_LAST_DAY - _FIRST_DAY) // 2

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DateShiftMasker:
    column: MaskedColumn
    draw: Draw
    days: int
    uniqueness: ClassVar[Uniqueness] = "not_guaranteed"

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.column.name, *self.draw.reads)))

    @property
    def draws_by_row(self) -> bool:
        return self.draw.draws_by_row

    def mask(self, rows: Rows) -> pa.Array:
        values = rows.column(self.column.name)
        low, high, day = day_range(values.type)
        numbers = _numbers(values, low)
        self._require_within(numbers, low, high)
        shifts = self._shifts(rows) * day
        shifted = numbers + shifts
        shifted = np.where((shifted < low) | (shifted > high), numbers - shifts, shifted)
        self._require_within(shifted, low, high)
        return _dated(shifted, values)

    def _shifts(self, rows: Rows) -> Integers:
        """Days from -days to days without 0."""
        steps = drawn(self.draw.words(rows)[:, 0], 2 * self.days) - self.days
        return steps + (steps >= 0)

    def _require_within(self, numbers: Integers, low: int, high: int) -> None:
        outside = int(np.count_nonzero((numbers < low) | (numbers > high)))
        if outside:
            raise GuardError(
                f"{outside} dates lie beyond the years 1 to 9999, or cannot be moved within their type",
                where=f"column {self.column.name}",
                fix="use Null or RandomRange, or put them right at the source",
            )

    def fits(self, values: pa.Array) -> pa.Array:
        low, high, _ = day_range(values.type)
        numbers = _numbers(values, low)
        return pa.array((numbers >= low) & (numbers <= high), mask=_nulls(values))


def is_date(arrow: pa.DataType) -> bool:
    """Dates and timestamps. Not those in nanoseconds: they have no place for the years 1 to 9999."""
    if pa.types.is_timestamp(arrow):
        return arrow.unit in _DAYS
    return bool(pa.types.is_date32(arrow))


def day_range(arrow: pa.DataType) -> tuple[int, int, int]:
    """The first and last value of the years 1 to 9999, and a day, in the type's unit."""
    if pa.types.is_date32(arrow):
        return _FIRST_DAY, _LAST_DAY, 1
    day = _DAYS[arrow.unit]
    return _FIRST_DAY * day, (_LAST_DAY + 1) * day - 1, day


def _numbers(values: pa.Array, null: int) -> Integers:
    """As integers, nulls as `null`."""
    integer = pa.int32() if pa.types.is_date32(values.type) else pa.int64()
    found: Integers = pc.fill_null(values.cast(integer), null).to_numpy(zero_copy_only=False)
    return found.astype(np.int64, copy=False)


def _nulls(values: pa.Array) -> npt.NDArray[np.bool_] | None:
    return values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None


def _dated(numbers: Integers, values: pa.Array) -> pa.Array:
    width = np.int32 if pa.types.is_date32(values.type) else np.int64
    return pa.array(numbers.astype(width, copy=False), mask=_nulls(values)).cast(values.type)


def date_shift(rule: DateShift, column: MaskedColumn, context: RuleContext) -> DateShiftMasker:
    """By row, all dates of a row move by the same number, whatever their columns."""
    problems = []
    if not is_date(column.arrow):
        problems.append(f"DateShift is for dates and timestamps, not {column.structure.type}. Fix: Null")
    if not 1 <= rule.days <= _MOST_DAYS:
        problems.append(f"DateShift by {rule.days} days. Fix: days from 1 to {_MOST_DAYS}")
    if rule.entity is not None and rule.entity not in context.columns:
        problems.append(f"the table has no column {rule.entity!r}. Fix: entity=... one of its columns")
    if problems:
        raise PolicyError(problems)
    if rule.entity is None:
        draw = draw_for("date shift", rule.namespace, column, context, by="row", lane="row")
    else:
        draw = draw_for("date shift", rule.namespace, context.columns[rule.entity], context)
    return DateShiftMasker(column, draw, rule.days)


BUILDERS: Mapping[type, Builder[Any]] = {DateShift: date_shift}
