"""Every stored type through the statements for Oracle, and values as the driver binds them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import oracledb
import pyarrow as pa
import pytest

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import TargetError
from replication_assets.targets.sql.projection.arriving import too_long
from replication_assets.targets.sql.projection.layout import AS_TEXT, Layout, Place
from replication_assets.targets.sql.projection.oracle import OracleDatabase, types
from replication_assets.targets.sql.projection.values import carriers
from replication_assets_tests.contracts.projection_target import (
    BASELINE,
    KEYED,
    A,
    at,
    exact,
    fill,
    holds,
    row,
    table,
)
from replication_assets_tests.targets.sql.projection.engines import Places
from replication_assets_tests.targets.sql.projection.oracle.translated import (
    TranslatedPlace,
    TranslatedServer,
)
from replication_assets_tests.targets.sql.projection.places import ORDERS
from replication_assets_tests.targets.sql.projection.test_types import (
    SCHEMA,
    VALUES,
    test_a_row_that_is_too_long_takes_its_older_self_along,
    test_a_type_that_no_engine_is_given_is_refused_by_the_name_of_its_column,
    test_any_values_come_back,
    test_rows_without_a_key_that_the_engine_can_have_are_refused_and_the_others_written,
    test_smallest_greatest_empty_and_odd_values_come_back,
    test_what_the_engine_cannot_hold_stands_beside_its_column_by_name,
)

__all__ = [
    "test_a_row_that_is_too_long_takes_its_older_self_along",
    "test_a_type_that_no_engine_is_given_is_refused_by_the_name_of_its_column",
    "test_any_values_come_back",
    "test_rows_without_a_key_that_the_engine_can_have_are_refused_and_the_others_written",
    "test_smallest_greatest_empty_and_odd_values_come_back",
    "test_what_the_engine_cannot_hold_stands_beside_its_column_by_name",
]

UTC = pa.timestamp("us", tz="UTC")
WORDS = TableSchema(
    (Column("word", "text", pa.string()), Column("raw", "bytea", pa.binary())), ("word", "raw")
)


@pytest.fixture
def places() -> Places:
    server = TranslatedServer()
    return lambda table: TranslatedPlace(server, table)


def test_empty_texts_and_binaries_stand_beside_their_columns_and_come_back(places: Places) -> None:
    place = places(ORDERS)
    rows = [row(at(5), id=1, words="", raw=b"", blob=b"", long=""), row(at(5), id=2)]
    fill(place.target, rows, at(5), schema=SCHEMA)
    assert place.run(f'SELECT words, raw FROM {place.name} WHERE "{AS_TEXT}" IS NOT NULL') == [(None, None)]
    holds(place, rows, A, SCHEMA)


def test_an_empty_key_is_refused(places: Places) -> None:
    told: list[Any] = []
    rows = table([row(at(5), word="", raw=b"x"), row(at(5), word="a", raw=b"")], WORDS)
    places(ORDERS).target.replace(A, WORDS, rows.to_batches(), BASELINE, at(5), refuse=told.extend)
    assert [each.reason for each in told] == ["key-is-null"] * 2


def test_an_instant_in_the_key_has_no_zone_in_its_column_and_comes_back(places: Places) -> None:
    schema = TableSchema((Column("seen", "timestamptz", UTC), Column("also", "timestamptz", UTC)), ("seen",))
    place = places(ORDERS)
    moment = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)
    rows = [row(at(5), seen=moment, also=moment)]
    fill(place.target, rows, at(5), schema=schema)
    holds(place, rows, A, schema)
    assert isinstance(place, TranslatedPlace)
    made = next(each for each in place.server.sent if each.startswith('CREATE TABLE "public"."orders"'))
    assert '"seen" TIMESTAMP(6),' in made
    assert '"also" TIMESTAMP(6) WITH TIME ZONE,' in made


def test_values_are_bound_in_types_that_the_driver_takes() -> None:
    """It makes its variables of the Arrow types of a data frame."""
    layout = Layout(Place("public", "t"), SCHEMA)
    rows = carriers(layout.rows)
    empty = pa.RecordBatch.from_pylist([], schema=rows)
    bound = types.bound(empty, layout)
    assert len(bound.schema) == len(rows)
    oracledb.from_arrow(pa.Table.from_batches([bound]))
    kinds = dict(zip(rows.names, bound.schema.types, strict=True))
    assert {name: kinds[name] for name in ("flag", "words", "raw", "seen", "_id_range", "whole")} == {
        "flag": pa.int8(),
        "words": pa.large_string(),
        "raw": pa.large_binary(),
        "seen": pa.timestamp("us"),
        "_id_range": pa.string(),
        "whole": pa.decimal128(38, 0),
    }
    assert set(VALUES) <= set(kinds)


def test_keys_are_bounded_by_bytes_that_an_index_takes() -> None:
    layout = Layout(Place("public", "t"), WORDS)
    limits = OracleDatabase(TranslatedServer()).longest_key(layout)
    assert limits.each == {"word": 3_000, "raw": 2_000}
    batch = pa.record_batch({"word": ["é" * 1_500, "é" * 1_501], "raw": pa.array([b"x", b"x"])})
    assert too_long(batch, WORDS.key, limits).tolist() == [False, True]


def test_names_that_oracle_cannot_have_are_refused(places: Places) -> None:
    odd = TableSchema((Column('i"d', "bigint", pa.int64()),), ('i"d',))
    with pytest.raises(TargetError, match="double quote"):
        fill(places(ORDERS).target, [], at(5), schema=odd)
    plain = TableSchema(
        (Column("i'd %:1?", "bigint", pa.int64()), Column("v;--", "text", pa.string())), ("i'd %:1?",)
    )
    place = places(TableId("shop", "public", "ta'ble :new"))
    fill(place.target, [row(at(5), **{"i'd %:1?": 1, "v;--": "x"})], at(5), schema=plain)
    holds(place, [row(at(5), **{"i'd %:1?": 1, "v;--": "x"})], A, plain)


def test_more_ranges_than_a_list_takes_are_read_by_several(places: Places) -> None:
    place = places(ORDERS)
    fill(place.target, [row(at(5), id=1)], at(5), A)
    ranges = [A, *(f"r{number:05}" for number in range(1_000, 2_000))]
    assert [batch.num_rows for batch in place.target.view(KEYED).read(ranges)] == [1]
    assert isinstance(place, TranslatedPlace)
    (read,) = [each for each in place.server.sent if A in each and "r01999" in each]
    assert read.count(" IN (") == 2


def test_a_schema_that_is_not_there_is_told(places: Places) -> None:
    with pytest.raises(TargetError, match="there is no schema 'nobody'"):
        fill(places(TableId("shop", "nobody", "t")).target, [], at(5))


def test_a_column_that_came_as_another_type_is_refused_by_name() -> None:
    given = pa.record_batch({"c0": pa.array([1.5])})
    with pytest.raises(TargetError, match="column 'n' came as double instead of int64"):
        types.from_driver(given, pa.schema([pa.field("n", pa.int64())]), "t")
    assert exact(pa.table(types.from_driver(given, pa.schema([pa.field("n", pa.float64())]), "t"))) != []
