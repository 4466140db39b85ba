"""Texts become exactly the values they spell, or stay texts: never something near."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.envelopes.types import spelled_column
from replication_assets.core.landed.values import from_parquet, from_texts, parquet_column


def stored(declared: str, *texts: str | None) -> list[tuple[object, str | None]]:
    typed, odd = from_texts(spelled_column(f"c {declared}"), pa.array(texts, pa.string()))
    return list(
        zip(typed.to_pylist(), odd.to_pylist() if odd is not None else [None] * len(texts), strict=True)
    )


@settings(max_examples=150)
@given(st.integers(-(2**70), 2**70))
def test_integers_are_exact_or_text(value: int) -> None:
    fits = -(2**63) <= value < 2**63
    assert stored("bigint", "1", str(value)) == [(1, None), (value, None) if fits else (None, str(value))]


@settings(max_examples=150)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**7), max_value=10**7, places=4))
def test_decimals_are_exact_or_text(value: Decimal) -> None:
    text = f"{value:f}"
    fits = value == round(value, 2) and abs(value) < 10**6
    assert stored("numeric(8,2)", text) == [(value, None) if fits else (None, text)]


@settings(max_examples=150)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_what_their_shortest_text_says(value: float) -> None:
    ((found, odd),) = stored("double precision", repr(value))
    assert odd is None
    assert found == value
    assert math.copysign(1, float(str(found))) == math.copysign(1, value)


@settings(max_examples=100)
@given(st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)))
def test_times_are_exact_and_in_utc(value: dt.datetime) -> None:
    text = value.isoformat(" ", "microseconds")
    assert stored("timestamp", text) == [(value, None)]
    assert stored("timestamptz", text) == [(value.replace(tzinfo=dt.UTC), None)]


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ("bigint", "1.0000000000000000000001"),
        ("bigint", "٣"),
        ("bigint", " 1"),
        ("bigint", "01"),
        ("bigint", ""),
        ("numeric(4,2)", "100.00"),
        ("double precision", "1e999"),
        ("double precision", "0x1p3"),
        ("date", "2026-02-30"),
        ("date", "26-02-03"),
        ("timestamp", "2026-11-21 12:00:00.1234567"),
        ("timestamp", "2026-11-21 25:00:00"),
        ("boolean", "TRUE?"),
        ("bytea", "0"),
    ],
)
def test_what_does_not_fit_stays_text_and_spoils_no_other(declared: str, text: str) -> None:
    found = stored(declared, None, text)
    assert found == [(None, None), (None, text)]


def test_one_impossible_date_leaves_the_others() -> None:
    assert stored("date", "2026-01-31", "2026-02-31") == [(dt.date(2026, 1, 31), None), (None, "2026-02-31")]


@pytest.mark.parametrize(
    ("values", "stored_type"),
    [
        (pa.array([1], pa.uint8()), pa.int64()),
        (pa.array([2**64 - 1], pa.uint64()), pa.decimal128(20, 0)),
        (pa.array([1.5], pa.float32()), pa.float64()),
        (pa.array([dt.datetime(2026, 1, 1)], pa.timestamp("ms")), pa.timestamp("us")),
        (pa.array([dt.date(2026, 1, 1)]), pa.date32()),
        (pa.array([True]), pa.bool_()),
        (pa.array([Decimal("1.10")]), pa.decimal128(3, 2)),
    ],
)
def test_types_of_parquet_are_kept_exactly(values: pa.Array, stored_type: pa.DataType) -> None:
    column = parquet_column("c", values.type)
    typed, odd = from_parquet(column, values)
    assert (column.arrow, typed.type, odd) == (stored_type, stored_type, None)
    assert typed.to_pylist() == values.to_pylist()


def test_nanoseconds_of_parquet_stay_text() -> None:
    values = pa.array([1, 2000], pa.timestamp("ns"))
    typed, odd = from_parquet(parquet_column("c", values.type), values)
    assert typed.null_count == 1
    assert odd is not None
    assert odd.to_pylist() == ["1970-01-01 00:00:00.000000001", None]


def test_a_declared_type_takes_other_types_of_parquet_through_their_text() -> None:
    typed, odd = from_parquet(spelled_column("c smallint"), pa.array(["7", "x"]))
    assert (typed.to_pylist(), odd.to_pylist() if odd else None) == ([7, None], [None, "x"])
