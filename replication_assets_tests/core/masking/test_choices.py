"""Chosen values are those that the policy names, as often as it says."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.families.choices import BUILDERS
from replication_assets.core.masking.rules import Choice
from replication_assets.errors import PolicyError
from replication_assets_tests.core.masking.single_columns import (
    column_of,
    compiled,
    equal_for_equal,
    masked,
)

TEXT = column_of(pa.string())


@settings(max_examples=30)
@given(
    values=st.lists(st.none() | st.text(max_size=5), max_size=50),
    named=st.lists(st.text(max_size=5), min_size=1, max_size=5),
    by=st.sampled_from(["row", "value"]),
)
def test_every_value_is_one_that_was_named(values: list[str | None], named: list[str], by: Any) -> None:
    array = pa.array(values, pa.string())
    result = masked(compiled(BUILDERS, Choice(named, by=by), TEXT), array)
    assert {*result.drop_null().to_pylist()} <= {*named}
    if by == "value":
        assert equal_for_equal(array, result)


def test_values_come_evenly_or_by_their_weights() -> None:
    rows = pa.array([0] * 20_000, pa.int64())
    column = column_of(pa.int64())
    counts = masked(compiled(BUILDERS, Choice([1, 2, 3, 4]), column), rows).value_counts().to_pylist()
    assert all(abs(each["counts"] - 5000) < 300 for each in counts)
    weighted = compiled(BUILDERS, Choice([1, 2, 3], weights=[9, 0, 1]), column)
    found = {each["values"]: each["counts"] for each in masked(weighted, rows).value_counts().to_pylist()}
    assert {*found} == {1, 3}
    assert abs(found[1] - 18_000) < 300
    assert weighted.fits(pa.array([1, 2, 3, 4, None])).to_pylist() == [True, False, True, False, None]


MOOD = column_of(pa.string(), type="mood", labels=("sad", "ok"))


def test_labels_of_an_enumeration_are_chosen_from() -> None:
    masker = compiled(BUILDERS, Choice(["sad", "ok"]), MOOD)
    assert {*masked(masker, pa.array(["ok"] * 100)).to_pylist()} == {"sad", "ok"}


@pytest.mark.parametrize(
    ("rule", "column"),
    [
        (Choice([]), TEXT),
        (Choice(["a"], weights=[1, 2]), TEXT),
        (Choice(["a", "b"], weights=[0, 0]), TEXT),
        (Choice(["a", "b"], weights=[2, -1]), TEXT),
        (Choice(["a", "b"], weights=[float("nan"), 1]), TEXT),
        (Choice(["sad", "happy"]), MOOD),
        (Choice(["1", "a"]), column_of(pa.int32())),
        (Choice(["toolong"]), column_of(pa.string(), longest=3)),
    ],
    ids=repr,
)
def test_a_choice_that_the_column_cannot_hold_is_refused(rule: Choice, column: Any) -> None:
    with pytest.raises(PolicyError, match="Fix:"):
        compiled(BUILDERS, rule, column)
