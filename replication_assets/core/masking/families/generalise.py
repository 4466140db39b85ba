"""Values made coarser: numbers to multiples, dates to the first of their unit, texts to their start.

What is coarse already stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.families.dates import day_range, is_date
from replication_assets.core.masking.families.numbers import (
    from_integers,
    integer_bounds,
    integers_of,
    is_number,
    require_finite,
)
from replication_assets.core.masking.families.text_columns import require_text
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.rules import Generalise
from replication_assets.errors import GuardError, PolicyError

# Up to here a type has every whole number.
_EXACT = {pa.float32(): 2.0**24, pa.float64(): 2.0**53}
Unit = Literal["day", "month", "year", "decade"]


@dataclass(frozen=True, slots=True)
class _Coarse:
    column: MaskedColumn
    uniqueness: ClassVar[Uniqueness] = "lossy"
    draws_by_row: ClassVar[bool] = False

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column.name,)

    def mask(self, rows: Rows) -> pa.Array:
        return self._coarse(rows.column(self.column.name))

    def fits(self, values: pa.Array) -> pa.Array:
        return pc.equal(values, self._coarse(values))

    def _coarse(self, values: pa.Array) -> pa.Array:
        raise NotImplementedError

    def _require_none(self, beyond: int) -> None:
        if beyond:
            raise GuardError(
                f"{beyond} values have no coarser one that their type can hold",
                where=f"column {self.column.name}",
                fix="use Null or RandomRange, or put them right at the source",
            )


@dataclass(frozen=True, slots=True)
class CoarseNumbers(_Coarse):
    """Down, below zero too: -7 becomes -10 in tens."""

    width: int

    def _coarse(self, values: pa.Array) -> pa.Array:
        if pa.types.is_floating(values.type):
            return self._coarse_floats(values)
        width = self.width * (10**values.type.scale if pa.types.is_decimal(values.type) else 1)
        numbers = integers_of(values)
        if width > np.iinfo(np.int64).max:
            numbers = numbers.astype(object)
        rests = numbers % width
        low, _ = integer_bounds(values.type)
        self._require_none(int(np.count_nonzero(numbers < low + rests)))
        return from_integers(numbers - rests, values)

    def _coarse_floats(self, values: pa.Array) -> pa.Array:
        """Beyond the digits that the type has there are no multiples, only what lies near them."""
        require_finite(values, self.column.name)
        exact = _EXACT[values.type]
        self._require_none(pc.sum(pc.greater(pc.abs(values), pa.scalar(exact, values.type))).as_py() or 0)
        width = float(self.width)
        return pc.multiply(pc.floor(pc.divide(values.cast(pa.float64()), width)), width).cast(values.type)


@dataclass(frozen=True, slots=True)
class CoarseDates(_Coarse):
    """In UTC, where the type has a time zone."""

    unit: Unit

    def _coarse(self, values: pa.Array) -> pa.Array:
        unit, multiple = ("year", 10) if self.unit == "decade" else (self.unit, 1)
        coarse = pc.floor_temporal(values, multiple=multiple, unit=unit)
        low, _, _ = day_range(values.type)
        integer = pa.int32() if pa.types.is_date32(values.type) else pa.int64()
        self._require_none(pc.sum(pc.less(coarse.cast(integer), low)).as_py() or 0)
        return coarse


@dataclass(frozen=True, slots=True)
class CoarseTexts(_Coarse):
    prefix: int

    def _coarse(self, values: pa.Array) -> pa.Array:
        return pc.utf8_slice_codeunits(values, 0, self.prefix)


def generalise(rule: Generalise, column: MaskedColumn, _context: RuleContext) -> _Coarse:
    given = [each for each in (rule.width, rule.unit, rule.prefix) if each is not None]
    if len(given) != 1:
        raise PolicyError(["Generalise needs exactly one of width, unit and prefix. Fix: name one"])
    if rule.width is not None:
        return _numbers(rule.width, column)
    if rule.unit is not None:
        return _dates(rule.unit, column)
    if rule.prefix is None or rule.prefix < 1:
        raise PolicyError(["Generalise needs a prefix of 1 or more. Fix: prefix=1, or Null"])
    require_text("Generalise(prefix)", column)
    return CoarseTexts(column, rule.prefix)


def _numbers(width: int, column: MaskedColumn) -> CoarseNumbers:
    if not is_number(column.arrow):
        problem = f"Generalise(width) is for numbers, not {column.structure.type}"
        raise PolicyError([f"{problem}. Fix: unit for dates, prefix for texts"])
    least = 2 if pa.types.is_integer(column.arrow) else 1
    most = 10**9 if not pa.types.is_integer(column.arrow) else integer_bounds(column.arrow)[1]
    if not least <= width <= most:
        raise PolicyError([f"Generalise needs a width from {least} to {most}. Fix: width=10"])
    return CoarseNumbers(column, width)


def _dates(unit: Unit, column: MaskedColumn) -> CoarseDates:
    units: tuple[str, ...] = ("day", "month", "year", "decade")
    if pa.types.is_date32(column.arrow):
        units = units[1:]
    if not is_date(column.arrow):
        problem = f"Generalise(unit) is for dates and timestamps, not {column.structure.type}"
        raise PolicyError([f"{problem}. Fix: width for numbers, prefix for texts"])
    if unit not in units:
        raise PolicyError([f"{unit!r} makes {column.structure.type} no coarser. Fix: {', '.join(units)}"])
    return CoarseDates(column, unit)


BUILDERS: Mapping[type, Builder[Any]] = {Generalise: generalise}
