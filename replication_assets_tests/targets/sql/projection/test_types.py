"""Every stored type, into each engine and back: the value that went in, or a refusal by name."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import TargetError
from replication_assets.ports.target import refuse_loudly
from replication_assets.targets.sql.projection.layout import AS_TEXT
from replication_assets_tests.contracts.projection_target import (
    BASELINE,
    A,
    apply,
    at,
    changes,
    exact,
    fill,
    row,
    table,
)
from replication_assets_tests.targets.sql.projection.engines import Places, places
from replication_assets_tests.targets.sql.projection.places import ORDERS, SqlPlace

__all__ = ["places"]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAIVE = st.datetimes()
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner, max_size=3), max_leaves=4
)


def decimals(precision: int, scale: int) -> st.SearchStrategy[decimal.Decimal]:
    most = 10**precision - 1
    context = decimal.Context(prec=80)
    return st.integers(-most, most).map(lambda n: context.scaleb(decimal.Decimal(n), -scale))


VALUES: Mapping[str, tuple[str, pa.DataType, st.SearchStrategy[Any]]] = {
    "flag": ("boolean", pa.bool_(), st.booleans()),
    "i8": ("tinyint", pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    "i16": ("smallint", pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "i32": ("integer", pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "i64": ("bigint", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "u8": ("tinyint unsigned", pa.uint8(), st.integers(0, 2**8 - 1)),
    "u16": ("smallint unsigned", pa.uint16(), st.integers(0, 2**16 - 1)),
    "u32": ("int unsigned", pa.uint32(), st.integers(0, 2**32 - 1)),
    "u64": ("bigint unsigned", pa.uint64(), st.integers(0, 2**64 - 1)),
    "f32": ("real", pa.float32(), st.floats(width=32)),
    "f64": ("double precision", pa.float64(), st.floats()),
    "whole": ("numeric(38,0)", pa.decimal128(38, 0), decimals(38, 0)),
    "money": ("numeric(20,10)", pa.decimal128(20, 10), decimals(20, 10)),
    "fine": ("numeric(38,38)", pa.decimal128(38, 38), decimals(38, 38)),
    "day": ("date", pa.date32(), st.dates()),
    "at": ("timestamp", pa.timestamp("us"), NAIVE),
    "seen": ("timestamptz", pa.timestamp("us", tz="UTC"), NAIVE.map(lambda t: t.replace(tzinfo=dt.UTC))),
    "words": ("text", pa.string(), TEXTS),
    "long": ("clob", pa.large_string(), TEXTS),
    "raw": ("bytea", pa.binary(), st.binary(max_size=8)),
    "blob": ("blob", pa.large_binary(), st.binary(max_size=8)),
    "uid": ("uuid", pa.string(), st.uuids().map(str) | TEXTS),
    "doc": ("json", pa.string(), JSONS.map(json.dumps)),
    "span": ("interval", pa.string(), TEXTS),
}
SCHEMA = TableSchema(
    (
        Column("id", "bigint", pa.int64()),
        *(Column(name, kind, arrow) for name, (kind, arrow, _) in VALUES.items()),
    ),
    key=("id",),
)
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, _, values) in VALUES.items()}),
    min_size=1,
    max_size=6,
)
EDGES = (
    {
        "i64": -(2**63),
        "u64": 2**64 - 1,
        "f64": math.nan,
        "f32": math.inf,
        "whole": decimal.Decimal("9" * 38),
        "fine": decimal.Decimal("1E-38"),
        "day": dt.date.min,
        "at": dt.datetime(1, 1, 1),
        "seen": dt.datetime.max.replace(tzinfo=dt.UTC),
        "words": "",
        "raw": b"",
        "uid": "NOT-A-UUID",
    },
    {
        "u64": 0,
        "f64": -0.0,
        "f32": -0.0,
        "whole": decimal.Decimal("-" + "9" * 38),
        "money": decimal.Decimal("0.0000000001"),
        "day": dt.date.max,
        "at": dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
        "words": 'q"uo,te\\\r\n\tNULL \x00 \U0001f600',
        "raw": bytes(range(256)),
        "doc": '{"b": 1, "a": 1.50, "nul": "\\u0000"}',
    },
    {"f64": 5e-324, "f32": 1e-45, "words": "NULL", "span": "\\N", "blob": b"\x00", "uid": None},
    {"f64": 1.7976931348623157e308, "f32": -math.inf, "words": "   ", "long": "é" * 5000},
)


def comes_back(place: SqlPlace, rows: list[dict[str, Any]]) -> None:
    """Filled, and as changes of rows that are there."""
    given_rows = [row(at(5), id=number, **values) for number, values in enumerate(rows)]
    wanted = table(given_rows, SCHEMA)
    fill(place.target, given_rows, at(5), schema=SCHEMA)
    found = place.stored(A).select(wanted.column_names)
    assert exact(found.cast(wanted.schema)) == exact(wanted)
    newer = [row(at(6, 1), id=number, **values) for number, values in enumerate(reversed(rows))]
    apply(place.target, changes(newer, schema=SCHEMA), at(6, 1), schema=SCHEMA)
    shown = pa.Table.from_batches(list(place.target.view(SCHEMA).read([A])))
    (imaged,) = place.target.image(SCHEMA, table(newer, SCHEMA).combine_chunks().to_batches())
    assert exact(shown.select(imaged.schema.names)) == exact(pa.table(imaged))


def test_smallest_greatest_empty_and_odd_values_come_back(places: Places) -> None:
    comes_back(places(ORDERS), [dict(each) for each in EDGES])


def test_any_values_come_back(places: Places) -> None:
    place = places(ORDERS)

    @settings(max_examples=15)
    @given(ROWS)
    def run(rows: list[dict[str, Any]]) -> None:
        comes_back(place, rows)

    run()


def test_what_the_engine_cannot_hold_stands_beside_its_column_by_name(places: Places) -> None:
    place = places(ORDERS)
    values = {"f64": math.nan, "words": "nul \x00", "uid": "NO", "i16": 1}
    fill(place.target, [row(at(5), id=1, **values)], at(5), schema=SCHEMA)
    ((texts,),) = place.run(f"SELECT {AS_TEXT} FROM {place.name}")
    assert (
        json.loads(texts)
        == {
            "sqlite": {"f64": "NaN"},
            "postgresql": {"words": "nul \x00", "uid": "NO"},
            "mysql": {"f64": "NaN"},
            "oracle": {"f64": "NaN"},
            "sqlserver": {"f64": "NaN", "words": "nul \x00"},
        }[place.database.engine]
    )


@pytest.mark.parametrize("kind", [pa.time64("us"), pa.decimal256(50, 2), pa.list_(pa.int64())], ids=str)
def test_a_type_that_no_engine_is_given_is_refused_by_the_name_of_its_column(
    places: Places, kind: pa.DataType
) -> None:
    schema = TableSchema((Column("id", "bigint", pa.int64()), Column("odd", "odd", kind)), ("id",))
    with pytest.raises(TargetError, match="column 'odd' is stored as"):
        fill(places(ORDERS).target, [row(at(5), id=1)], at(5), schema=schema)


WORDS = TableSchema((Column("word", "text", pa.string()), Column("big", "text", pa.string())), ("word",))


def test_rows_without_a_key_that_the_engine_can_have_are_refused_and_the_others_written(
    places: Places,
) -> None:
    place = places(ORDERS)
    told: list[Any] = []
    rows = [row(at(5), word=word, big=None) for word in ("a", None, "x" * 4000, "é")]
    place.target.replace(A, WORDS, table(rows, WORDS).to_batches(), BASELINE, at(5), refuse=told.extend)
    refused = [(each.key, each.reason, each.column, each.position) for each in told]
    null = ('{"word":null}', "key-is-null", None, at(5))
    long = (json.dumps({"word": "x" * 4000}, separators=(",", ":")), "key-too-long", None, at(5))
    takes_any = place.database.engine in ("sqlite", "oracle")
    assert refused == [null, *([] if takes_any else [long])]
    kept = {one["word"] for one in place.stored(A).to_pylist()}
    assert kept == {"a", "é", *(["x" * 4000] if takes_any else [])}
    (imaged,) = place.target.image(WORDS, table(rows, WORDS).combine_chunks().to_batches())
    assert set(imaged.column("word").to_pylist()) == kept
    with pytest.raises(TargetError, match="key-is-null"):
        place.target.replace(A, WORDS, table(rows, WORDS).to_batches(), BASELINE, at(5), refuse=refuse_loudly)
    assert {one["word"] for one in place.stored(A).to_pylist()} == kept


def test_a_row_that_is_too_long_takes_its_older_self_along(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places(ORDERS)
    fill(place.target, [row(at(5), word=word, big="b") for word in "ab"], at(5), schema=WORDS)
    monkeypatch.setattr(place.target, "_longest_row", 1_000)
    told: list[Any] = []
    update = changes([row(at(6, 1), word="a", big="B" * 2_000)], schema=WORDS)
    reached = place.target.apply(A, WORDS, update, BASELINE, at(6, 1), refuse=told.extend)
    assert [(each.key, each.reason) for each in told] == [('{"word":"a"}', "row-too-long")]
    assert "B" not in told[0].detail
    assert reached.rows == 1
    assert [one["word"] for one in place.stored(A).to_pylist()] == ["b"]


def test_names_that_are_ours_or_fold_alike_are_refused(places: Places) -> None:
    ours = TableSchema((Column("id", "bigint", pa.int64()), Column("_as_text", "text", pa.string())), ("id",))
    with pytest.raises(TargetError, match="_as_text"):
        fill(places(ORDERS).target, [], at(5), schema=ours)
    alike = TableSchema((Column("id", "bigint", pa.int64()), Column("ID", "bigint", pa.int64())), ("id",))
    place = places(ORDERS)
    if place.database.engine in ("postgresql", "oracle"):
        fill(place.target, [row(at(5), id=1, ID=2)], at(5), schema=alike)
        return
    with pytest.raises(TargetError, match="differ in case alone"):
        fill(place.target, [], at(5), schema=alike)


def test_hostile_names_are_names(places: Places) -> None:
    hostile = TableId("shop", "we\"ird '%s;", "ta\"ble '`%;--")
    schema = TableSchema(
        (Column("i\"d '`%", "bigint", pa.int64()), Column("v\"al '`%s", "text", pa.string())), ("i\"d '`%",)
    )
    place = places(hostile)
    fill(place.target, [row(at(5), **{"i\"d '`%": 1, "v\"al '`%s": "x"})], at(5), schema=schema)
    apply(
        place.target,
        changes([row(at(6, 1), **{"i\"d '`%": 1, "v\"al '`%s": "y"})], schema=schema),
        at(6, 1),
        schema=schema,
    )
    assert place.stored(A)["v\"al '`%s"].to_pylist() == ["y"]
