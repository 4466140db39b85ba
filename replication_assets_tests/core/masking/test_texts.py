"""Texts are covered, replaced or refilled, and what was not is seen not to fit."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.families.texts import BUILDERS
from replication_assets.core.masking.pools import pool
from replication_assets.core.masking.rules import FreeText, Generalise, Partial, RegexReplace
from replication_assets.errors import GuardError, PolicyError
from replication_assets_tests.core.masking.single_columns import (
    OTHER_KEYS,
    column_of,
    compiled,
    equal_for_equal,
    masked,
    rows_of,
)

TEXT = column_of(pa.string())
TEXTS = st.lists(st.none() | st.text(max_size=12) | st.text("ab*\n-1", max_size=30), max_size=40)


@settings(max_examples=60)
@given(TEXTS, st.integers(0, 3), st.integers(0, 5), st.sampled_from("*x.\\é"))
def test_a_partly_covered_text_shows_its_ends_and_nothing_else(
    values: list[str | None], first: int, last: int, fill: str
) -> None:
    rule = Partial(first=first, last=last, fill=fill)
    result = masked(compiled(BUILDERS, rule, TEXT), pa.array(values, pa.string()))
    for value, shown in zip(values, result.to_pylist(), strict=True):
        if value is None:
            continue
        if len(value) <= 2 * (first + last):
            assert shown == fill * len(value)
        else:
            end = value[len(value) - last :]
            assert shown == value[:first] + fill * (len(value) - first - last) + end


def test_a_text_that_is_not_covered_does_not_fit() -> None:
    fits = compiled(BUILDERS, Partial(), TEXT).fits(
        pa.array(["4111111111111234", "*****1234", "****", "**1234"])
    )
    assert fits.to_pylist() == [False, True, True, False]


def test_matches_are_replaced_and_what_has_none_is_not_let_through() -> None:
    rule = RegexReplace(r"(\w+)@[\w.]+", r"user@masked.invalid", otherwise="gone")
    values = pa.array(["mail ann@corp.com now", "no mail", None, "", "user@masked.invalid"])
    result = masked(compiled(BUILDERS, rule, TEXT), values)
    assert result.to_pylist() == ["mail user@masked.invalid now", "gone", None, "gone", "gone"]
    raw = compiled(BUILDERS, rule, TEXT).fits(pa.array(["mail ann@corp.com now", "", None]))
    assert raw.to_pylist() == [False, False, None]


@settings(max_examples=40)
@given(TEXTS)
def test_a_replaced_text_is_never_its_own_input(values: list[str | None]) -> None:
    rule = RegexReplace(r"(a+)", r"\1", otherwise="!")
    result = masked(compiled(BUILDERS, rule, TEXT), pa.array(values, pa.string()))
    assert {*result.drop_null().to_pylist()} <= {"!"}


def test_a_replacement_that_is_longer_than_the_column_stops_the_mask() -> None:
    masker = compiled(BUILDERS, RegexReplace("a", "bcd"), column_of(pa.string(), longest=8))
    assert masker.mask(rows_of(it=pa.array(["aa"]))).to_pylist() == ["bcdbcd"]
    with pytest.raises(GuardError, match="2 values are longer") as refused:
        masker.mask(rows_of(it=pa.array(["aaa", "secret", "aaaa"])))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("by", ["row", "value"])
@settings(max_examples=40)
@given(
    values=st.lists(
        st.none() | st.text(max_size=60) | st.sampled_from(["sed", "s", "odio quam"]), max_size=40
    )
)
def test_free_text_has_words_of_no_meaning_about_as_long_as_its_input(
    values: list[str | None], by: Any
) -> None:
    array = pa.array(values, pa.string())
    result = masked(compiled(BUILDERS, FreeText(longest=40, by=by), TEXT), array)
    words = {*pool("words").entries.to_pylist()}
    for value, text in zip(values, result.to_pylist(), strict=True):
        if value is not None:
            asked = min(len(value), 40)
            assert asked - 13 <= len(text) <= asked
            assert text != value or not value
            assert len(text.split()) < 2 or {*text.split()} <= words
    if by == "value":
        assert equal_for_equal(array, result)


def test_free_text_differs_from_row_to_row_and_from_key_to_key() -> None:
    rows = rows_of(it=pa.array(["x" * 100] * 500))
    texts = compiled(BUILDERS, FreeText(), TEXT).mask(rows)
    others = compiled(BUILDERS, FreeText(), TEXT, keys=OTHER_KEYS).mask(rows)
    assert len(texts.unique()) > 450
    assert pc.sum(pc.equal(texts, others)).as_py() < 10


def test_texts_that_are_filled_in_pieces_are_the_same_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(it=pa.array(["x" * length for length in (0, 1, 300, 5000, 2, 0, 40, 40, 999, 0)]))
    masker = compiled(BUILDERS, FreeText(longest=4000), TEXT)
    at_once = masker.mask(rows)
    for size in (1, 39, 1000):
        monkeypatch.setattr("replication_assets.core.masking.families.filler._BYTES_AT_ONCE", size)
        assert masker.mask(rows).equals(at_once)
    assert 3985 < len(at_once[3].as_py()) <= 4000


def test_free_text_is_no_longer_than_the_column_and_a_raw_text_does_not_fit() -> None:
    masker = compiled(BUILDERS, FreeText(), column_of(pa.string(), longest=20))
    result = masked(masker, pa.array(["x" * 500] * 50))
    assert pc.max(pc.utf8_length(result)).as_py() <= 20
    raw = ["call me at nine", "Sed", "sed  quam", "sed ipsum quam sed ipsum quam", None]
    assert masker.fits(pa.array(raw)).to_pylist() == [False, False, False, False, None]


def test_the_start_of_a_text_is_kept_and_no_more() -> None:
    masker = compiled(BUILDERS, Generalise(prefix=2), TEXT)
    result = masked(masker, pa.array(["81541", "éàü", "a", "", None]))
    assert result.to_pylist() == ["81", "éà", "a", "", None]
    assert masker.fits(pa.array(["815", "81"])).to_pylist() == [False, True]


@pytest.mark.parametrize(
    ("rule", "column"),
    [
        (Partial(fill=""), TEXT),
        (Partial(fill="ab"), TEXT),
        (Partial(first=-1), TEXT),
        (Partial(last=1000), TEXT),
        (Partial(), column_of(pa.int64())),
        (Partial(), column_of(pa.string(), type="jsonb")),
        (RegexReplace("(", ""), TEXT),
        (RegexReplace("a)(b", ""), TEXT),
        (RegexReplace("a", r"\1"), TEXT),
        (RegexReplace("(?<=a)b", ""), TEXT),
        (RegexReplace("a*", "x"), TEXT),
        (RegexReplace("a", "x", otherwise="toolong"), column_of(pa.string(), longest=3)),
        (FreeText(longest=0), TEXT),
        (FreeText(), column_of(pa.binary())),
    ],
    ids=repr,
)
def test_a_rule_that_does_not_fit_its_column_is_refused(rule: Any, column: Any) -> None:
    with pytest.raises(PolicyError, match="Fix:"):
        compiled(BUILDERS, rule, column)
