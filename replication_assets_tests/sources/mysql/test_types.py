"""Every type, ordinary and odd, is loaded as documented."""

from __future__ import annotations

import datetime as dt
import json
import math
import struct
from contextlib import closing
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.errors import DecodeError, SourceNotReady
from replication_assets.sources.mysql.types import NativeType, column_of, from_text, stored_type
from replication_assets_tests.mysql_servers import MariaDbServer, fresh_prefix
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.reading import loaded, values

UTC = dt.UTC
I64, U64 = 2**63, 2**64
LONGEST_DOUBLE = "-1.7976931348623157e308"

# Type as declared, Arrow type as stored, then SQL of a value and the stored value; a pair for an odd one
# is `(None, text)`.
CASES: list[tuple[str, pa.DataType, list[tuple[str, Any]]]] = [
    ("TINYINT", pa.int16(), [("-128", -128), ("127", 127)]),
    ("TINYINT(1)", pa.int16(), [("0", 0), ("1", 1), ("-7", -7)]),
    ("TINYINT UNSIGNED", pa.int16(), [("0", 0), ("255", 255)]),
    ("SMALLINT", pa.int16(), [("-32768", -32768), ("32767", 32767)]),
    ("SMALLINT UNSIGNED", pa.int32(), [("65535", 65535)]),
    ("MEDIUMINT", pa.int32(), [("-8388608", -8388608), ("8388607", 8388607)]),
    ("MEDIUMINT UNSIGNED", pa.int32(), [("16777215", 16777215)]),
    ("INT", pa.int32(), [("-2147483648", -(2**31)), ("2147483647", 2**31 - 1)]),
    ("INT UNSIGNED", pa.int64(), [("4294967295", 2**32 - 1)]),
    ("INT(9) ZEROFILL", pa.int64(), [("42", 42), ("0", 0)]),
    ("BIGINT", pa.int64(), [(str(-I64), -I64), (str(I64 - 1), I64 - 1)]),
    ("BIGINT UNSIGNED", pa.decimal128(20, 0), [("0", Decimal(0)), (str(U64 - 1), Decimal(U64 - 1))]),
    ("BIT(1)", pa.bool_(), [("b'0'", False), ("b'1'", True)]),
    ("BIT(9)", pa.int64(), [("b'0'", 0), ("b'111111111'", 511)]),
    ("BIT(63)", pa.int64(), [(f"x'7f{'ff' * 7}'", I64 - 1)]),
    ("BIT(64)", pa.decimal128(20, 0), [(f"x'{'ff' * 8}'", Decimal(U64 - 1)), ("b'0'", Decimal(0))]),
    (
        "DECIMAL(10,2)",
        pa.decimal128(10, 2),
        [("-99999999.99", Decimal("-99999999.99")), ("0.5", Decimal("0.50"))],
    ),
    ("DECIMAL(38,38)", pa.decimal128(38, 38), [(f"0.{'9' * 38}", Decimal(f"0.{'9' * 38}"))]),
    ("DECIMAL(12,3) ZEROFILL", pa.decimal128(12, 3), [("7.5", Decimal("7.500"))]),
    (
        "DECIMAL(65,30)",
        pa.string(),
        [(f"-{'9' * 35}.{'9' * 30}", f"-{'9' * 35}.{'9' * 30}"), ("0", "0." + "0" * 30)],
    ),
    ("DECIMAL(50,2) ZEROFILL", pa.string(), [("1.5", "1.50"), ("0", "0.00")]),
    (
        "FLOAT",
        pa.float32(),
        [
            ("3.14", 3.140000104904175),
            ("-3.4028235e38", -3.4028234663852886e38),
            ("1e-45", 1.401298464324817e-45),
        ],
    ),
    ("FLOAT(7,2)", pa.float32(), [("1.1", 1.100000023841858)]),
    (
        "DOUBLE",
        pa.float64(),
        [
            (LONGEST_DOUBLE, float(LONGEST_DOUBLE)),
            ("-2.2250738585072014e-308", -2.2250738585072014e-308),
            ("0.1", 0.1),
            ("5e-324", 5e-324),
        ],
    ),
    ("DOUBLE(20,4)", pa.float64(), [("12345678901234.5678", 12345678901234.5678)]),
    ("YEAR", pa.int16(), [("0", 0), ("1901", 1901), ("2155", 2155)]),
    ("YEAR(2)", pa.int16(), [("'99'", 99), ("'00'", 0), ("'70'", 70)]),
    (
        "DATE",
        pa.date32(),
        [
            ("'0001-01-01'", dt.date(1, 1, 1)),
            ("'9999-12-31'", dt.date(9999, 12, 31)),
            ("'2024-02-29'", dt.date(2024, 2, 29)),
            ("'0000-00-00'", (None, "0000-00-00")),
            ("'2024-00-00'", (None, "2024-00-00")),
            ("'2024-05-00'", (None, "2024-05-00")),
            ("'2023-02-29'", (None, "2023-02-29")),
            ("'0000-01-01'", (None, "0000-01-01")),
        ],
    ),
    (
        "DATETIME",
        pa.timestamp("us"),
        [
            ("'2024-02-29 23:59:59'", dt.datetime(2024, 2, 29, 23, 59, 59)),
            ("'0000-00-00 00:00:00'", (None, "0000-00-00 00:00:00")),
            ("'1900-02-29 10:00:00'", (None, "1900-02-29 10:00:00")),
            ("'0000-06-01 00:00:00'", (None, "0000-06-01 00:00:00")),
        ],
    ),
    (
        "DATETIME(6)",
        pa.timestamp("us"),
        [
            ("'9999-12-31 23:59:59.999999'", dt.datetime(9999, 12, 31, 23, 59, 59, 999999)),
            ("'0001-01-01 00:00:00'", dt.datetime(1, 1, 1)),
            ("'2024-00-07 01:02:03.000004'", (None, "2024-00-07 01:02:03.000004")),
        ],
    ),
    ("DATETIME(3)", pa.timestamp("us"), [("'0000-00-00'", (None, "0000-00-00 00:00:00.000"))]),
    (
        "TIMESTAMP NULL",
        pa.timestamp("us", tz="UTC"),
        [
            ("'1970-01-01 00:00:01'", dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
            ("'0000-00-00'", (None, "0000-00-00 00:00:00")),
        ],
    ),
    (
        "TIMESTAMP(6) NULL",
        pa.timestamp("us", tz="UTC"),
        [
            ("'2038-01-19 03:14:07.999999'", dt.datetime(2038, 1, 19, 3, 14, 7, 999999, tzinfo=UTC)),
            ("'0000-00-00'", (None, "0000-00-00 00:00:00.000000")),
        ],
    ),
    (
        "TIME",
        pa.string(),
        [("'-838:59:59'", "-838:59:59"), ("'00:00:00'", "00:00:00"), ("'24:00:01'", "24:00:01")],
    ),
    (
        "TIME(6)",
        pa.string(),
        [("'838:59:59.999999'", "838:59:59.999999"), ("'-00:00:00.000001'", "-00:00:00.000001")],
    ),
    ("CHAR(5)", pa.string(), [("'a  '", "a"), ("''", ""), ("'żółć'", "żółć")]),
    ("VARCHAR(20)", pa.string(), [("'a  '", "a  "), ("'😀\\0'", "😀\\0"), ("''", "")]),
    ("VARCHAR(20) CHARACTER SET latin1", pa.string(), [("'é€'", "é€"), ("x'81'", "\x81")]),
    ("VARCHAR(20) CHARACTER SET utf16", pa.string(), [("'é😀'", "é😀")]),
    ("VARCHAR(20) CHARACTER SET sjis", pa.string(), [("'日本'", "日本")]),
    ("VARCHAR(20) CHARACTER SET gbk", pa.string(), [("'中文'", "中文")]),
    ("TEXT CHARACTER SET koi8r", pa.string(), [("'Привет'", "Привет")]),
    ("MEDIUMTEXT", pa.string(), [("REPEAT('é', 70000)", "é" * 70000), ("''", "")]),
    ("ENUM('b','it''s','x,y','')", pa.string(), [("'it''s'", "it's"), ("'x,y'", "x,y"), ("''", "")]),
    ("SET('b','a','ü')", pa.string(), [("'a,b'", "b,a"), ("''", ""), ("'ü'", "ü")]),
    ("BINARY(4)", pa.binary(), [("'ab'", b"ab\0\0"), ("''", b"\0\0\0\0"), ("x'ff000001'", b"\xff\0\0\1")]),
    ("VARBINARY(9)", pa.binary(), [("x'00ff'", b"\0\xff"), ("''", b""), ("'a\\0'", b"a\\0")]),
    ("BLOB", pa.binary(), [("REPEAT(x'00fb', 30000)", b"\0\xfb" * 30000), ("''", b"")]),
    ("JSON", pa.string(), [("'{\"a\": [1, null]}'", '{"a": [1, null]}'), ("'null'", "null")]),
    (
        "UUID",
        pa.string(),
        [
            ("'00000000-0000-0000-0000-000000000000'",) * 1 + ("00000000-0000-0000-0000-000000000000",),
            ("'123E4567-E89B-12D3-A456-426614174000'", "123e4567-e89b-12d3-a456-426614174000"),
        ],
    ),
    ("INET4", pa.string(), [("'255.255.255.255'", "255.255.255.255"), ("'0.0.0.0'", "0.0.0.0")]),
    (
        "INET6",
        pa.string(),
        [
            ("'::1'", "::1"),
            ("'::ffff:1.2.3.4'", "::ffff:1.2.3.4"),
            ("'2001:db8::ff00:42:8329'", "2001:db8::ff00:42:8329"),
        ],
    ),
    (
        "POINT",
        pa.binary(),
        [("ST_GeomFromText('POINT(1 -2)', 4326)", struct.pack("<IBIdd", 4326, 1, 1, 1.0, -2.0))],
    ),
]


@pytest.mark.parametrize(("declared", "arrow", "examples"), CASES, ids=[case[0] for case in CASES])
def test_a_value_is_stored_as_documented(
    database: Database, declared: str, arrow: pa.DataType, examples: list[tuple[str, Any]]
) -> None:
    rows = ", ".join(f"({number}, {sql})" for number, (sql, _) in enumerate(examples, 1))
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES,NO_BACKSLASH_ESCAPES', time_zone = '+00:00'")
        cursor.execute(f"CREATE TABLE t (id INT PRIMARY KEY, v {declared})")
        cursor.execute(f"INSERT INTO t VALUES (0, NULL), {rows}")
    found = loaded(database.source(), database.table("t")).sort_by("id")
    assert found.schema.field("v").type == arrow
    expected = [None, *(value[0] if isinstance(value, tuple) else value for _, value in examples)]
    assert found.column("v").to_pylist() == expected
    odd = [None, *(value[1] if isinstance(value, tuple) else None for _, value in examples)]
    texts = [
        None if text is None else json.loads(text)["v"] for text in found.column("_overflow").to_pylist()
    ]
    assert texts == odd


def test_a_zero_has_no_sign(database: Database) -> None:
    """The server stores a negative zero and prints a plain one."""
    database.run("CREATE TABLE t (id INT PRIMARY KEY, d DOUBLE, f FLOAT)")
    database.run("INSERT INTO t VALUES (1, -1e-200 * 1e-200, -1e-300), (2, 0, 0)")
    for column in ("d", "f"):
        found = values(database.source(), database.table("t"), column)
        assert [math.copysign(1, value) for value in found] == [1, 1]


def test_odd_values_of_several_columns_share_one_object(database: Database) -> None:
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        cursor.execute('CREATE TABLE t (id INT PRIMARY KEY, `a"ü` DATE, b DATETIME, c DATE)')
        cursor.execute("INSERT INTO t VALUES (1, 0, 0, '2024-01-01'), (2, '2024-01-01', NULL, NULL)")
    found = loaded(database.source(), database.table("t")).sort_by("id")
    assert found.column("_overflow").to_pylist() == [
        '{"a\\"ü":"0000-00-00","b":"0000-00-00 00:00:00"}',
        None,
    ]


@pytest.fixture(scope="module")
def wide(mariadb_with_binlog: MariaDbServer) -> Any:
    with fresh_prefix(mariadb_with_binlog) as prefix:
        found = Database(mariadb_with_binlog, f"{prefix.prefix}wide")
        with closing(mariadb_with_binlog.connect()) as session, session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{found.name}` CHARACTER SET utf8mb4")
        found.run(
            "CREATE TABLE t (id INT PRIMARY KEY, d DOUBLE, f FLOAT, s LONGTEXT, b LONGBLOB, n DECIMAL(65,20),"
            " i BIGINT UNSIGNED, t DATETIME(6))"
        )
        yield found


def _single(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


TEXT = st.characters(exclude_categories=["Cs"])
ROWS = st.lists(
    st.tuples(
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
        st.none() | st.text(TEXT, max_size=9) | st.integers(124, 127).map("ü".__mul__),
        st.none() | st.binary(max_size=9) | st.integers(65_534, 65_538).map(b"\xfb".__mul__),
        st.none()
        | st.decimals(
            allow_nan=False, allow_infinity=False, places=20, min_value=-(10**40), max_value=10**40
        ),
        st.none() | st.integers(0, U64 - 1),
        st.none() | st.datetimes(),
    ),
    max_size=8,
)


def _written(number: int, row: tuple[Any, ...]) -> tuple[Any, ...]:
    d, f, s, b, n, i, t = row
    texts = (None if each is None else repr(each) for each in (d, f))
    return (number, *texts, s, b, None if n is None else str(n), i, t and t.isoformat(" "))


@settings(deadline=None, max_examples=25)
@given(rows=ROWS)
def test_any_row_is_loaded_as_it_was_written(wide: Database, rows: list[tuple[Any, ...]]) -> None:
    with closing(wide.session()) as session, session.cursor() as cursor:
        cursor.execute("DELETE FROM t")
        cursor.executemany(
            "INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [_written(number, row) for number, row in enumerate(rows)],
        )
    if not rows:
        assert loaded(wide.source(), wide.table("t")).num_rows == 0
        return
    found = loaded(wide.source(), wide.table("t")).sort_by("id")
    for place, name in enumerate("dfsb"):
        assert found.column(name).to_pylist() == [row[place] for row in rows], name
    numbers = [None if row[4] is None else f"{row[4]:.20f}" for row in rows]
    assert found.column("n").to_pylist() == [
        None if n is None else n.replace("-0." + "0" * 20, "0." + "0" * 20) for n in numbers
    ]
    assert found.column("i").to_pylist() == [None if row[5] is None else Decimal(row[5]) for row in rows]
    assert found.column("t").to_pylist() == [row[6] for row in rows]


@pytest.mark.parametrize(
    ("text", "name", "arrow"),
    [
        ("int(11)", "int", pa.int32()),
        ("int unsigned", "int unsigned", pa.int64()),
        ("int(6) unsigned zerofill", "int unsigned", pa.int64()),
        ("tinyint(1)", "tinyint(1)", pa.int16()),
        ("tinyint(4)", "tinyint", pa.int16()),
        ("year(4)", "year", pa.int16()),
        ("year", "year", pa.int16()),
        ("varchar(100) /*M!100301 COMPRESSED*/", "varchar(100)", pa.string()),
        ("enum('a)','/*b*/ zerofill')", "enum('a)','/*b*/ zerofill')", pa.string()),
        ("decimal(10,0)", "decimal(10,0)", pa.decimal128(10, 0)),
        ("geomcollection", "geomcollection", pa.binary()),
    ],
)
def test_a_type_is_known_by_what_decides_its_values(text: str, name: str, arrow: pa.DataType) -> None:
    native = NativeType.parse(text)
    assert native.name == name
    assert stored_type(native) == arrow
    assert stored_type(NativeType.parse(native.name)) == arrow


@pytest.mark.parametrize("text", ["vector(3)", "null", "", "int(", "xmltype"])
def test_a_type_that_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(SourceNotReady, match="cannot be stored"):
        column_of("v", text, True)


@pytest.mark.parametrize(
    "declared", ["bit(1)", "bit(9)", "int", "date", "datetime", "float", "varchar(9)", "blob"]
)
@pytest.mark.parametrize("printed", [[], [None], [None, None]])
def test_columns_without_any_value_are_read(declared: str, printed: list[bytes | None]) -> None:
    column = column_of("v", declared, True)
    typed, odd = from_text(column, pa.array(printed, pa.binary()))
    assert (typed, odd) == (pa.array(printed, column.arrow), None)


@pytest.mark.parametrize(
    ("declared", "printed"),
    [
        ("int", b"x1"),
        ("date", b"2024-13-99x"),
        ("bit(1)", b"2"),
        ("varchar(9)", b"\xff"),
        ("double", b"inf!"),
    ],
)
def test_text_that_is_no_value_of_the_type_is_refused_without_being_quoted(
    declared: str, printed: bytes
) -> None:
    with pytest.raises(DecodeError) as caught:
        from_text(column_of("v", declared, True), pa.array([printed], pa.binary()))
    assert printed.decode(errors="replace") not in str(caught.value)


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize(
    "declared", ["int", "date", "datetime(6)", "bit(1)", "varchar(9)", "double", "float"]
)
def test_a_batch_without_any_value_is_read(declared: str, rows: int) -> None:
    column = column_of("v", declared, True)
    typed, odd = from_text(column, pa.nulls(rows, pa.binary()))
    assert (typed.type, typed.null_count, odd) == (column.arrow, rows, None)
