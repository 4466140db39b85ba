"""Noisy, drawn and rounded numbers stay in their type, and noisy ones are never their input."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.families import generalise, numbers
from replication_assets.core.masking.families.decimals import scaled, unscaled
from replication_assets.core.masking.rules import Generalise, Noise, RandomRange
from replication_assets.errors import GuardError, PolicyError
from replication_assets_tests.core.masking.single_columns import (
    column_of,
    compiled,
    equal_for_equal,
    masked,
    rows_of,
)

WIDE = Context(prec=60)
BUILDERS = {**numbers.BUILDERS, **generalise.BUILDERS}


def integers(bits: int) -> st.SearchStrategy[int]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return st.integers(low, high) | st.integers(-20, 20) | st.sampled_from([low, low + 1, high - 1, high])


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**precision - 1
    digits = st.integers(-most, most) | st.integers(-20, 20) | st.sampled_from([-most, most])
    return digits.map(lambda number: Decimal(f"{number}e-{scale}"))


NUMBERS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int16(): integers(16),
    pa.int32(): integers(32),
    pa.int64(): integers(64),
    pa.float32(): st.floats(width=32, allow_nan=False, allow_infinity=False),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.decimal128(5, 2): decimals(5, 2),
    pa.decimal128(18, 0): decimals(18, 0),
    pa.decimal128(38, 10): decimals(38, 10),
}
BY_TYPE = pytest.mark.parametrize("arrow", list(NUMBERS), ids=str)


def drawn_values(data: st.DataObject, arrow: pa.DataType) -> pa.Array:
    return pa.array(data.draw(st.lists(st.none() | NUMBERS[arrow], max_size=40)), arrow)


@BY_TYPE
@settings(max_examples=40)
@given(data=st.data(), ratio=st.sampled_from([0.01, 0.1, 1.0]), by=st.sampled_from(["row", "value"]))
def test_noise_leaves_no_number_as_it_is_but_zero(
    arrow: pa.DataType, data: st.DataObject, ratio: float, by: Any
) -> None:
    values = drawn_values(data, arrow)
    result = masked(compiled(BUILDERS, Noise(ratio, by=by), column_of(arrow)), values)
    least = Decimal(1) if pa.types.is_integer(arrow) else Decimal(1).scaleb(-getattr(arrow, "scale", 0))
    for value, noisy in zip(values.to_pylist(), result.to_pylist(), strict=True):
        if not value:
            assert noisy == value
            continue
        assert noisy != value
        if not pa.types.is_floating(arrow):
            # A float of 64 bits knows 15 digits of the product.
            room = max(abs(Decimal(value)) * Decimal(ratio) * Decimal("1.0000000001"), least)
            assert abs(Decimal(noisy) - Decimal(value)) <= room + least / 2
            assert noisy * value >= 0
    if by == "value":
        assert equal_for_equal(values, result)


def test_noise_is_as_wide_as_declared_and_not_wider() -> None:
    values = pa.array([1_000_000] * 5000, pa.int64())
    result = masked(compiled(BUILDERS, Noise(0.2), column_of(pa.int64())), values)
    shares = result.to_numpy() / 1_000_000
    assert 0.8 <= shares.min() < 0.81
    assert 1.19 < shares.max() <= 1.2
    assert abs(shares.mean() - 1) < 0.01


@settings(max_examples=40)
@given(st.lists(st.none() | decimals(40, 5) | decimals(3, 2) | integers(64).map(Decimal), max_size=30))
def test_a_number_without_precision_is_a_text_with_as_many_digits_after_the_point(
    numbers: list[Decimal | None],
) -> None:
    texts = pa.array([None if number is None else f"{number + 0:f}" for number in numbers], pa.string())
    column = column_of(pa.string(), type="numeric")
    result = masked(compiled(BUILDERS, Noise(0.1), column), texts)
    for text, noisy in zip(texts.to_pylist(), result.to_pylist(), strict=True):
        if text is not None:
            before, after = Decimal(text), Decimal(noisy)
            assert (after == before) is (before == 0)
            assert after.as_tuple().exponent == before.as_tuple().exponent
            least = Decimal(1).scaleb(int(before.as_tuple().exponent))
            assert abs(WIDE.subtract(after, before)) <= abs(before) / 10 + least


def test_a_text_of_a_declared_precision_stays_within_it() -> None:
    column = column_of(pa.string(), type="numeric(40,1)")
    result = masked(compiled(BUILDERS, Noise(), column), pa.array(["9" * 39 + ".9"] * 20))
    assert {len(text) for text in result.to_pylist()} == {41}


@pytest.mark.parametrize("odd", ["NaN", "Infinity", "", "1e5", "9" * 400])
def test_a_text_that_is_no_number_stops_the_mask(odd: str) -> None:
    masker = compiled(BUILDERS, Noise(), column_of(pa.string(), type="numeric"))
    with pytest.raises(GuardError, match="1 values are no finite numbers") as refused:
        masker.mask(rows_of(it=pa.array(["1.50", odd, None])))
    assert "1.50" not in str(refused.value)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_stops_the_mask(odd: float) -> None:
    masker = compiled(BUILDERS, Noise(), column_of(pa.float64()))
    with pytest.raises(GuardError, match="1 values are no finite numbers"):
        masker.mask(rows_of(it=pa.array([1.0, odd, None])))


RANGES: list[tuple[pa.DataType, Any, Any]] = [
    (pa.int16(), -5, 5),
    (pa.int64(), -(2**63), 2**63 - 1),
    (pa.int64(), 7, 7),
    (pa.float32(), 0.1, 0.3),
    (pa.float64(), -1.7e308, 1.7e308),
    (pa.decimal128(5, 2), "-999.99", 12.5),
    (pa.decimal128(38, 2), -(10**35), 10**35),
    (pa.date32(), "1950-01-01", "2005-12-31"),
    (pa.timestamp("us"), "2020-01-01", "2020-01-02T03:04:05.000006"),
    (pa.timestamp("us", tz="UTC"), "2020-01-01T00:00:00+02:00", "2020-02-01"),
]


@pytest.mark.parametrize(("arrow", "low", "high"), RANGES, ids=str)
def test_a_drawn_value_is_in_its_range_whatever_the_input(arrow: pa.DataType, low: Any, high: Any) -> None:
    zero = Decimal(0) if pa.types.is_decimal(arrow) else 0
    values = pa.array([None, *[zero] * 300], arrow)
    masker = compiled(BUILDERS, RandomRange(low, high), column_of(arrow))
    result = masked(masker, values)
    if low != high:
        assert len(result.unique()) > 5


def test_both_ends_of_a_range_are_drawn() -> None:
    result = masked(
        compiled(BUILDERS, RandomRange(1, 3), column_of(pa.int32())), pa.array([9] * 300, pa.int32())
    )
    assert {*result.to_pylist()} == {1, 2, 3}


@BY_TYPE
@settings(max_examples=25)
@given(data=st.data(), width=st.sampled_from([2, 10, 1000]))
def test_a_number_goes_down_to_a_multiple_or_stops_the_mask(
    arrow: pa.DataType, data: st.DataObject, width: int
) -> None:
    values = drawn_values(data, arrow)
    masker = compiled(BUILDERS, Generalise(width=width), column_of(arrow))
    if pa.types.is_floating(arrow):
        sizes = pc.abs(values)
        values = values.filter(pc.and_(pc.greater(sizes, 0.001), pc.less(sizes, 1e6)))
    try:
        result = masked(masker, values)
    except GuardError:
        assert pc.min(values).as_py() < 0
        return
    for value, coarse in zip(values.to_pylist(), result.to_pylist(), strict=True):
        if value is not None:
            assert 0 <= Decimal(value) - Decimal(coarse) < width
            assert Decimal(coarse) % width == 0


UNITS = {
    "day": datetime(1987, 6, 5, tzinfo=UTC),
    "month": datetime(1987, 6, 1, tzinfo=UTC),
    "year": datetime(1987, 1, 1, tzinfo=UTC),
    "decade": datetime(1980, 1, 1, tzinfo=UTC),
}


@pytest.mark.parametrize("unit", list(UNITS))
def test_a_date_goes_down_to_the_first_of_its_unit(unit: Any) -> None:
    moments = pa.array([datetime(1987, 6, 5, 4, 3, 2, 1, UTC), None], pa.timestamp("us", tz="UTC"))
    result = masked(compiled(BUILDERS, Generalise(unit=unit), column_of(moments.type)), moments)
    assert result.to_pylist() == [UNITS[unit], None]
    if unit != "day":
        dates = pa.array([date(1987, 6, 5), date(1969, 12, 31), None])
        result = masked(compiled(BUILDERS, Generalise(unit=unit), column_of(dates.type)), dates)
        assert result[0].as_py() == UNITS[unit].date()
        assert result[1].as_py() <= date(1969, 12, 31)


def test_a_decade_before_the_first_year_stops_the_mask() -> None:
    masker = compiled(BUILDERS, Generalise(unit="decade"), column_of(pa.date32()))
    with pytest.raises(GuardError, match="1 values have no coarser one"):
        masker.mask(rows_of(it=pa.array([date(5, 1, 1), date(15, 1, 1)])))


def test_a_float_without_its_last_digits_stops_the_mask() -> None:
    for arrow, beyond in ((pa.float64(), 1e17), (pa.float32(), 1e8), (pa.float64(), float("nan"))):
        with pytest.raises(GuardError, match="1 values"):
            compiled(BUILDERS, Generalise(width=3), column_of(arrow)).mask(
                rows_of(it=pa.array([beyond], arrow))
            )


def test_what_was_not_rounded_does_not_fit() -> None:
    masker = compiled(BUILDERS, Generalise(width=10), column_of(pa.int32()))
    assert masker.fits(pa.array([10, 11, -20, None], pa.int32())).to_pylist() == [True, False, True, None]


@pytest.mark.parametrize(
    ("rule", "arrow"),
    [
        (Noise(0), pa.int32()),
        (Noise(1.5), pa.int32()),
        (Noise(), pa.string()),
        (Noise(), pa.uint64()),
        (RandomRange(5, 1), pa.int32()),
        (RandomRange(0, 2**40), pa.int32()),
        (RandomRange(0, 1.5), pa.int32()),
        (RandomRange(0, 1), pa.date32()),
        (RandomRange("2020-01-01", "2020-13-01"), pa.date32()),
        (RandomRange(0, "0.001"), pa.decimal128(5, 2)),
        (RandomRange(0, float("inf")), pa.float64()),
        (RandomRange("a", "b"), pa.string()),
        (Generalise(width=1), pa.int32()),
        (Generalise(width=10), pa.string()),
        (Generalise(unit="day"), pa.date32()),
        (Generalise(unit="year"), pa.int32()),
        (Generalise(unit="week"), pa.date32()),  # type: ignore[arg-type]
        (Generalise(), pa.int32()),
        (Generalise(width=10, prefix=1), pa.int32()),
        (Generalise(prefix=0), pa.string()),
    ],
    ids=repr,
)
def test_a_rule_that_does_not_fit_its_column_is_refused(rule: Any, arrow: pa.DataType) -> None:
    with pytest.raises(PolicyError, match="Fix:"):
        compiled(BUILDERS, rule, column_of(arrow))


@pytest.mark.parametrize("arrow", [arrow for arrow in NUMBERS if pa.types.is_decimal(arrow)], ids=str)
@given(data=st.data())
@settings(max_examples=40)
def test_decimals_are_integers_and_back(arrow: pa.DataType, data: st.DataObject) -> None:
    values = drawn_values(data, arrow)[1:]
    found = unscaled(values)
    expected = [int((each or Decimal(0)).scaleb(arrow.scale, context=WIDE)) for each in values.to_pylist()]
    assert [int(each) for each in found] == expected
    assert scaled(np.asarray(found), values).equals(values)
