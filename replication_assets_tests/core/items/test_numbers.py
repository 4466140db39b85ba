"""Numbers have one spelling, and only those that DynamoDB holds."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.items.numbers import (
    NotStorable,
    canonical_number,
    canonical_numbers,
    spelled_decimals,
    spelled_floats,
)

DIGITS = st.integers(-(10**38) + 1, 10**38 - 1)


@given(DIGITS, st.integers(-120, 80), st.integers(0, 3), st.booleans())
def test_equal_numbers_have_one_spelling_and_no_digit_is_lost(
    digits: int, power: int, zeros: int, upper: bool
) -> None:
    text = canonical_number(f"{digits}{'E' if upper else 'e'}{power}")
    other = canonical_number(f"{'-' if digits < 0 else '+'}00{abs(digits)}{'0' * zeros}.0E{power - zeros}")
    assert Fraction(text) == digits * Fraction(10) ** power
    assert text == other == canonical_number(text)


@given(st.lists(st.decimals(-(10**19), 10**19, places=18), min_size=1))
def test_decimals_are_spelled_as_single_numbers_are(values: list[Decimal]) -> None:
    array = pa.array([*values, None], pa.decimal128(38, 18))
    expected = [canonical_number(str(value)) for value in values]
    assert spelled_decimals(array).to_pylist() == [*expected, None]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_floats_read_back_as_themselves(values: list[float]) -> None:
    texts, refused = spelled_floats(pa.array([*values, None]))
    for row, (value, text) in enumerate(zip(values, texts.to_pylist(), strict=False)):
        if row in refused:
            assert refused[row] == "number-out-of-range"
            assert not 1e-130 <= abs(value) < 1e126
        else:
            assert float(text) == value
            assert canonical_number(text) == text
    assert texts[-1].as_py() is None


@given(st.lists(st.none() | st.text("0123456789+-.eENa ", max_size=6)))
def test_texts_are_judged_in_columns_as_they_are_alone(texts: list[str | None]) -> None:
    spelled, refused = canonical_numbers(pa.array(texts, pa.large_string()))
    alone = [None if text is None else _alone(text) for text in texts]
    together = [refused.get(row, text) for row, text in enumerate(spelled.to_pylist())]
    assert together == alone


def _alone(text: str) -> str:
    try:
        return canonical_number(text)
    except NotStorable as error:
        return error.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not-a-number"),
        (".", "not-a-number"),
        ("1e", "not-a-number"),
        ("0x10", "not-a-number"),
        ("\u0661", "not-a-number"),
        ("nan", "not-finite"),
        ("-Infinity", "not-finite"),
        ("1" * 39, "number-too-precise"),
        ("1E-131", "number-out-of-range"),
        ("-1E126", "number-out-of-range"),
        ("1E999999999999999999", "number-out-of-range"),
    ],
)
def test_what_is_no_number_to_dynamodb_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotStorable) as raised:
        canonical_number(text)
    assert raised.value.reason == reason
