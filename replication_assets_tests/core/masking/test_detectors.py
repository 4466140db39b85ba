"""Detectors: what values look like, and what they do not."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.detectors import (
    CARD,
    EMAIL,
    IBAN,
    IP,
    NATIONAL_ID,
    PERSON,
    PHONE,
    SECRET,
    detect,
    iban,
    luhn,
)


def _what(*values: str) -> dict[str, float]:
    return dict(detect(pa.array(values)))


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("jo.o'neil+x@mail.example.co.uk", EMAIL),
        ("write to me@example.com, please", EMAIL),
        ("4111 1111 1111 1111", CARD),
        ("378282246310005", CARD),
        ("5555-5555-5555-4444", CARD),
        ("DE89 3704 0044 0532 0130 00", IBAN),
        ("gb29nwbk60161331926819", IBAN),
        ("+49 (0)151 1234567", PHONE),
        ("0044 20 7946 0018", PHONE),
        ("(555) 010-0199", PHONE),
        ("555-010-0199", PHONE),
        ("192.0.2.7", IP),
        ("2001:db8::1", IP),
        ("078-05-1120", NATIONAL_ID),
        ("AB 12 34 56 C", NATIONAL_ID),
        ("Maria Clara", PERSON),
        ("AKIA" + "ABCDEFGH12345678", SECRET),
        ("-----BEGIN RSA " + "PRIVATE KEY-----", SECRET),
        ("$2b$12$" + "a" * 53, SECRET),
        ("$argon2id$v=19$m=65536", SECRET),
        ("eyJhbGciOiJ9xx.eyJzdWIiOiIxMjM.abc", SECRET),
    ],
)
def test_what_a_value_looks_like(value: str, what: str) -> None:
    assert what in _what(value)


@pytest.mark.parametrize(
    "value",
    [
        "2024-01-15", "2024-01-15 10:00:00", "shipped", "order 4711", "12345", "1,234,567.00",
        "ORD-2024-000123", "4111111111111112", "DE88370400440532013000", "a@b", "3.11.2",
        "550e8400-e29b-41d4-a716-446655440000", "en_GB", "Blue Widget", "#ff0044", "", "12:30:45",
    ],
)  # fmt: skip
def test_what_looks_like_nothing(value: str) -> None:
    assert _what(value) == {}


def test_shares_are_of_the_values_that_are_there() -> None:
    assert _what("a@example.com", "b@example.com", "nothing", "else") == {EMAIL: 0.5}
    assert detect(pa.array(["a@example.com", None])) == {EMAIL: 1.0}
    assert detect(pa.array([None, None], pa.string())) == {}
    assert detect(pa.array([True])) == {}


def test_numbers_of_which_one_in_ten_has_a_luhn_digit_are_no_cards() -> None:
    numbers = pa.array([4111111111111100 + each for each in range(100)])

    assert detect(numbers) == {}
    assert detect(pa.array([4111111111111111, 4111111111111111, None])) == {CARD: 1.0}


@given(st.lists(st.integers(0, 10**19 - 1), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_luhn_is_the_sum_of_every_other_digit_doubled(numbers: list[int]) -> None:
    def right(number: int) -> bool:
        digits = [int(digit) for digit in str(number)][::-1]
        doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
        return (sum(digits[::2]) + sum(doubled)) % 10 == 0

    assert luhn(pa.array([str(each) for each in numbers])).tolist() == [right(each) for each in numbers]


@given(st.text("ABZ019", min_size=11, max_size=30))
@settings(max_examples=40, deadline=None)
def test_an_iban_is_one_modulo_97(account: str) -> None:
    def number(text: str) -> int:
        return int("".join(str(int(character, 36)) for character in text))

    check = 98 - number(f"{account}DE00") % 97
    good, bad = f"DE{check:02}{account}", f"DE{(check + 1) % 97:02}{account}"

    assert iban(pa.array([good, bad])).tolist() == [True, False]
