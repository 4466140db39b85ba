"""JSON of messages keeps every digit, whichever parser read it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.envelopes.json_values import Number, json_text, read_json
from replication_assets.errors import DecodeError

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False).map(
    lambda each: Number(str(each)) if str(each).lstrip("-").isdigit() is False else int(each)
)
SCALARS = st.none() | st.booleans() | st.integers() | st.text() | NUMBERS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(VALUES)
def test_a_value_is_read_back_from_its_text(value: Any) -> None:
    found = read_json(json_text(value).encode())
    assert found == value
    assert json_text(found) == json_text(value)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.booleans()))
def test_what_other_programs_write_is_read_as_they_mean_it(row: dict[str, Any]) -> None:
    for ascii_only in (True, False):
        try:
            raw = json.dumps(row, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            continue
        assert read_json(raw) == row


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1.10}', "1.10"),
        ('{"a":-1.5E+17}', "-1.5E+17"),
        ('{"a":1e-400}', "1e-400"),
        ('{"a" : 0.1234567890123456789012345678901234567890}', "0.1234567890123456789012345678901234567890"),
    ],
)
def test_a_number_with_a_fraction_or_an_exponent_keeps_its_spelling(text: str, value: str) -> None:
    found = read_json(text.encode())["a"]
    assert type(found) is Number
    assert found == value


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**64), 12345678901234567890123456789012345678])
def test_an_integer_beyond_64_bits_is_exact(number: int) -> None:
    assert read_json(f'{{"a":{number},"b":[{number}]}}'.encode()) == {"a": number, "b": [number]}


def test_a_number_in_a_list_is_exact() -> None:
    assert read_json(b'{"a":[1, 2.50]}')["a"] == [1, "2.50"]
    assert Decimal(read_json(b"[0.30]")[0]) == Decimal("0.30")


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"a":NaN}', b"nothing", b'"' + b"\xed\xa0\x80" + b'"'])
def test_what_is_no_json_is_refused_without_being_quoted(raw: bytes) -> None:
    with pytest.raises(DecodeError) as error:
        read_json(raw)
    assert "no JSON in UTF-8" in str(error.value)
    assert error.value.__cause__ is None


def test_half_a_surrogate_pair_is_kept_as_json_spells_it() -> None:
    found = read_json(b'{"a":"\\ud800x"}')
    assert json_text(found) == '{"a":"\\ud800x"}'
