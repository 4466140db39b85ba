"""Tokens, addresses and numbers hold nothing of their input, and stand where nobody can be reached."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.families.tokens import ALPHABET, BUILDERS, decimals, token_bytes
from replication_assets.core.masking.masker import Masker
from replication_assets.core.masking.policy import Namespace
from replication_assets.core.masking.rules import Email, Phone, Rule, Token
from replication_assets.errors import PolicyError
from replication_assets_tests.core.masking.single_columns import (
    OTHER_KEYS,
    column_of,
    compiled,
    equal_for_equal,
    masked,
)

NAMESPACES = [Namespace("as written", normalise=())]


def masker_of(rule: Rule, arrow: pa.DataType = pa.string(), **structure: object) -> Masker:  # noqa: B008
    return compiled(BUILDERS, rule, column_of(arrow, **structure), namespaces=NAMESPACES)  # type: ignore[arg-type]


def problem(rule: Rule, arrow: pa.DataType = pa.string(), **structure: object) -> str:  # noqa: B008
    with pytest.raises(PolicyError) as raised:
        masker_of(rule, arrow, **structure)
    return str(raised.value)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.none() | st.text(max_size=40), max_size=20))
def test_equal_texts_have_equal_tokens_and_distinct_ones_distinct(texts: list[str | None]) -> None:
    values = pa.array(texts, pa.string())
    result = masked(masker_of(Token("as written")), values)
    assert equal_for_equal(values, result)
    assert equal_for_equal(result, values)


def test_spellings_of_one_identity_have_one_address() -> None:
    result = masked(masker_of(Email()), pa.array(["Ann@example.com", " ann@EXAMPLE.com ", "bob@x.org", None]))
    first, second, third, _ = result.to_pylist()
    assert first == second != third
    assert re.fullmatch(r"[0-9a-hjkmnp-tv-z]{16}@masked\.invalid", first)


@pytest.mark.parametrize("length", range(1, 26))
def test_tokens_have_the_length_and_prefix_asked_for(length: int) -> None:
    values = pa.array([f"value {number}" for number in range(50)])
    masker = masker_of(Token("t", length=length, prefix="é$-"))
    for text in masked(masker, values).to_pylist():
        assert text.startswith("é$-")
        assert len(text) == length + 3
        assert set(text[3:]) <= set(ALPHABET)
    assert masker.uniqueness == ("preserved" if length >= 16 else "not_guaranteed")


def test_characters_of_a_token_are_five_bits_of_the_words_each() -> None:
    words = np.array([[0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210]], np.uint64)
    first, second = (int(word) for word in words[0])
    codes = [first >> 5 * place & 31 for place in range(12)]
    codes += [second >> 5 * place & 31 for place in range(12)]
    codes.append(first >> 60 | (second >> 60 & 1) << 4)
    for length in range(1, 26):
        expected = "".join(ALPHABET[code] for code in codes[:length])
        assert token_bytes(words, length).tobytes().decode() == expected


def test_digits_are_the_last_ones_of_the_first_word() -> None:
    words = np.array([[2**64 - 1, 0], [5, 1]], np.uint64)
    assert [row.tobytes().decode() for row in decimals(words, 12)] == ["073709551615", "000000000005"]


def test_no_two_of_many_addresses_are_alike() -> None:
    values = pa.array([f"first.last{number}@example.com" for number in range(100_000)])
    assert len(masked(masker_of(Email()), values).unique()) == 100_000


def test_every_character_of_the_alphabet_occurs_in_every_place() -> None:
    values = pa.array([str(number) for number in range(2000)])
    texts = masked(masker_of(Token("t", length=25)), values).to_pylist()
    for place in range(25):
        assert {text[place] for text in texts} == set(ALPHABET)


def test_telephone_numbers_are_of_no_country() -> None:
    masker = masker_of(Phone(digits=12))
    result = masked(masker, pa.array(["+49 30 1234", None])).to_pylist()
    assert re.fullmatch(r"\+999[0-9]{12}", result[0])
    assert masker.uniqueness == "not_guaranteed"


@pytest.mark.parametrize("rule", [Token("t", prefix="t."), Email(), Phone()], ids=str)
def test_raw_values_do_not_fit(rule: Rule) -> None:
    raw = ["ann@example.com", "+49301234567", "t.", "txabcdefghjkmnpqrs", "", "\n", None]
    assert masker_of(rule).fits(pa.array(raw)).to_pylist() == [False] * 6 + [None]


def test_what_is_masked_fits_in_full_only() -> None:
    email = masker_of(Email())
    made = masked(email, pa.array(["a"])).to_pylist()[0]
    others = [made + "\n", " " + made, made.upper(), made.replace(".", "x"), f"{made}\n{made}"]
    assert email.fits(pa.array(others)).to_pylist() == [False] * 5


@pytest.mark.parametrize("rule", [Token("n"), Email("n"), Phone("n")], ids=str)
def test_masks_differ_by_key_and_by_namespace(rule: Rule) -> None:
    values = pa.array(["a", "b"])
    here = masked(masker_of(rule), values)
    elsewhere = masked(compiled(BUILDERS, rule, column_of(pa.string()), keys=OTHER_KEYS), values)
    other = masked(masker_of(type(rule)("m")), values)  # type: ignore[call-arg]
    assert len({*here.to_pylist(), *elsewhere.to_pylist(), *other.to_pylist()}) == 6


def test_columns_without_values_are_masked() -> None:
    for rule in (Token("t"), Email(), Phone()):
        for values in (pa.array([], pa.string()), pa.nulls(3, pa.string())):
            assert masked(masker_of(rule), values).equals(values)


@pytest.mark.parametrize(
    "domain", ["masked.invalid", "a.b.test", "x-1.example", "example.com", "mail.example.org", "example.net"]
)
def test_reserved_domains_are_taken(domain: str) -> None:
    result = masked(masker_of(Email(domain=domain)), pa.array(["a"])).to_pylist()
    assert result[0].endswith(f"@{domain}")


@pytest.mark.parametrize(
    "domain",
    [
        *("gmail.com", "example.de", "notexample.com", "invalid", "", ".invalid", "a..test", "A.test"),
        *("a.test.com", "x@y.test", "-a.test", "a b.test", "masked.invalid\n", f"{'a' * 64}.test"),
        f"{'.'.join(['a' * 60] * 5)}.test",
    ],
)
def test_domains_that_may_have_mailboxes_are_refused(domain: str) -> None:
    assert "a reserved domain" in problem(Email(domain=domain))


@pytest.mark.parametrize(
    ("rule", "longest", "words"),
    [
        (Token("t", prefix="cus_"), 19, "Token gives 20 characters, and the column takes 19"),
        (Email(), 30, "Email gives 31 characters"),
        (Phone(), 13, "Phone gives 14 characters"),
        (Token("t", length=26), None, "1 to 25"),
        (Token("t", length=0), None, "1 to 25"),
        (Token("t", prefix="a\n"), None, "printable"),
        (Phone(digits=13), None, "4 to 12"),
        (Phone(digits=3), None, "4 to 12"),
    ],
    ids=str,
)
def test_a_rule_that_gives_what_the_column_cannot_take_is_refused(
    rule: Rule, longest: int | None, words: str
) -> None:
    assert words in problem(rule, longest=longest)


def test_an_output_as_long_as_the_column_takes_is_taken() -> None:
    masker_of(Token("t", prefix="cus_"), longest=20)
    masker_of(Email(), longest=31)
    masker_of(Phone(), longest=14)


@pytest.mark.parametrize("rule", [Token("t"), Email(), Phone()], ids=str)
def test_columns_that_do_not_take_any_text_are_refused(rule: Rule) -> None:
    assert "is for texts" in problem(rule, pa.int64())
    assert "is for texts" in problem(rule, type="uuid")
    assert "enumeration" in problem(rule, type="mood", labels=("sad", "happy"))
