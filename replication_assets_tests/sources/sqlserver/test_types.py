"""Every type of `sys.types` is stored or refused by name, and what the driver gives is stored exactly.

Arrow types are those that mssql-python documents and tests: text and binary with wide offsets, tinyint
without sign, times in microseconds.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.schema import Column
from replication_assets.errors import DecodeError, SourceNotReady
from replication_assets.sources.sqlserver.statements.values import odd_expression, typed_expression
from replication_assets.sources.sqlserver.types import (
    REFUSED,
    SYSTEM_TYPES,
    NativeType,
    column_of,
    odd_texts,
    stored,
    stored_type,
    texts,
)

FROM_DRIVER: list[tuple[str, pa.DataType, list[Any], list[Any]]] = [
    ("bit", pa.bool_(), [True, None, False], [True, None, False]),
    ("tinyint", pa.uint8(), [0, None, 255], [0, None, 255]),
    ("smallint", pa.int16(), [-(2**15), None, 2**15 - 1], [-(2**15), None, 2**15 - 1]),
    ("int", pa.int32(), [-(2**31), None, 2**31 - 1], [-(2**31), None, 2**31 - 1]),
    ("bigint", pa.int64(), [-(2**63), None, 2**63 - 1], [-(2**63), None, 2**63 - 1]),
    ("decimal(38,10)", pa.decimal128(38, 10), [Decimal("9" * 28 + "." + "9" * 10), None], []),
    ("money", pa.decimal128(19, 4), [Decimal("-922337203685477.5808"), None], []),
    ("smallmoney", pa.decimal128(10, 4), [Decimal("214748.3647"), None], []),
    ("float", pa.float64(), [1.7976931348623157e308, -5e-324, None], []),
    ("real", pa.float32(), [3.4028234663852886e38, None], []),
    ("date", pa.date32(), [dt.date(1, 1, 1), None, dt.date(9999, 12, 31)], []),
    ("datetime", pa.timestamp("us"), [dt.datetime(1753, 1, 1, 0, 0, 0, 3000), None], []),
    (
        "datetime2(6)",
        pa.timestamp("us"),
        [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)],
        [],
    ),
    ("smalldatetime", pa.timestamp("us"), [dt.datetime(2079, 6, 6, 23, 59), None], []),
    ("time(7)", pa.large_string(), ["00:00:00.0000000", None, "23:59:59.9999999"], []),
    ("datetimeoffset(7)", pa.large_string(), ["0001-01-01 00:00:00.0000001 -14:00", None], []),
    ("char(3)", pa.large_string(), ["a  ", None, "   "], []),
    ("nvarchar(max)", pa.large_string(), ["", None, "é\U0001f600\n\0"], []),
    ("xml", pa.large_string(), ["<a b='1'/>", None, ""], []),
    ("hierarchyid", pa.large_string(), ["/1/2.1/", None, "/"], []),
    (
        "uniqueidentifier",
        pa.large_string(),
        ["6F9619FF-8B86-D011-B42D-00C04FC964FF", None],
        ["6f9619ff-8b86-d011-b42d-00c04fc964ff", None],
    ),
    ("varbinary(max)", pa.large_binary(), [b"", None, b"\0\xff"], []),
    ("timestamp", pa.large_binary(), [b"\0\0\0\0\0\0\x07\xd1", None], []),
    ("geometry", pa.large_binary(), [bytes.fromhex("e6100000010c"), None], []),
]


@pytest.mark.parametrize(("name", "given", "values", "expected"), FROM_DRIVER)
def test_what_the_driver_gives_is_stored_as_it_is(
    name: str, given: pa.DataType, values: list[Any], expected: list[Any]
) -> None:
    column = Column("c", name, stored_type(NativeType.parse(name)))
    found = stored(column, pa.array(values, given))
    assert found.type == column.arrow
    assert found.to_pylist() == (expected or values)
    assert texts(column, found, None).null_count == found.null_count


def test_every_system_type_is_stored_or_refused_by_name() -> None:
    for base in sorted(SYSTEM_TYPES):
        native = NativeType.of(base, 8, 10, 2)
        if base in REFUSED:
            with pytest.raises(SourceNotReady, match=base):
                stored_type(native)
        else:
            column = column_of("c", native, True)
            assert NativeType.parse(column.source_type) == native
            assert "[c]" in typed_expression(column)
            # What Delta rejects or bends is never the type of a column.
            assert not pa.types.is_time(column.arrow)
            assert not pa.types.is_unsigned_integer(column.arrow)


@pytest.mark.parametrize("name", ["sql_variant", "vector(3)", "geomtery", "varchar(", "int; DROP", "my type"])
def test_an_unknown_type_is_refused(name: str) -> None:
    with pytest.raises(SourceNotReady, match="cannot be stored"):
        stored_type(NativeType.parse(name))


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (("nvarchar", 100, 0, 0), "nvarchar(50)"),
        (("nvarchar", -1, 0, 0), "nvarchar(max)"),
        (("sysname", 256, 0, 0), "nvarchar(128)"),
        (("varbinary", 16, 0, 0), "varbinary(16)"),
        (("numeric", 9, 12, 3), "decimal(12,3)"),
        (("datetime2", 8, 27, 7), "datetime2(7)"),
        (("float", 8, 53, 0), "float"),
        (("timestamp", 8, 0, 0), "timestamp"),
    ],
)
def test_a_type_is_named_as_people_write_it(row: tuple[str, int, int, int], name: str) -> None:
    assert NativeType.of(*row).name == name


def test_a_type_that_the_driver_was_not_asked_for_is_refused() -> None:
    column = Column("c", "int", pa.int32())
    for other in (pa.int64(), pa.large_string(), pa.time64("ns"), pa.timestamp("us", "UTC")):
        with pytest.raises(DecodeError, match="came as"):
            stored(column, pa.array([None, None], other))


def test_a_seventh_digit_is_asked_for_as_text() -> None:
    column = Column("c]", "datetime2(7)", pa.timestamp("us"))
    assert typed_expression(column, "t") == (
        "CASE WHEN DATEPART(NANOSECOND, [t].[c]]]) % 1000 = 0 THEN CAST([t].[c]]] AS datetime2(6)) END"
    )
    assert odd_expression(column).endswith("<> 0 THEN CONVERT(varchar(27), [c]]], 121) END")
    assert odd_texts(pa.array([None, None], pa.large_string())) is None
    odd = odd_texts(pa.array([None, "2026-01-01 00:00:00.0000001"], pa.large_string()))
    assert odd is not None
    typed = pa.array([dt.datetime(2026, 1, 1), None], pa.timestamp("us"))
    assert texts(column, typed, odd).to_pylist() == [
        "2026-01-01 00:00:00.000000",
        "2026-01-01 00:00:00.0000001",
    ]
