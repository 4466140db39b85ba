"""Identifiers are permuted: unique stays unique, equal stays equal, and what cannot be is refused."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.families.identifiers import BUILDERS
from replication_assets.core.masking.masker import Masker
from replication_assets.core.masking.policy import Namespace
from replication_assets.core.masking.rules import CardNumber, DigitsId, IntegerId, Rule, UuidId
from replication_assets.errors import GuardError, PolicyError
from replication_assets_tests.core.masking.single_columns import (
    OTHER_KEYS,
    column_of,
    compiled,
    masked,
    rows_of,
)

NAMESPACES = [
    Namespace("few", low=-3, high=6),
    Namespace("thousand", low=1, high=1000),
    Namespace("int32", low=1, high=2**31 - 1),
    Namespace("int64", low=-(2**63), high=2**63 - 1),
    Namespace("beyond", low=2**63 - 1000, high=2**64 + 2000),
    Namespace("none"),
    Namespace("one", low=1, high=1),
]


def masker_of(rule: Rule, arrow: pa.DataType = pa.string(), **structure: object) -> Masker:  # noqa: B008
    return compiled(BUILDERS, rule, column_of(arrow, **structure), namespaces=NAMESPACES)  # type: ignore[arg-type]


def refusal(masker: Masker, values: Sequence[object], arrow: pa.DataType | None = None) -> str:
    with pytest.raises(GuardError) as raised:
        masker.mask(rows_of(it=pa.array(values, arrow)))
    for value in values:
        assert value is None or str(value) not in str(raised.value)
    return str(raised.value)


def problem(rule: Rule, arrow: pa.DataType = pa.string(), **structure: object) -> str:  # noqa: B008
    with pytest.raises(PolicyError) as raised:
        masker_of(rule, arrow, **structure)
    return str(raised.value)


@pytest.mark.parametrize("arrow", [pa.int16(), pa.int32(), pa.int64(), pa.uint16(), pa.decimal128(12, 0)])
def test_all_integers_of_a_namespace_are_permuted_alike_in_every_type(arrow: pa.DataType) -> None:
    values = pa.array([*range(1, 1001), None], pa.int64())
    result = masked(masker_of(IntegerId("thousand"), arrow), values.cast(pa.decimal128(19)).cast(arrow))
    assert sorted(result.to_pylist()[:-1]) == list(range(1, 1001))
    expected = masked(masker_of(IntegerId("thousand"), pa.int64()), values)
    assert [int(each) for each in result.to_pylist()[:-1]] == expected.to_pylist()[:-1]


def test_negative_integers_are_permuted_with_the_others() -> None:
    result = masked(masker_of(IntegerId("few"), pa.int16()), pa.array([*range(-3, 7)], pa.int16()))
    assert sorted(result.to_pylist()) == list(range(-3, 7))


def test_the_whole_of_a_type_may_be_permuted() -> None:
    values = pa.array([-(2**63), -1, 0, 1, 2**63 - 1, None], pa.int64())
    result = masked(masker_of(IntegerId("int64"), pa.int64()), values)
    assert len({*result.to_pylist()}) == 6


def test_decimals_beyond_64_bits_are_permuted() -> None:
    numbers = [Decimal(2**64 + 2000), Decimal(2**63 - 1000), Decimal(2**64), Decimal(2**64 - 1), None]
    result = masked(
        masker_of(IntegerId("beyond"), pa.decimal128(38, 0)), pa.array(numbers, pa.decimal128(38))
    )
    found = result.to_pylist()
    assert len({*found}) == 5
    assert all(2**63 - 1000 <= number <= 2**64 + 2000 for number in found[:-1])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 2**31 - 1), max_size=40, unique=True))
def test_distinct_integers_stay_distinct(numbers: list[int]) -> None:
    result = masked(masker_of(IntegerId("int32"), pa.int32()), pa.array(numbers, pa.int32()))
    assert len({*result.to_pylist()}) == len(numbers)


def test_integers_beside_the_interval_are_refused_by_number_of_rows() -> None:
    thousand = masker_of(IntegerId("thousand"), pa.int32())
    assert "2 rows are not between" in refusal(thousand, [50001, 20002, 7], pa.int32())
    beyond = masker_of(IntegerId("beyond"), pa.decimal128(38, 0))
    for number in (2**63 - 1001, 2**64 + 2001, -1, 2**100, 2**63 - 1000 + 2**64):
        assert "1 rows" in refusal(beyond, [Decimal(number)], pa.decimal128(38))


def test_an_integer_beside_the_interval_does_not_fit() -> None:
    thousand = masker_of(IntegerId("thousand"), pa.int32())
    assert thousand.fits(pa.array([0, 1, 1000, 1001, None])).to_pylist() == [False, True, True, False, None]


@pytest.mark.parametrize(
    ("rule", "arrow", "words"),
    [
        (IntegerId("none"), pa.int32(), "has no low and high"),
        (IntegerId("one"), pa.int32(), "2 to 2**64 integers"),
        (IntegerId("int32"), pa.int16(), "beyond what smallint holds"),
        (IntegerId("int32"), pa.decimal128(9, 0), "beyond what numeric holds"),
        (IntegerId("thousand"), pa.decimal128(9, 2), "is for integers"),
        (IntegerId("thousand"), pa.string(), "is for integers"),
        (IntegerId("thousand"), pa.float64(), "is for integers"),
        (DigitsId("n"), pa.int64(), "is for texts"),
        (CardNumber(), pa.int64(), "is for texts"),
        (UuidId("n"), pa.binary(16), "is for UUIDs"),
    ],
    ids=str,
)
def test_a_rule_that_does_not_fit_its_column_is_refused(rule: Rule, arrow: pa.DataType, words: str) -> None:
    assert words in problem(rule, arrow)


def test_texts_of_a_type_that_is_no_text_are_refused() -> None:
    assert "DigitsId" in problem(DigitsId("n"), type="inet")
    assert "UuidId is for UUIDs" in problem(UuidId("n"), type="jsonb")
    assert "36 characters" in problem(UuidId("n"), type="varchar(32)", longest=32)


def test_digits_are_permuted_and_everything_else_stays_in_place() -> None:
    values = pa.array(["123-45-6789", "(030) 123 456", None, "000000"])
    result = masked(masker_of(DigitsId("national_id")), values).to_pylist()
    shapes = ["".join("9" if each.isdigit() else each for each in text) for text in result if text]
    assert shapes == ["999-99-9999", "(999) 999 999", "999999"]
    assert all(before != after for before, after in zip(values.to_pylist(), result, strict=True) if before)


def test_numbers_with_other_punctuation_are_one_identity() -> None:
    result = masked(masker_of(DigitsId("n")), pa.array(["123-45-6789", "123456789", "123 456 789"]))
    assert len({text.replace("-", "").replace(" ", "") for text in result.to_pylist()}) == 1


@settings(deadline=None, max_examples=40)
@given(st.integers(6, 56), st.data())
def test_distinct_digits_stay_distinct(count: int, data: st.DataObject) -> None:
    digits = st.text("0123456789", min_size=count, max_size=count)
    values = data.draw(st.lists(digits, max_size=20, unique=True))
    result = masked(masker_of(DigitsId("n")), pa.array(values, pa.string()))
    assert len({*result.to_pylist()}) == len(values)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("AB123456", "1 rows hold letters"),
        ("123456\u0661", "1 rows hold letters"),
        ("123456\n", "1 rows hold letters"),
        ("12345", "do not have 6 to 56 digits"),
        ("", "do not have 6 to 56 digits"),
        ("1" * 57, "do not have 6 to 56 digits"),
    ],
)
def test_texts_that_are_no_digits_are_refused(value: str, words: str) -> None:
    with pytest.raises(GuardError, match=words) as raised:
        masker_of(DigitsId("n")).mask(rows_of(it=pa.array([value, "123456", None])))
    assert "column it" in str(raised.value)
    assert masker_of(DigitsId("n")).fits(pa.array([value, None])).to_pylist() == [False, None]


def with_luhn(digits: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return digits + str(-total % 10)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.integers(11, 18).flatmap(lambda n: st.text("0123456789", min_size=n, max_size=n)), unique=True
    )
)
def test_card_numbers_keep_their_luhn_digit_and_stay_distinct(numbers: list[str]) -> None:
    values = [with_luhn(number) for number in numbers]
    result = masked(masker_of(CardNumber()), pa.array(values, pa.string())).to_pylist()
    assert [with_luhn(text[:-1]) for text in result] == result
    assert [len(text) for text in result] == [len(text) for text in values]
    assert len({*result}) == len(values)


def test_card_numbers_may_be_written_with_spaces() -> None:
    result = masked(
        masker_of(CardNumber()), pa.array(["4111 1111 1111 1111", "4111111111111111"])
    ).to_pylist()
    assert result[0].replace(" ", "") == result[1]
    assert [len(part) for part in result[0].split(" ")] == [4, 4, 4, 4]


def test_card_numbers_without_their_luhn_digit_are_refused_and_do_not_fit() -> None:
    cards = masker_of(CardNumber())
    assert "2 rows do not end in their Luhn digit" in refusal(
        cards, ["4111111111111112", "4111111111111111", "4111111111111113"]
    )
    assert "12 to 19 digits" in refusal(cards, ["42424242424"])
    found = cards.fits(pa.array(["4111111111111111", "4111111111111112", "411111111111", "x", None]))
    assert found.to_pylist() == [True, False, False, False, None]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 2**128 - 1), max_size=30, unique=True))
def test_distinct_uuids_stay_distinct_with_their_versions(numbers: list[int]) -> None:
    values = [str(uuid.UUID(int=number)) for number in numbers]
    result = masked(masker_of(UuidId("n"), type="uuid"), pa.array(values, pa.string())).to_pylist()
    assert len({*result}) == len(values)
    for before, after in zip(values, result, strict=True):
        assert str(uuid.UUID(after)) == after
        assert after[14] == before[14]
        assert int(after[19], 16) >> 2 == int(before[19], 16) >> 2


def test_uuids_that_differ_in_one_bit_differ_after_masking() -> None:
    base = uuid.UUID("00112233-4455-4677-8899-aabbccddeeff").int
    values = [str(uuid.UUID(int=base ^ (1 << bit))) for bit in range(128)]
    assert len({*masked(masker_of(UuidId("n")), pa.array(values)).to_pylist()}) == 128


def test_a_uuid_is_one_identity_in_any_case() -> None:
    value = "00112233-4455-4677-8899-aabbccddeeff"
    result = masked(masker_of(UuidId("n")), pa.array([value, value.upper(), None])).to_pylist()
    assert result[0] == result[1] == result[0].lower()


@pytest.mark.parametrize(
    "value",
    [
        "00112233445546778899aabbccddeeff",
        "{00112233-4455-4677-8899-aabbccddeeff}",
        "00112233-4455-4677-8899-aabbccddeefg",
        "00112233+4455-4677-8899-aabbccddeeff",
        "00112233-4455-4677-8899-aabbccddee\u00e9",
        "",
    ],
)
def test_texts_that_are_no_uuids_are_refused(value: str) -> None:
    uuids = masker_of(UuidId("n"))
    with pytest.raises(GuardError, match="1 rows are no UUIDs"):
        uuids.mask(rows_of(it=pa.array([value, "00112233-4455-4677-8899-aabbccddeeff", None])))
    assert uuids.fits(pa.array([value])).to_pylist() == [False]


@pytest.mark.parametrize("rule", [IntegerId("int32"), DigitsId("n"), CardNumber(), UuidId("n")], ids=str)
def test_identifiers_are_unique_by_value_and_differ_by_key(rule: Rule) -> None:
    values = {
        IntegerId: pa.array([7, 8], pa.int32()),
        DigitsId: pa.array(["123456789", "123456780"]),
        CardNumber: pa.array(["4111111111111111"]),
        UuidId: pa.array([str(uuid.UUID(int=1))]),
    }[type(rule)]
    column = column_of(values.type)
    masker = compiled(BUILDERS, rule, column, namespaces=NAMESPACES)
    assert (masker.uniqueness, masker.reads, masker.draws_by_row) == ("preserved", ("it",), False)
    other = compiled(BUILDERS, rule, column, namespaces=NAMESPACES, keys=OTHER_KEYS)
    assert masked(masker, values) != masked(other, values)
    assert "\\x" not in repr(masker)


def test_columns_without_values_are_masked() -> None:
    for rule, arrow in [
        (IntegerId("int32"), pa.int64()),
        (DigitsId("n"), pa.string()),
        (UuidId("n"), pa.string()),
    ]:
        for values in (pa.array([], arrow), pa.nulls(3, arrow)):
            assert masked(masker_of(rule, arrow), values).equals(values)


def test_many_rows_are_masked_as_few_are() -> None:
    values = pa.array([f"{number:09d}" for number in range(40_000)])
    ids = masker_of(DigitsId("n"))
    result = ids.mask(rows_of(it=values))
    assert len(result.unique()) == 40_000
    sample = np.array([0, 16_383, 16_384, 39_999])
    assert ids.mask(rows_of(it=values.take(pa.array(sample)))).equals(result.take(pa.array(sample)))
