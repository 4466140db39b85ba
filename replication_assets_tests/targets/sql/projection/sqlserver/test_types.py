"""Every stored type through the statements of SQL Server, and values as they are handed over."""

from __future__ import annotations

import decimal
import math

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import TargetError
from replication_assets.targets.sql.projection.arriving import too_long
from replication_assets.targets.sql.projection.layout import Layout, Place
from replication_assets.targets.sql.projection.sqlserver import SqlServerDatabase, rows
from replication_assets.targets.sql.projection.sqlserver.types import key_share
from replication_assets_tests.contracts.projection_target import A, apply, at, changes, fill, holds, row
from replication_assets_tests.targets.sql.projection.engines import Places
from replication_assets_tests.targets.sql.projection.sqlserver.translated import (
    TranslatedPlace,
    TranslatedServer,
)
from replication_assets_tests.targets.sql.projection.test_types import (
    decimals,
    test_a_row_that_is_too_long_takes_its_older_self_along,
    test_a_type_that_no_engine_is_given_is_refused_by_the_name_of_its_column,
    test_any_values_come_back,
    test_hostile_names_are_names,
    test_names_that_are_ours_or_fold_alike_are_refused,
    test_rows_without_a_key_that_the_engine_can_have_are_refused_and_the_others_written,
    test_smallest_greatest_empty_and_odd_values_come_back,
    test_what_the_engine_cannot_hold_stands_beside_its_column_by_name,
)

__all__ = [
    "test_a_row_that_is_too_long_takes_its_older_self_along",
    "test_a_type_that_no_engine_is_given_is_refused_by_the_name_of_its_column",
    "test_any_values_come_back",
    "test_hostile_names_are_names",
    "test_names_that_are_ours_or_fold_alike_are_refused",
    "test_rows_without_a_key_that_the_engine_can_have_are_refused_and_the_others_written",
    "test_smallest_greatest_empty_and_odd_values_come_back",
    "test_what_the_engine_cannot_hold_stands_beside_its_column_by_name",
]

DATABASE = SqlServerDatabase(TranslatedServer())
WORDS = TableSchema(
    (Column("word", "text", pa.string()), Column("raw", "bytea", pa.binary())), ("word", "raw")
)


@pytest.fixture
def places() -> Places:
    server = TranslatedServer()
    return lambda table: TranslatedPlace(server, table)


@given(st.lists(st.none() | decimals(38, 38), max_size=5), st.lists(decimals(20, 10), max_size=5))
def test_decimals_are_digits_without_an_exponent(
    fine: list[decimal.Decimal | None], money: list[decimal.Decimal]
) -> None:
    for values, kind in ((fine, pa.decimal128(38, 38)), (money, pa.decimal128(20, 10))):
        given_values = pa.array([None, *values], kind).slice(1)
        texts = rows.decimal_text(given_values).to_pylist()
        assert not any(text is not None and "E" in text for text in texts)
        assert [None if text is None else decimal.Decimal(text) for text in texts] == given_values.to_pylist()


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_a_float_is_two_whole_numbers_whose_every_step_back_is_exact(values: list[float | None]) -> None:
    given_values = pa.array(values, pa.float64())
    lost = DATABASE.unheld(given_values, Column("f", "double precision", pa.float64()))
    kept = given_values if lost is None else given_values.filter(pc.invert(lost))
    whole, exponent = (each.to_pylist() for each in rows.parts_of(kept))
    for value, m, e in zip(kept.to_pylist(), whole, exponent, strict=True):
        if value is None:
            assert m is e is None
            continue
        half = int(e / 2)  # Division of whole numbers goes towards zero there.
        first, second = math.ldexp(1.0, half), math.ldexp(1.0, e - half)
        assert all(np.finfo(np.float64).tiny <= power < math.inf for power in (first, second))
        assert abs(m) < 2**53 + 1
        assert repr(m * first * second) == repr(value)


@pytest.mark.parametrize(
    ("kind", "odd"),
    [
        (pa.float64(), [math.nan, math.inf, -0.0, 5e-324, 2.2e-308]),
        (pa.float32(), [math.nan, -math.inf, -0.0, 1e-45, 1.1e-38]),
    ],
    ids=str,
)
def test_what_no_float_of_the_server_is_stands_beside_it(kind: pa.DataType, odd: list[float]) -> None:
    values = pa.array([1.5, None, 0.0, *odd], kind)
    lost = DATABASE.unheld(values, Column("f", "f", kind))
    assert lost is not None
    assert lost.to_pylist() == [False, False, False, *([True] * len(odd))]


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=5), st.integers(1, 40)
)
def test_pieces_are_bounded_and_hold_every_row_once(words: list[str], most: int) -> None:
    batch = pa.record_batch({"w": pa.array(words, pa.string()), "n": pa.array(range(len(words)))})
    bound, rows.PIECE_BYTES = rows.PIECE_BYTES, most
    try:
        pieces = [orjson.loads(each) for each in rows.pieces(batch)]
    finally:
        rows.PIECE_BYTES = bound
    assert [tuple(one) for piece in pieces for one in piece] == list(
        zip(words, range(len(words)), strict=True)
    )
    assert all(len(piece) == 1 or 32 * len(piece) <= most for piece in pieces)


def test_keys_that_differ_in_their_end_alone_are_two(places: Places) -> None:
    """A comparison on the server pads: the lengths are part of the key, and of every comparison of keys."""
    place = places(TableId("shop", "public", "padded"))
    first, second = row(at(5), word="a", raw=b"\0"), row(at(5), word="a ", raw=b"\0")
    third = row(at(5), word="a", raw=b"\0\0")
    fill(place.target, [first, second, third], at(5), schema=WORDS)
    apply(place.target, changes((), [row(at(6, 1), word="a", raw=b"\0")], WORDS), at(6, 1), schema=WORDS)
    holds(place, [second, third], A, WORDS)
    assert isinstance(place, TranslatedPlace)
    made = next(each for each in place.server.sent if each.startswith("CREATE TABLE [public].[padded]"))
    assert "[_key_length_1] AS DATALENGTH([word]) PERSISTED NOT NULL" in made
    assert "PRIMARY KEY NONCLUSTERED ([word], [raw], [_key_length_1], [_key_length_2])" in made
    merges = [each for each in place.server.sent if each.startswith("DELETE t")]
    assert merges
    assert all("[t].[_key_length_2] = [s].[_key_length_2]" in each for each in merges)


def test_a_key_is_measured_as_the_server_does() -> None:
    layout = Layout(Place("public", "t"), WORDS)
    share = key_share(layout)
    limits = DATABASE.longest_key(layout)
    assert 2 * share <= 1_700 - 16
    texts = ["é" * (share // 2), "\U0001f600" * (share // 4), "x" * (share // 2 + 1)]
    texts.append("\U0001f600" * (share // 4) + "xx")
    batch = pa.record_batch({"word": texts, "raw": pa.array([b"x" * share] * 4)})
    assert too_long(batch, WORDS.key, limits).tolist() == [False, False, True, True]


def test_a_column_that_came_as_another_type_is_refused_by_name() -> None:
    given_batch = pa.record_batch({"c0": pa.array([1], pa.int64())})
    with pytest.raises(TargetError, match="column 'day' came as int64 instead of date32"):
        rows.from_driver(given_batch, pa.schema([pa.field("day", pa.date32())]), "t")


def test_names_of_lengths_are_not_free(places: Places) -> None:
    taken = TableSchema(
        (Column("id", "bigint", pa.int64()), Column("_Key_Length_1", "text", pa.string())), ("id",)
    )
    with pytest.raises(TargetError, match="_Key_Length_1"):
        fill(places(TableId("shop", "public", "t")).target, [], at(5), schema=taken)
    with pytest.raises(TargetError, match="into"):
        fill(places(TableId("shop", "sys", "t")).target, [], at(5))
