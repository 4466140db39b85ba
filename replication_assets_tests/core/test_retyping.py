"""Columns in another type: a value comes out as it was, or is told not to fit."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.expressions.evaluation import fitted
from replication_assets.core.retyping import can_be, retyped
from replication_assets.core.shape_specs import type_of

D = Decimal
MIDNIGHT, NOON = dt.datetime(2024, 1, 2), dt.datetime(2024, 1, 2, 12, 0, 0, 1)
US, UTC = pa.timestamp("us"), pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("kind", "values", "to", "expected"),
    [
        (pa.int64(), [1, -128, 128, None], "int1", [1, -128, "no", None]),
        (pa.int64(), [0, -1, 2**63 - 1], "uint8", [D(0), "no", D(2**63 - 1)]),
        (pa.decimal128(20, 0), [D(2**63), D(-(2**63))], "int8", ["no", -(2**63)]),
        (pa.decimal128(38, 10), [D("7.0"), D("7.5")], "int4", [7, "no"]),
        (pa.decimal128(38, 10), [D("1.25"), D("1.255"), D("1000")], "numeric(5, 2)", [D("1.25"), "no", "no"]),
        (pa.decimal128(38, 0), [D("9" * 38), D(1)], "numeric(38, 0)", [D("9" * 38), D(1)]),
        (pa.decimal128(38, 1), [D("9" * 36 + ".0"), D("0.5")], "numeric(37, 0)", [D("9" * 36), "no"]),
        (pa.int64(), [12, 1000], "numeric(4, 2)", [D("12.00"), "no"]),
        (pa.bool_(), [True, False, None], "int2", [1, 0, None]),
        (pa.bool_(), [True], "numeric(1)", [D(1)]),
        (pa.int64(), [0, 1, 2], "boolean", [False, True, "no"]),
        (pa.int64(), [2**53, 2**53 + 1], "real8", [2.0**53, "no"]),
        (pa.decimal128(38, 20), [D("0.1"), D("0.12345678901234567890")], "real8", [0.1, "no"]),
        (pa.float64(), [1.5, 0.1, float("nan")], "numeric(10, 2)", [D("1.50"), D("0.10"), "no"]),
        (pa.float64(), [3.0, 3.5, float("inf")], "int8", [3, "no", "no"]),
        (US, [MIDNIGHT, NOON, None], "date", [MIDNIGHT.date(), "no", None]),
        (UTC, [NOON.replace(tzinfo=dt.UTC)], "datetime", [NOON]),
        (pa.date32(), [MIDNIGHT.date()], "datetime", [MIDNIGHT]),
        (pa.decimal128(12, 2), [D("2.50"), D("-1000000"), None], "string(5)", ["2.50", "no", None]),
        (pa.decimal128(38, 20), [D("1E-20")], "string", ["0.00000000000000000001"]),
        (US, [NOON], "string", ["2024-01-02T12:00:00.000001"]),
        (pa.string(), ["abc", "abcd", None], "string(3)", ["abc", "no", None]),
        (pa.string(), ["12", "1.5", "x", ""], "int8", [12, "no", "no", "no"]),
        (
            pa.string(),
            ["01", "+1", "1e0", "1_0", " 1", "1 ", "\uff11", "\u0663", "0e9999999999"],
            "int8",
            [1, 1, 1, *["no"] * 6],
        ),
        (
            pa.string(),
            ["1_000.5", "1000.5", ".5", "5."],
            "numeric(6, 2)",
            ["no", D("1000.50"), D("0.5"), D(5)],
        ),
        (pa.string(), ["1_0", "1e400", "1e2"], "real8", ["no", "no", 100.0]),
        (
            pa.string(),
            ["2024-01-02 00:00:00.1234567", "2024-W01-2", "20240102", "2024-01-02T12"],
            "datetime",
            ["no"] * 4,
        ),
        (
            pa.string(),
            ["2024-01-02T12:00:00.000001Z", "0001-01-01T00:00:00+02:00", "2024-01-02"],
            "datetime",
            [NOON, "no", MIDNIGHT],
        ),
        (
            pa.string(),
            ["2024-W01-2", "\uff12\uff10\uff12\uff14-01-02", "2024-1-02", "20240102"],
            "date",
            ["no"] * 4,
        ),
        (pa.string(), ["0.1", "0.10000000000000000001", "nan", "x"], "real8", [0.1, "no", "no", "no"]),
        (pa.string(), ["2024-01-02", "2024-01-02 03:04:05"], "date", [MIDNIGHT.date(), "no"]),
        (pa.string(), ["2024-01-02T14:00:00.000001+02:00", "x"], "datetime", [NOON, "no"]),
        (pa.binary(), [b"ab", b"abc"], "bytes(2)", [b"ab", "no"]),
        (pa.binary(), [b"ab", b"\xff"], "string", ["ab", "no"]),
        (pa.string(), ["ab"], "blob", [b"ab"]),
    ],
)
def test_values_are_what_they_were_or_do_not_fit(
    kind: pa.DataType, values: list[Any], to: str, expected: list[Any]
) -> None:
    array, misfits = retyped(pa.array(values, kind), type_of(to))
    found = ["no" if misfit else value for value, misfit in zip(array.to_pylist(), misfits, strict=True)]
    assert found == expected
    assert not any(value is not None for value, lost in zip(array.to_pylist(), misfits, strict=True) if lost)


KEYS = {
    "int8": (["1", "-1", "0"], ["01", " 1", "+1", "1.0", "1e0", "\uff11", "-0"]),
    "uint8": (["18446744073709551615"], ["018446744073709551615", "+1"]),
    "numeric(5, 2)": (["1.50", "0.00"], ["1.5", "1.500", "01.50", "-0.00", "15e-1"]),
    "real8": (["0.1", "100", "0"], ["0.10", ".1", "1e2", "-0", "-0.0"]),
    "boolean": (["true", "false"], ["t", "1", "True", "f", "0"]),
    "date": (["2024-01-02"], ["2024-01-02 00:00:00", "2024-W01-2"]),
    "datetime": (
        ["2024-01-02T12:00:00.000001", "2024-01-02T12:00:00.000000"],
        [
            "2024-01-02 12:00:00.000000",
            "2024-01-02T12:00:00",
            "2024-01-02T12:00",
            "2024-01-02T14:00:00+02:00",
        ],
    ),
    "string(3)": (["1", "01", " 1"], ["long"]),
    "blob": (["1", "01", " 1"], []),
}


@pytest.mark.parametrize("to", KEYS)
def test_texts_of_a_key_are_read_in_one_spelling_alone(to: str) -> None:
    kept, refused = KEYS[to]
    array, misfits = retyped(pa.array([*kept, *refused, None]), type_of(to), one_to_one=True)
    assert misfits.tolist() == [False] * len(kept) + [True] * len(refused) + [False]
    assert array.null_count == len(refused) + 1
    assert array.type == retyped(pa.array(kept), type_of(to))[0].type


spellings = st.from_regex(r"[-+ ]?[0_\uff11]?[0-9]{1,2}(\.[0-9]{0,3})?(e[0-2])?|t(rue)?|f", fullmatch=True)
moments = st.from_regex(r"2024-01-0[12]([ T]0[0-2]:00(:00(\.0{1,7})?)?(Z|[+]0[12]:?00)?)?", fullmatch=True)


@given(st.lists(spellings | moments, max_size=12, unique=True))
def test_keys_that_differ_stay_different(texts: list[str]) -> None:
    for to in ("int8", "uint1", "numeric(5, 2)", "real8", "boolean", "date", "datetime"):
        found = retyped(pa.array(texts, pa.string()), type_of(to), one_to_one=True)[0].drop_null().to_pylist()
        assert len(set(found)) == len(found)


@given(st.lists(spellings | moments, max_size=12))
def test_a_text_is_of_a_type_what_an_expression_makes_of_it(texts: list[str]) -> None:
    for to in ("int8", "numeric(5, 2)", "real8", "boolean", "datetime"):
        array, refused = fitted(texts, *type_of(to))
        found, misfits = retyped(pa.array(texts, pa.string()), type_of(to))
        assert found.equals(array)
        assert np.flatnonzero(misfits).tolist() == [at for at, _ in refused]


@given(st.lists(st.decimals(-(10**9), 10**9, places=4), max_size=20))
def test_numbers_go_there_and_back_or_are_told(numbers: list[Decimal]) -> None:
    given_ = pa.array(numbers, pa.decimal128(20, 4))
    for kind in ("numeric(12, 2)", "int4", "real8", "string", "int8"):
        array, misfits = retyped(given_, type_of(kind))
        for number, value, misfit in zip(numbers, array.to_pylist(), misfits, strict=True):
            assert (value is None) if misfit else Decimal(str(value)) == number
            if kind == "string":
                assert not misfit


def test_each_array_of_a_type_has_that_type_also_where_nothing_fits() -> None:
    for to in ("int1", "uint8", "numeric(5, 2)", "real8", "boolean", "date", "datetime", "string", "bytes"):
        texts = [pa.array([], pa.string()), pa.array([None], pa.string()), pa.array(["x"], pa.string())]
        assert len({retyped(each, type_of(to))[0].type for each in texts}) == 1


def test_what_no_value_could_be_is_known_before() -> None:
    assert can_be(pa.string(), type_of("datetime"))
    assert can_be(pa.int64(), type_of("boolean"))
    assert not can_be(US, type_of("int8"))
    assert not can_be(pa.int64(), type_of("date"))
    assert not can_be(pa.float64(), type_of("blob"))
