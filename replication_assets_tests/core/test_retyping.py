"""Columns in another type: a value comes out as it was, or is told not to fit."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
