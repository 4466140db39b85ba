"""A team's own function is given values and keyed words, and nothing that it gives is trusted."""

from __future__ import annotations

import sys
import traceback
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from replication_assets.core.masking.families.functions import BUILDERS
from replication_assets.core.masking.prf import Words
from replication_assets.core.masking.rules import PythonRule
from replication_assets.errors import GuardError, PolicyError
from replication_assets_tests.core.masking.single_columns import column_of, compiled, masked, rows_of

SECRET = "ann@corp.com"
VALUES = pa.array([SECRET, None, "bob@corp.com", SECRET])
TEXT = column_of(pa.string(), longest=12)


def numbered(values: pa.Array, words: Words) -> pa.Array:
    names = pa.array([f"user{word:06}" for word in words[:, 0] % np.uint64(10**6)])
    return pc.if_else(values.is_valid(), names, pa.scalar(None, pa.string()))


def raising(values: pa.Array, _: Words) -> pa.Array:
    raise ValueError(f"cannot mask {values[0].as_py()}")


def deep(values: pa.Array, words: Words) -> pa.Array:
    return raising(values, words)


def own(values: pa.Array, _: Words) -> pa.Array:
    return pc.if_else(pc.equal(values, SECRET), "user000001", values)


GIVES: dict[str, Any] = {
    "shorter": lambda values, words: numbered(values, words)[1:],
    "other_type": lambda values, _: pc.binary_length(values),
    "a_list": lambda values, words: numbered(values, words).to_pylist(),
    "for_null": lambda values, words: pc.fill_null(numbered(values, words), "user000000"),
    "null": lambda values, _: pa.nulls(len(values), pa.string()),
    "strange": lambda values, words: pc.utf8_upper(numbered(values, words)),
    "too_long": lambda values, words: pc.binary_join_element_wise(numbered(values, words), "000", ""),
}
here = sys.modules[__name__]
given = ModuleType("functions_given_by_a_team")
given.__dict__.update(GIVES, nothing=5, numbered=numbered)
sys.modules[given.__name__] = given


def rule_of(function: str, output: str = "user[0-9]{6,}", module: ModuleType = here) -> PythonRule:
    return PythonRule(f"{module.__name__}:{function}", output)


def test_a_function_masks_by_the_words_that_it_is_given() -> None:
    masker = compiled(BUILDERS, rule_of("numbered"), TEXT)
    result = masked(masker, VALUES).to_pylist()
    assert result[0] == result[3] != result[2]
    assert result[1] is None
    fits = masker.fits(pa.array(["user000001", SECRET, "xuser000001", "user000001x", "user0000000000", None]))
    assert fits.to_pylist() == [True, False, False, False, False, None]


def test_what_a_function_raises_is_told_by_class_and_line_without_its_words() -> None:
    for name in ("raising", "deep"):
        with pytest.raises(GuardError, match=rf":{name} raised ValueError at line \d+") as refused:
            compiled(BUILDERS, rule_of(name), TEXT).mask(rows_of(it=VALUES))
        told = "".join(traceback.format_exception(refused.value))
        assert SECRET not in told
        assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("shorter", "gave 3 values for 4"),
        ("other_type", "another type"),
        ("a_list", "another type"),
        ("for_null", "values for null, in 1 rows"),
        ("null", "gave null for values, .* in 3 rows"),
        ("strange", "gave 3 values that its output pattern"),
        ("too_long", "gave 3 values .* the column's length"),
    ],
)
def test_what_a_function_gives_is_checked(name: str, reason: str) -> None:
    with pytest.raises(GuardError, match=reason) as refused:
        compiled(BUILDERS, rule_of(name, module=given), TEXT).mask(rows_of(it=VALUES))
    assert SECRET not in str(refused.value)


def test_a_value_that_is_left_as_it_is_stops_the_mask() -> None:
    with pytest.raises(GuardError, match="left 1 values as they are"):
        compiled(BUILDERS, rule_of("own", ".*"), TEXT).mask(rows_of(it=VALUES))


@pytest.mark.parametrize(
    "rule",
    [
        PythonRule("no.such.module:function", ".*"),
        PythonRule("sys", ".*"),
        PythonRule("sys:no_such", ".*"),
        rule_of("nothing", module=given),
        rule_of("numbered", "("),
        rule_of("numbered", "a)|(b"),
    ],
    ids=repr,
)
def test_a_function_that_is_not_there_and_a_pattern_that_is_none_are_refused(rule: PythonRule) -> None:
    with pytest.raises(PolicyError, match="Fix:"):
        compiled(BUILDERS, rule, TEXT)
