"""Words are drawn by identity in a namespace, or by row: never by both, and never across families."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from replication_assets.core.masking.families.draws import Draw, draw_for, normalised
from replication_assets.core.masking.masker import Rows, RuleContext
from replication_assets.core.masking.policy import MaskingPolicy, Namespace
from replication_assets.core.masking.rules import By
from replication_assets_tests.core.masking.single_columns import KEYS, OTHER_KEYS, column_of, rows_of


def draw(
    arrow: pa.DataType = pa.string(),  # noqa: B008  # a value
    *,
    purpose: str = "token",
    namespace: str = "customer",
    by: By = "value",
    lane: str | None = None,
    name: str = "it",
    other_key: bool = False,
) -> Draw:
    policy = MaskingPolicy("p", namespaces=[Namespace("as written", normalise=())])
    keys = OTHER_KEYS if other_key else KEYS
    context = RuleContext(keys, policy, ("id",), {})
    return draw_for(purpose, namespace, column_of(arrow, name), context, by=by, lane=lane)


def test_spellings_that_a_namespace_makes_equal_have_the_same_words() -> None:
    values = pa.array(["Ann@Example.com", " ann@example.COM\u00a0", "ann@example.com"])
    words = draw().words(rows_of(it=values))
    assert (words == words[0]).all()
    assert not (draw(namespace="as written").words(rows_of(it=values))[0] == words[0]).any()


@pytest.mark.parametrize("other", ["purpose", "namespace", "key"])
def test_another_purpose_namespace_or_key_gives_other_words(other: str) -> None:
    rows = rows_of(it=pa.array(["a", "b"]))
    different = {
        "purpose": draw(purpose="email"),
        "namespace": draw(namespace="supplier"),
        "key": draw(other_key=True),
    }[other]
    assert not (draw().words(rows) == different.words(rows)).any()


def test_equal_integers_have_equal_words_whatever_their_width() -> None:
    narrow, wide = pa.array([7, None, -1], pa.int16()), pa.array([7, None, -1], pa.int64())
    first = draw(pa.int16()).words(rows_of(it=narrow))
    assert np.array_equal(first, draw(pa.int64()).words(rows_of(it=wide)))


def test_a_draw_by_row_does_not_read_its_column() -> None:
    by_row = draw(by="row")
    assert (by_row.reads, by_row.draws_by_row) == ((), True)
    rows = Rows(pa.RecordBatch.from_arrays([pa.array([1, 2, 3])], ["id"]), ("id",))
    assert len(np.unique(by_row.words(rows))) == 6


def test_a_draw_by_value_does_not_need_the_row() -> None:
    by_value = draw()
    assert (by_value.reads, by_value.draws_by_row) == (("it",), False)
    same = by_value.words(rows_of(it=pa.array(["a", "a"])))
    assert np.array_equal(same[0], same[1])


def test_columns_of_a_row_are_drawn_apart_unless_they_share_a_lane() -> None:
    rows = rows_of(it=pa.array(["a", "b"]))
    first, second = draw(by="row", name="first"), draw(by="row", name="second")
    assert not (first.words(rows) == second.words(rows)).any()
    shared = [draw(by="row", name=name, lane="address").words(rows) for name in ("first", "second")]
    assert np.array_equal(*shared)


def test_texts_are_composed_trimmed_and_folded_in_the_order_given() -> None:
    texts = pa.array(["E\u0301", "  x\t", "ΑΣ", "ας", "\u017f", "ß", None, ""])
    folded = normalised(texts, ("nfc", "trim", "casefold")).to_pylist()
    assert folded == ["é", "x", "\u03b1\u03c3", "\u03b1\u03c3", "s", "ß", None, ""]
    assert normalised(texts, ()).equals(texts)
    assert normalised(texts, ("trim",)).to_pylist()[0] == "E\u0301"


def test_ascii_texts_fold_as_they_do_among_others() -> None:
    ascii_only = [chr(code) + "A" for code in range(128)]
    alone = normalised(pa.array(ascii_only), ("nfc", "trim", "casefold"))
    among = normalised(pa.array([*ascii_only, "é"]), ("nfc", "trim", "casefold"))
    assert among[:-1].equals(alone)


@pytest.mark.parametrize("texts", [[], [None], ["a", None]])
def test_columns_of_few_or_no_texts_are_normalised(texts: list[str | None]) -> None:
    assert normalised(pa.array(texts, pa.string()), ("nfc", "trim", "casefold")).to_pylist() == texts


def test_a_form_or_draw_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="no such form"):
        normalised(pa.array(["a"]), ("rot13",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no such draw"):
        draw(by="column")  # type: ignore[arg-type]
