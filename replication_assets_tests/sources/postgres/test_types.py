"""Every type, ordinary and odd, arrives as documented and the same by load and by capture."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.overflow import overflow_json
from replication_assets.core.schema import Column
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import DecodeError
from replication_assets.sources.postgres.connection import PostgresConnection
from replication_assets.sources.postgres.types import Attribute, from_text, resolve_columns
from replication_assets_tests.postgres_servers import fresh_database
from replication_assets_tests.sources.postgres.both_ways import captured, columns_of, loaded, plain
from replication_assets_tests.sources.postgres.conftest import application

UTC = dt.UTC

# (type, SQL literal, stored value, overflow text)
VALUES: list[tuple[str, str, Any, str | None]] = [
    ("boolean", "true", True, None),
    ("boolean", "false", False, None),
    ("smallint", "'-32768'", -32768, None),
    ("integer", "2147483647", 2147483647, None),
    ("bigint", "'-9223372036854775808'", -(2**63), None),
    ("oid", "4294967295", 4294967295, None),
    ("real", "'1e-45'", 1.401298464324817e-45, None),
    ("real", "'-0'", -0.0, None),
    ("real", "'0.1'", 0.10000000149011612, None),
    ("double precision", "'NaN'", float("nan"), None),
    ("double precision", "'-Infinity'", float("-inf"), None),
    ("double precision", "'-0'", -0.0, None),
    ("double precision", "'1.7976931348623157e308'", 1.7976931348623157e308, None),
    ("numeric(10,2)", "-12345678.90", Decimal("-12345678.90"), None),
    ("numeric(10,2)", "'NaN'", None, "NaN"),
    ("numeric(38,0)", "99999999999999999999999999999999999999", Decimal("9" * 38), None),
    ("numeric(38,38)", "0." + "1" * 38, Decimal("0." + "1" * 38), None),
    ("numeric(39,2)", "1.5", "1.50", None),
    ("numeric(5,-2)", "12345", "12300", None),
    ("numeric(3,5)", "0.00123", "0.00123", None),
    ("numeric", "1.5000", "1.5000", None),
    ("numeric", "'NaN'", "NaN", None),
    ("numeric", "'-Infinity'", "-Infinity", None),
    ("numeric", "'" + "9" * 1000 + ".5'", "9" * 1000 + ".5", None),
    ("money", "'-1234.5'", "-$1,234.50", None),
    ("text", "E'a\\\\b\"\\'\\n\\u00e9\\U0001F600'", "a\\b\"'\n\u00e9\U0001f600", None),
    ("text", "''", "", None),
    ("varchar(5)", "'ab '", "ab ", None),
    ("character(5)", "'ab'", "ab   ", None),
    ("bpchar", "'ab  '", "ab  ", None),
    ("name", "'abc'", "abc", None),
    ('"char"', "'x'", "x", None),
    ('"char"', "''", "", None),
    ('"char"', "'\\377'", "\\377", None),
    ("bytea", "'\\x'", b"", None),
    ("bytea", "'\\x00ff5c78'", b"\x00\xff\\x", None),
    (
        "uuid",
        "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        None,
    ),
    ("date", "'2024-02-29'", dt.date(2024, 2, 29), None),
    ("date", "'0001-01-01'", dt.date(1, 1, 1), None),
    ("date", "'9999-12-31'", dt.date(9999, 12, 31), None),
    ("date", "'10000-01-01'", None, "10000-01-01"),
    ("date", "'0001-12-31 BC'", None, "0001-12-31 BC"),
    ("date", "'infinity'", None, "infinity"),
    ("timestamp", "'2024-01-02 03:04:05.6789'", dt.datetime(2024, 1, 2, 3, 4, 5, 678900), None),
    ("timestamp", "'9999-12-31 23:59:59.999999'", dt.datetime(9999, 12, 31, 23, 59, 59, 999999), None),
    ("timestamp(0)", "'2024-01-02 03:04:05.6'", dt.datetime(2024, 1, 2, 3, 4, 6), None),
    ("timestamp", "'infinity'", None, "infinity"),
    ("timestamp", "'-infinity'", None, "-infinity"),
    ("timestamp", "'0044-03-15 12:00:00 BC'", None, "0044-03-15 12:00:00 BC"),
    ("timestamp", "'294276-12-31 23:59:59.999999'", None, "294276-12-31 23:59:59.999999"),
    ("timestamptz", "'2024-01-02 03:04:05+02'", dt.datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC), None),
    ("timestamptz", "'0001-01-01 00:00:00+00'", dt.datetime(1, 1, 1, tzinfo=UTC), None),
    ("timestamptz", "'0001-01-01 00:00:00+01'", None, "0001-12-31 23:00:00+00 BC"),
    ("timestamptz", "'9999-12-31 23:59:59-01'", None, "10000-01-01 00:59:59+00"),
    ("timestamptz", "'infinity'", None, "infinity"),
    ("time", "'24:00'", "24:00:00", None),
    ("timetz", "'24:00+02'", "24:00:00+02", None),
    ("interval", "'1 year -2 days 03:04:05.6'", "1 year -2 days +03:04:05.6", None),
    ("json", "'{\"a\" : null}'", '{"a" : null}', None),
    ("json", "'null'", "null", None),
    ("jsonb", '\'{"b":1, "a": null}\'', '{"a": null, "b": 1}', None),
    ("inet", "'192.168.1.1'", "192.168.1.1", None),
    ("cidr", "'10.0.0.0/8'", "10.0.0.0/8", None),
    ("macaddr", "'08:00:2B:01:02:03'", "08:00:2b:01:02:03", None),
    ("macaddr8", "'08:00:2b:01:02:03:04:05'", "08:00:2b:01:02:03:04:05", None),
    ("point", "'(1.5,-0)'", "(1.5,-0)", None),
    ("box", "'(1,1),(0,0)'", "(1,1),(0,0)", None),
    ("polygon", "'((0,0),(1,1))'", "((0,0),(1,1))", None),
    ("circle", "'<(0,0),1>'", "<(0,0),1>", None),
    ("bit(3)", "B'101'", "101", None),
    ("bit varying", "B''", "", None),
    ("tsvector", "'a:1 b:2'", "'a':1 'b':2", None),
    ("tsquery", "'a & b'", "'a' & 'b'", None),
    ("pg_lsn", "'16/B374D848'", "16/B374D848", None),
    ("xid8", "'18446744073709551615'", "18446744073709551615", None),
    ("tid", "'(1,2)'", "(1,2)", None),
    ("int2vector", "'1 2'", "1 2", None),
    ("regclass", "'pg_class'", "pg_class", None),
    ("regclass", "'public.t0'", "public.t0", None),
    ("int4range", "'[1,5]'", "[1,6)", None),
    ("int4multirange", "'{[1,2),[5,6)}'", "{[1,2),[5,6)}", None),
    ("tstzrange", "'[2024-01-01 00:00+01,)'", '["2023-12-31 23:00:00+00",)', None),
    ("integer[]", "'{1,NULL,3}'", "{1,NULL,3}", None),
    ("integer[]", "'[0:1][-1:0]={{1,2},{3,4}}'", "[0:1][-1:0]={{1,2},{3,4}}", None),
    ("text[]", "ARRAY['a,b', 'null', '', 'q\"']", '{"a,b","null","","q\\""}', None),
    ("character(3)[]", "ARRAY['a']", '{"a  "}', None),
    ("timestamptz[]", "ARRAY['infinity']::timestamptz[]", "{infinity}", None),
    ("boolean[]", "'{t,f}'", "{t,f}", None),
    ("bytea[]", "ARRAY['\\x01'::bytea]", '{"\\\\x01"}', None),
    ("mood", "'happy '", "happy ", None),
    ("mood[]", "ARRAY['sad']::mood[]", "{sad}", None),
    ("pair", "ROW(NULL, NULL)", "(,)", None),
    ("pair", "ROW('x y', true)", '("x y",t)', None),
    ("price", "1.25", Decimal("1.25"), None),
    ("price", "'NaN'", None, "NaN"),
    ("short_code", "'ab'", "ab   ", None),
    ("later", "'infinity'", None, "infinity"),
    ("price_twice", "3.5", Decimal("3.50"), None),
    ("price[]", "ARRAY[1.5]", "{1.50}", None),
    ("flag", "true", True, None),
    ("hstore", "'a=>NULL,b=>\"1\"'", '"a"=>NULL, "b"=>"1"', None),
    ("citext", "'MiXed '", "MiXed ", None),
]

TYPES = """
CREATE EXTENSION hstore; CREATE EXTENSION citext;
CREATE TABLE t0 (id int);
CREATE TYPE mood AS ENUM ('sad', 'happy ');
CREATE TYPE pair AS (a text, b boolean);
CREATE DOMAIN price AS numeric(10,2);
CREATE DOMAIN price_twice AS price CHECK (VALUE > 0);
CREATE DOMAIN short_code AS character(5);
CREATE DOMAIN later AS timestamptz;
CREATE DOMAIN flag AS boolean;
"""


@pytest.fixture(scope="module", params=["postgres_18", "postgres_15"])
def everything(request: pytest.FixtureRequest) -> Iterator[tuple[pa.Table, pa.Table]]:
    """A table with one column per case, and a row of NULLs, read both ways."""
    with fresh_database(request.getfixturevalue(request.param)) as fresh:
        yield _both_ways(PostgresConnection.parse(fresh.dsn))


def _both_ways(connection: PostgresConnection) -> tuple[pa.Table, pa.Table]:
    with application(connection) as session:
        session.execute(TYPES)
        declared = ", ".join(f"c{i} {kind}" for i, (kind, *_) in enumerate(VALUES))
        session.execute(f"CREATE TABLE everything ({declared})")
        literals = ", ".join(f"{literal}::{kind}" for kind, literal, *_ in VALUES)
        session.execute(f"INSERT INTO everything VALUES ({literals})")
        session.execute("INSERT INTO everything SELECT")
        columns = columns_of(session, "everything")
    return (
        loaded(connection, "public.everything", columns),
        captured(connection, "public.everything", columns),
    )


@pytest.mark.parametrize("way", ["load", "capture"])
@pytest.mark.parametrize("case", range(len(VALUES)), ids=[f"{v[0]}={v[1][:24]}" for v in VALUES])
def test_a_value_is_stored_as_documented(everything: tuple[pa.Table, pa.Table], case: int, way: str) -> None:
    _, _, value, odd = VALUES[case]
    rows = plain(everything[0 if way == "load" else 1])
    assert rows[0][f"c{case}"] == (repr(value) if isinstance(value, float) else value)
    assert (f'"c{case}":"{odd}"' in rows[0]["_overflow"]) == (odd is not None)
    assert rows[1][f"c{case}"] is None


def test_load_and_capture_of_a_row_are_equal_byte_for_byte(everything: tuple[pa.Table, pa.Table]) -> None:
    load, capture = everything
    assert load.schema == capture.schema
    assert plain(load) == plain(capture)
    assert load["_overflow"][1].as_py() is None


def test_a_nan_of_unusual_bits_is_stored_like_any_other(
    connection: PostgresConnection, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (f float8)")
    sql.execute("INSERT INTO t SELECT 'inf'::float8 - 'inf'::float8 UNION ALL SELECT 'nan'")
    columns = columns_of(sql, "t")
    bits = [
        read(connection, "public.t", columns)["f"].combine_chunks().view(pa.int64()).to_pylist()
        for read in (loaded, captured)
    ]
    assert bits[0] == bits[1]
    assert bits[0][0] == bits[0][1]


def test_column_names_are_quoted_in_sql_and_in_overflow(
    connection: PostgresConnection, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("""CREATE TABLE t ("a ""b'\\ %s{}\u00e9" timestamp, "B" date)""")
    sql.execute("INSERT INTO t VALUES ('infinity', '-infinity'), (now(), now()), ('infinity', now())")
    columns = columns_of(sql, "t")
    load = loaded(connection, "public.t", columns)
    assert plain(load) == plain(captured(connection, "public.t", columns))
    assert load["_overflow"].to_pylist() == [
        '{"a \\"b\'\\\\ %s{}\u00e9":"infinity","B":"-infinity"}',
        None,
        '{"a \\"b\'\\\\ %s{}\u00e9":"infinity"}',
    ]


def test_a_domain_counts_as_the_type_under_it(sql: psycopg.Connection[Any]) -> None:
    sql.execute("CREATE DOMAIN d1 AS numeric(12,3); CREATE DOMAIN d2 AS d1; CREATE TABLE t (a d2)")
    (column,) = columns_of(sql, "t")
    assert (column.source_type, column.arrow) == ("numeric(12,3)", pa.decimal128(12, 3))


def test_a_type_that_is_gone_is_text(sql: psycopg.Connection[Any]) -> None:
    columns = resolve_columns(sql, [Attribute("a", 999999), Attribute("b", 23, -1, 2, False)])
    assert [c.arrow for c in columns] == [pa.string(), pa.int32()]
    assert columns[1] == Column("b", "integer", pa.int32(), False, 2)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (pa.int32(), "12x"),
        (pa.bool_(), "true"),
        (pa.binary(), "\\x0g"),
        (pa.binary(), "\\x012"),
        (pa.binary(), "0102"),
        (pa.timestamp("us"), "yesterday"),
        (pa.decimal128(5, 2), "1.234"),
        (pa.decimal128(5, 2), "12345.00"),
        (pa.date32(), "0044-01-01 AD"),
    ],
)
def test_text_that_does_not_fit_is_refused_without_quoting_it(kind: pa.DataType, text: str) -> None:
    column = Column("secret", "kind", kind)
    with pytest.raises(DecodeError) as raised:
        from_text(column, pa.array([None, text]))
    assert text not in str(raised.value)
    assert "secret" in str(raised.value)


@pytest.mark.parametrize("texts", [[], [None], [None, None]])
def test_columns_without_any_value_are_read(texts: list[str | None]) -> None:
    for kind in (pa.bool_(), pa.binary(), pa.date32(), pa.decimal128(5, 2), pa.string()):
        assert from_text(Column("c", "kind", kind), pa.array(texts, pa.string())) == (
            pa.array(texts, kind),
            None,
        )


def test_slices_and_wide_strings_are_read_like_whole_arrays() -> None:
    column = Column("b", "bytea", pa.binary())
    values = pa.array(["\\xff", "\\x01", None, "\\x", "\\xabcd", "\\x99"])
    expected = [b"\x01", None, b"", b"\xab\xcd"]
    assert from_text(column, values.slice(1, 4))[0].to_pylist() == expected
    assert from_text(column, values.cast(pa.large_string()).slice(1, 4))[0].to_pylist() == expected
    assert from_text(column, values.slice(0, 0))[0].to_pylist() == []


def test_overflow_lists_columns_in_order_and_skips_rows_without_any() -> None:
    arrays = [pa.array(["infinity", None, None]), None, pa.array(["NaN", None, "NaN"])]
    assert overflow_json(["b", "x", "a"], arrays).to_pylist() == [
        '{"b":"infinity","a":"NaN"}',
        None,
        '{"a":"NaN"}',
    ]


def test_xml_keeps_what_its_output_function_prints(postgres_15: PostgresServer) -> None:
    with fresh_database(postgres_15) as fresh:
        connection = PostgresConnection.parse(fresh.dsn)
        with application(connection) as session:
            session.execute("CREATE TABLE t (x xml)")
            session.execute("""INSERT INTO t VALUES ('<?xml version="1.0" encoding="UTF-8"?><a> 1</a>')""")
            columns = columns_of(session, "t")
        load = loaded(connection, "public.t", columns)
        assert load["x"].to_pylist() == ["<a> 1</a>"]
        assert plain(load) == plain(captured(connection, "public.t", columns))


_MAIN_TYPES = {
    "int8": st.integers(-(2**63), 2**63 - 1).map(str),
    "float4": st.floats(width=32).map(repr),
    "float8": st.floats().map(repr),
    "numeric(38,10)": st.decimals(-(10**27), 10**27, places=10).map(str) | st.just("NaN"),
    "numeric": st.decimals(-(10**200), 10**200).map(str) | st.sampled_from(["NaN", "-Infinity"]),
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "character(7)": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=7),
    "bytea": st.binary().map(lambda raw: "\\x" + raw.hex()),
    "uuid": st.uuids().map(str),
    "date": st.integers(-1_700_000, 2_900_000).map(lambda days: f"{days}") | st.just("infinity"),
    "timestamp": st.integers(-100_000_000_000, 9_000_000_000_000).map(str) | st.just("-infinity"),
    "timestamptz": st.integers(-100_000_000_000, 9_000_000_000_000).map(str) | st.just("infinity"),
    "interval": st.integers(-(2**40), 2**40).map(lambda us: f"{us} microseconds"),
    "jsonb": st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="ascii", categories=["L"])),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    ).map(json.dumps),
}
_FROM_NUMBER = {
    "date": "CASE WHEN v ~ 'inf' THEN v::date ELSE '2000-01-01'::date + v::int END",
    "timestamp": "CASE WHEN v ~ 'inf' THEN v::timestamp ELSE to_timestamp(v::float8) AT TIME ZONE 'UTC' END",
    "timestamptz": "CASE WHEN v ~ 'inf' THEN v::timestamptz ELSE to_timestamp(v::float8) END",
}


@pytest.mark.parametrize("kind", _MAIN_TYPES)
def test_any_value_is_loaded_as_it_is_captured(postgres_18: PostgresServer, kind: str) -> None:
    """Many values per round trip: each example is a whole column."""
    with fresh_database(postgres_18) as fresh:
        connection = PostgresConnection.parse(fresh.dsn)
        with application(connection) as session:
            session.execute(f"CREATE TABLE t (v {kind})")
            columns = columns_of(session, "t")

            @settings(max_examples=8)
            @given(st.lists(_MAIN_TYPES[kind] | st.none(), min_size=1, max_size=200))
            def agree(values: list[str | None]) -> None:
                session.execute("TRUNCATE t")
                made = _FROM_NUMBER.get(kind, f"v::{kind}")
                session.execute(f"INSERT INTO t SELECT {made} FROM unnest(%s::text[]) AS u(v)", (values,))
                load = loaded(connection, "public.t", columns)
                assert load.num_rows == len(values)
                assert plain(load) == plain(captured(connection, "public.t", columns))

            agree()
