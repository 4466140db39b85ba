"""The three masks of AWS DMS: its own results where they are asked for, and keyed ones otherwise."""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.families.dms import BUILDERS
from replication_assets.core.masking.masker import Masker
from replication_assets.core.masking.policy import Namespace
from replication_assets.core.masking.rules import DigitsMask, DigitsRandomize, HashMask, Rule
from replication_assets.errors import PolicyError
from replication_assets_tests.core.masking.single_columns import (
    OTHER_KEYS,
    column_of,
    compiled,
    equal_for_equal,
    masked,
)

PASSPORT = "C6BGJ566669K"  # the example in DMS's user guide
NAMESPACES = [Namespace("as written", normalise=())]


def masker_of(rule: Rule, arrow: pa.DataType = pa.string(), **structure: object) -> Masker:  # noqa: B008
    return compiled(BUILDERS, rule, column_of(arrow, **structure), namespaces=NAMESPACES)  # type: ignore[arg-type]


def problem(rule: Rule, arrow: pa.DataType = pa.string(), **structure: object) -> str:  # noqa: B008
    with pytest.raises(PolicyError) as raised:
        masker_of(rule, arrow, **structure)
    return str(raised.value)


def test_digits_are_masked_as_dms_documents() -> None:
    result = masked(masker_of(DigitsMask("#")), pa.array([PASSPORT, "", "no digits", None]))
    assert result.to_pylist() == ["C#BGJ######K", "", "no digits", None]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.none() | st.text(max_size=20), max_size=10))
def test_digits_0_to_9_are_masked_and_nothing_else(texts: list[str | None]) -> None:
    result = masked(masker_of(DigitsMask()), pa.array(texts, pa.string())).to_pylist()
    assert result == [None if text is None else re.sub("[0-9]", "*", text) for text in texts]


def test_a_digit_that_is_left_does_not_fit() -> None:
    masker = masker_of(DigitsMask())
    assert masker.fits(pa.array(["a*", "a1", "", None])).to_pylist() == [True, False, True, None]
    assert masker.uniqueness == "lossy"


@pytest.mark.parametrize("character", ["", "7", " ", "##", "é", "\t", "\x7f"])
def test_digits_are_masked_by_one_printable_character_that_is_none(character: str) -> None:
    assert "one printable ASCII character" in problem(DigitsMask(character))


def test_hashes_are_those_that_dms_documents() -> None:
    result = masked(masker_of(HashMask(unkeyed=True)), pa.array([PASSPORT, None]))
    assert result.to_pylist() == ["7CB06784764C9030CCC41E25C15339FEB293FFE9B329A72B5FED564E99900C75", None]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.none() | st.text(max_size=20), max_size=10))
def test_unkeyed_hashes_are_sha_256_of_the_text_as_it_is(texts: list[str | None]) -> None:
    result = masked(masker_of(HashMask(unkeyed=True)), pa.array(texts, pa.string())).to_pylist()
    assert result == [
        None if text is None else hashlib.sha256(text.encode()).hexdigest().upper() for text in texts
    ]


def test_keyed_hashes_have_the_same_form_and_depend_on_the_key() -> None:
    values = pa.array([PASSPORT, "", None])
    keyed = masker_of(HashMask())
    result = masked(keyed, values).to_pylist()
    assert all(re.fullmatch("[0-9A-F]{64}", text) for text in result[:2])
    assert result[0][:32] != result[0][32:]
    assert keyed.uniqueness == "preserved"
    other = masked(
        compiled(BUILDERS, HashMask(), column_of(pa.string()), keys=OTHER_KEYS), values
    ).to_pylist()
    unkeyed = masked(masker_of(HashMask(unkeyed=True)), values).to_pylist()
    assert len({*result, *other, *unkeyed}) == 7
    assert keyed.fits(pa.array([PASSPORT, None])).to_pylist() == [False, None]


def test_a_hash_needs_64_characters() -> None:
    assert "64 characters" in problem(HashMask(), longest=63)
    masker_of(HashMask(), longest=64)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.none() | st.text("0123456789-aé", max_size=90), max_size=10))
def test_every_digit_becomes_another_one_and_all_else_stays(texts: list[str | None]) -> None:
    values = pa.array(texts, pa.string())
    result = masked(masker_of(DigitsRandomize("as written")), values)
    assert equal_for_equal(values, result)
    for before, after in zip(texts, result.to_pylist(), strict=True):
        assert (before is None) == (after is None)
        for old, new in zip(before or "", after or "", strict=True):
            assert new.isdigit() and new != old if old.isdigit() else new == old


def test_digits_are_drawn_from_the_whole_text() -> None:
    values = pa.array([f"{number}77777777" for number in range(200)])
    result = masked(masker_of(DigitsRandomize()), values).to_pylist()
    for place in range(-8, 0):
        assert {text[place] for text in result} == set("012345689")


def test_long_runs_of_digits_do_not_repeat() -> None:
    text = masked(masker_of(DigitsRandomize()), pa.array(["5" * 3200])).to_pylist()[0]
    assert len({text[start : start + 16] for start in range(0, 3200, 16)}) == 200


INTEGERS = {
    arrow: st.integers(-(2 ** (arrow.bit_width - 1)), 2 ** (arrow.bit_width - 1) - 1)
    for arrow in (pa.int8(), pa.int16(), pa.int32(), pa.int64())
} | {arrow: st.integers(0, 2**arrow.bit_width - 1) for arrow in (pa.uint8(), pa.uint64())}


@pytest.mark.parametrize("arrow", INTEGERS, ids=str)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_an_integer_becomes_another_one_with_as_many_digits(arrow: pa.DataType, data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.none() | INTEGERS[arrow] | st.integers(0, 120), max_size=12))
    result = masked(masker_of(DigitsRandomize(), arrow), pa.array(numbers, arrow))
    assert equal_for_equal(pa.array(numbers, arrow), result)
    for before, after in zip(numbers, result.to_pylist(), strict=True):
        if before is not None:
            assert after != before
            assert len(str(abs(after))) == len(str(abs(before)))
            assert after * before >= 0


@pytest.mark.parametrize("arrow", [pa.decimal128(9, 2), pa.decimal128(38, 4), pa.decimal128(38, 0)], ids=str)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_decimal_becomes_another_one_of_its_scale(arrow: pa.DataType, data: st.DataObject) -> None:
    most = 10**arrow.precision - 1
    unscaled = data.draw(st.lists(st.none() | st.integers(-most, most) | st.integers(-20, 20), max_size=12))
    values = pa.array([None if n is None else Decimal(f"{n}e-{arrow.scale}") for n in unscaled], arrow)
    result = masked(masker_of(DigitsRandomize(), arrow), values)
    for number, after in zip(unscaled, result.to_pylist(), strict=True):
        if number is not None:
            other = int(after.as_tuple().sign) * -2 + 1, int("".join(map(str, after.as_tuple().digits)))
            assert other[0] * other[1] != number
            assert len(str(other[1])) == len(str(abs(number)))
            assert other[0] * other[1] * number >= 0


def test_digits_differ_by_key() -> None:
    values = pa.array(["0123456789"])
    other = compiled(BUILDERS, DigitsRandomize(), column_of(pa.string()), keys=OTHER_KEYS)
    assert masked(masker_of(DigitsRandomize()), values) != masked(other, values)


@pytest.mark.parametrize(
    "rule", [DigitsMask(), DigitsRandomize(), HashMask(), HashMask(unkeyed=True)], ids=str
)
def test_columns_without_values_are_masked(rule: Rule) -> None:
    for values in (pa.array([], pa.string()), pa.nulls(3, pa.string())):
        assert masked(masker_of(rule), values).equals(values)


@pytest.mark.parametrize(
    ("rule", "arrow"),
    [(DigitsMask(), pa.int64()), (HashMask(), pa.int64()), (DigitsRandomize(), pa.float64())],
    ids=str,
)
def test_columns_of_other_types_are_refused(rule: Rule, arrow: pa.DataType) -> None:
    assert "is for texts" in problem(rule, arrow)
