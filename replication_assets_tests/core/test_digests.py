"""Digests tell different multisets of rows apart, and nothing else."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.digests import (
    NOTHING,
    Digest,
    comparable,
    digest_of,
    digests_by,
    restored,
)
from replication_assets.core.sql import Spill, engine
from replication_assets.errors import NeedsReload

COLUMNS = pa.schema(
    [
        pa.field("a", pa.string()),
        pa.field("A", pa.string()),
        pa.field("n", pa.int64()),
        pa.field("f", pa.float64()),
        pa.field("r", pa.float32()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("day", pa.date32()),
        pa.field("d", pa.decimal128(4, 4)),
        pa.field("b", pa.binary()),
        pa.field("t", pa.bool_()),
    ]
)
Row = tuple[Any, ...]
TEXTS = st.none() | st.text(alphabet="a|:1\0é", max_size=4) | st.sampled_from(["é" * 64, "é" * 65, "x" * 300])
STAMPS = [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, 0, 0, 0, 1, dt.UTC)]
ROWS = st.tuples(
    TEXTS,
    TEXTS,
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.sampled_from([0.0, -0.0, math.nan, -math.nan, math.inf, 1.5]),
    st.none() | st.sampled_from([0.0, -0.0, math.nan, -math.inf]),
    st.none() | st.sampled_from(STAMPS),
    st.none() | st.sampled_from([dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    st.none() | st.sampled_from([decimal.Decimal("0.0001"), decimal.Decimal("-0.9999"), decimal.Decimal(0)]),
    st.none() | st.sampled_from([b"", b"\x00", b"y" * 128, b"y" * 129]),
    st.none() | st.booleans(),
)


def table(rows: Sequence[Row]) -> pa.Table:
    columns = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(COLUMNS)]
    return pa.Table.from_arrays(columns, schema=COLUMNS)


ENGINE = duckdb.connect()


def digest(rows: Sequence[Row]) -> Digest:
    return digest_of(ENGINE, table(rows).to_batches(3), COLUMNS)


def same(row: Row) -> str:
    """Rows with the same text are the same row; all NaNs are one value."""
    return repr(tuple("nan" if isinstance(v, float) and math.isnan(v) else v for v in row))


@settings(max_examples=60)
@given(st.lists(ROWS, max_size=8), st.lists(ROWS, max_size=8), st.randoms())
def test_digests_are_equal_exactly_where_the_multisets_are(
    left: list[Row], right: list[Row], shuffle: random.Random
) -> None:
    shuffled = list(left)
    shuffle.shuffle(shuffled)
    assert digest(shuffled) == digest(left)
    assert (digest(left) == digest(right)) == (sorted(map(same, left)) == sorted(map(same, right)))
    assert digest([*left, *right]) == digest(left) + digest(right)


@settings(max_examples=100)
@given(ROWS, ROWS)
def test_two_rows_have_one_checksum_only_if_they_are_equal(left: Row, right: Row) -> None:
    assert (digest([left]) == digest([right])) == (same(left) == same(right))


@given(ROWS)
def test_comparable_values_turn_back_into_what_they_were(row: Row) -> None:
    for column in table([row, row[:3] + (None,) * 7, row]).columns:
        values = column.combine_chunks()
        back = restored(comparable(values), values.type)
        assert list(map(repr, back.to_pylist())) == [
            r.replace("-nan", "nan") for r in map(repr, values.to_pylist())
        ]
        sliced = restored(comparable(values.slice(1)), values.type)
        assert list(map(repr, sliced.to_pylist())) == list(map(repr, back.slice(1).to_pylist()))


def test_digests_are_told_by_a_column() -> None:
    rows = [("x", None, i, None, None, None, None, None, None, None) for i in range(4)]
    grouped = table(rows).append_column("_id_range", pa.array(["r1", None, "r1", "r2"]))
    with engine(Spill()) as connection:
        found = digests_by(connection, grouped.to_batches(), COLUMNS, "_id_range")
    assert found == {"r1": digest([rows[0], rows[2]]), None: digest(rows[1:2]), "r2": digest(rows[3:])}


def test_no_rows_have_the_digest_of_nothing() -> None:
    assert digest([]) == NOTHING


def test_what_the_rows_raise_is_raised() -> None:
    def rows() -> Iterator[pa.RecordBatch]:
        yield from table([(None,) * 10]).to_batches()
        raise NeedsReload("a column is not known", fix="load it")

    with engine(Spill()) as connection, pytest.raises(NeedsReload, match="not known"):
        digest_of(connection, rows(), COLUMNS)
