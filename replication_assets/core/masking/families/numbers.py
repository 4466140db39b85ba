"""Numbers with noise, and numbers or dates drawn from a range.

All of it is done in integers, floats aside: decimals as their digits without a point, dates and
timestamps in their unit. That a noisy number fits its column proves little of it: what the rule
promises is that it is not its input, zero excepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.families.dates import is_date
from replication_assets.core.masking.families.decimals import INT64_DIGITS, Unscaled, scaled, unscaled
from replication_assets.core.masking.families.draws import Draw, draw_for
from replication_assets.core.masking.families.numeric_texts import (
    GRAMMAR,
    is_numeric_text,
    most_of,
    numbers_of,
    texts_of,
)
from replication_assets.core.masking.families.reading import OfValueAndDraw
from replication_assets.core.masking.families.typed_values import typed_values
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.prf import Words
from replication_assets.core.masking.rules import Noise, RandomRange
from replication_assets.errors import GuardError, PolicyError

_INT64 = np.iinfo(np.int64)
# More could leave 64 bits when it is added.
_MOST_NOISE = float(2**62)


@dataclass(frozen=True, slots=True)
class NoiseMasker(OfValueAndDraw):
    """Where the noise rounds to nothing, one unit of the column's last place is added or taken away,
    and 1 becomes 2, never 0: positive stays positive."""

    column: MaskedColumn
    draw: Draw
    ratio: float
    uniqueness: ClassVar[Uniqueness] = "not_guaranteed"

    def mask(self, rows: Rows) -> pa.Array:
        values, words = rows.column(self.column.name), self.draw.words(rows)
        shares = self.ratio * (2 * fractions(words) - 1)
        if pa.types.is_floating(values.type):
            require_finite(values, self.column.name)
            return _floats(_noisy_floats(_float_array(values), shares), values)
        signs = np.where(words[:, 1] & np.uint64(1), 1, -1)
        if pa.types.is_string(values.type):
            numbers, scales = numbers_of(values, self.column.name)
            most = most_of(self.column)
            noisy = _noisy_integers(numbers, shares, signs, -most, most)
            return texts_of(noisy, scales, values)
        low, high = integer_bounds(values.type)
        return from_integers(_noisy_integers(integers_of(values), shares, signs, low, high), values)

    def fits(self, values: pa.Array) -> pa.Array:
        if pa.types.is_string(values.type):
            return pc.match_substring_regex(values, GRAMMAR)
        if pa.types.is_floating(values.type):
            return pc.is_finite(values)
        return pc.if_else(values.is_valid(), pa.scalar(True), pa.scalar(None, pa.bool_()))


def _noisy_integers(
    numbers: Unscaled, shares: npt.NDArray[np.float64], signs: npt.NDArray[np.int64], low: int, high: int
) -> Unscaled:
    if numbers.dtype == object:
        noise = np.array([round(share) for share in numbers.astype(np.float64) * shares], object)
    else:
        noise = np.clip(np.rint(numbers * shares), -_MOST_NOISE, _MOST_NOISE).astype(np.int64)
    least = np.where(
        np.abs(numbers.clip(-2, 2).astype(np.int64)) == 1, np.sign(numbers).astype(np.int64), signs
    )
    noise = np.where((noise == 0) & (numbers != 0), least, noise)
    # Compared on the near side of zero, where nothing overflows.
    beyond = ((noise > 0) & (numbers > high - np.maximum(noise, 0))) | (
        (noise < 0) & (numbers < low - np.minimum(noise, 0))
    )
    found: Unscaled = numbers + np.where(beyond, -noise, noise)
    return found


def _noisy_floats(
    numbers: npt.NDArray[np.floating[Any]], shares: npt.NDArray[np.float64]
) -> npt.NDArray[np.floating[Any]]:
    kind = numbers.dtype.type
    with np.errstate(over="ignore", under="ignore"):
        noisy = (numbers * (1 + shares)).astype(kind)
        noisy = np.where(np.isfinite(noisy), noisy, (numbers * (1 - np.abs(shares))).astype(kind))
    toward = np.nextafter(numbers, kind(0))
    return np.where((noisy == numbers) & (numbers != 0), toward, noisy)


@dataclass(frozen=True, slots=True)
class RangeMasker(OfValueAndDraw):
    """The column is read for its nulls alone."""

    column: MaskedColumn
    draw: Draw
    bounds: pa.Array
    uniqueness: ClassVar[Uniqueness] = "not_guaranteed"

    def mask(self, rows: Rows) -> pa.Array:
        values, words = rows.column(self.column.name), self.draw.words(rows)
        if pa.types.is_floating(values.type):
            low, high = (bound.as_py() for bound in self.bounds)
            # Not `low + f * (high - low)`, whose difference may be beyond what a float holds.
            share = fractions(words)
            numbers = np.clip(low * (1 - share) + high * share, low, high)
            kind = values.type.to_pandas_dtype()
            return _floats(np.clip(numbers.astype(kind), kind(low), kind(high)), values)
        low, high = (int(bound) for bound in integers_of(self.bounds))
        return from_integers(_within(words, low, high), values)

    def fits(self, values: pa.Array) -> pa.Array:
        low, high = self.bounds
        return pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))


def _within(words: Words, low: int, high: int) -> Unscaled:
    """Evenly, but for one part in 2^64 divided by the range. Sums wrap around 2^64 and back."""
    span = high - low + 1
    if not _INT64.min <= low <= high <= _INT64.max or span > _INT64.max:
        whole = words[:, 0].astype(object) * (1 << 64) + words[:, 1].astype(object)
        found: Unscaled = whole % span + low
        return found
    return (words[:, 0] % np.uint64(span)).astype(np.int64) + low


def fractions(words: Words) -> npt.NDArray[np.float64]:
    """From 0 to 1 without 1, of the 53 bits that a float has."""
    return (words[:, 0] >> np.uint64(11)).astype(np.float64) * 2.0**-53


def require_finite(values: pa.Array, name: str) -> None:
    odd = len(values) - values.null_count - (pc.sum(pc.is_finite(values)).as_py() or 0)
    if odd:
        raise GuardError(
            f"{odd} values are no finite numbers",
            where=f"column {name}",
            fix="use Null or RandomRange, or put them right at the source",
        )


def is_number(arrow: pa.DataType) -> bool:
    """The numbers that rules calculate with; unsigned ones of 64 bits have no place in `int64`."""
    integer = pa.types.is_integer(arrow) and not pa.types.is_uint64(arrow)
    return bool(integer or arrow in (pa.float32(), pa.float64()) or pa.types.is_decimal128(arrow))


def integers_of(values: pa.Array) -> Unscaled:
    """Integers, decimals, dates and timestamps as integers; nulls as 0."""
    if pa.types.is_decimal(values.type):
        return unscaled(values)
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    filled = pc.fill_null(values.cast(pa.int64()), 0)
    found: Unscaled = filled.to_numpy(zero_copy_only=False)
    return found


def from_integers(numbers: Unscaled, like: pa.Array) -> pa.Array:
    """The inverse of `integers_of`, with the type and the nulls of `like`."""
    if pa.types.is_decimal(like.type):
        if like.type.precision <= INT64_DIGITS:
            numbers = numbers.astype(np.int64)
        return scaled(numbers, like)
    narrow = pa.int32() if pa.types.is_date32(like.type) else like.type
    return pa.array(numbers.astype(np.int64), mask=_nulls(like)).cast(narrow).cast(like.type)


def integer_bounds(arrow: pa.DataType) -> tuple[int, int]:
    if pa.types.is_decimal(arrow):
        most = 10**arrow.precision - 1
        return -most, most
    bounds = np.iinfo(arrow.to_pandas_dtype())
    return int(bounds.min), int(bounds.max)


def _float_array(values: pa.Array) -> npt.NDArray[np.floating[Any]]:
    found: npt.NDArray[np.floating[Any]] = pc.fill_null(values, 0).to_numpy(zero_copy_only=False)
    return found


def _floats(numbers: npt.NDArray[np.floating[Any]], like: pa.Array) -> pa.Array:
    kind = like.type.to_pandas_dtype()
    return pa.array(numbers.astype(kind), mask=_nulls(like))


def _nulls(values: pa.Array) -> npt.NDArray[np.bool_] | None:
    return values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None


def noise(rule: Noise, column: MaskedColumn, context: RuleContext) -> NoiseMasker:
    problems = []
    if not is_number(column.arrow) and not is_numeric_text(column):
        problems.append(f"Noise is for numbers, not {column.structure.type}. Fix: another rule")
    if not 0 < rule.ratio <= 1:
        problems.append("Noise needs a ratio above 0 and at most 1. Fix: ratio=0.1")
    if problems:
        raise PolicyError(problems)
    return NoiseMasker(column, draw_for("noise", rule.namespace, column, context, by=rule.by), rule.ratio)


def random_range(rule: RandomRange, column: MaskedColumn, context: RuleContext) -> RangeMasker:
    if not is_number(column.arrow) and not is_date(column.arrow):
        problem = f"RandomRange is for numbers, dates and timestamps, not {column.structure.type}"
        raise PolicyError([f"{problem}. Fix: another rule"])
    bounds = typed_values([rule.low, rule.high], column)
    if bounds[0].as_py() > bounds[1].as_py():
        raise PolicyError(["RandomRange has a low above its high. Fix: exchange them"])
    draw = draw_for("range", rule.namespace, column, context, by=rule.by)
    return RangeMasker(column, draw, bounds)


BUILDERS: Mapping[type, Builder[Any]] = {Noise: noise, RandomRange: random_range}
