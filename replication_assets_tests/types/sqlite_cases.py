"""SQLite's declared types: it has no list, any words are one. These are the words of its own documentation of
affinity and of STRICT tables, and those that applications and libraries use.

Any value may stand in any column, so that each is given one of every storage class.
"""

from __future__ import annotations

import pyarrow as pa

from replication_assets_tests.types.cases import Case, case

TEXT = pa.string()

ANY_CLASS = (
    *("0", "1", "-9223372036854775808", "9223372036854775807", "9007199254740993"),
    *("0.5", "-1.7976931348623157e308", "5e-324", "9e999", "-9e999", "1e15"),
    *("''", "'it''s'", "'NULL'", "'12'", "x''", "x'00ff27'", "CAST(x'ff41' AS TEXT)", "char(0x1F600)"),
)
"""Of each storage class: integers, reals, texts (also such that are no UTF-8), blobs."""

DATES = ("'2026-02-28'", "'0001-01-01'", "'9999-12-31'", "'2026-02-30'", "'0000-00-00'", "'2026-2-8'")
TIMES = (
    *("'2026-02-28 23:59:59'", "'2026-02-28 23:59:59.000001'", "'2026-02-28 23:59:59.5'"),
    *(
        "'2026-02-28T00:00:00Z'",
        "'0001-01-01 00:00:00'",
        "'9999-12-31 23:59:59.999999'",
        "'10000-01-01 00:00:00'",
    ),
)
DOCUMENTS = ("'{\"a\" : [1, null]}'", "'null'", "'not json'", "'[1e400]'", "'{a: 1}'")
UUIDS = ("'00000000-0000-0000-0000-000000000000'", "'NOT-A-UUID'")


def of_any_class(declared: str, stored: pa.DataType, *more: str) -> Case:
    return case(declared, stored, *ANY_CLASS, *more)


CASES: tuple[Case, ...] = (
    *(
        of_any_class(each, pa.int64())
        for each in (
            *("INTEGER", "INT", "TINYINT", "SMALLINT", "MEDIUMINT", "BIGINT", "UNSIGNED BIG INT"),
            *("INT2", "INT8", "FLOATING POINT"),
        )
    ),
    *(
        of_any_class(each, TEXT)
        for each in (
            *("TEXT", "CHARACTER(20)", "VARCHAR(255)", "VARYING CHARACTER(255)", "NCHAR(55)"),
            *("NATIVE CHARACTER(70)", "NVARCHAR(100)", "CLOB"),
        )
    ),
    of_any_class("BLOB", pa.binary()),
    *(of_any_class(each, pa.float64()) for each in ("REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT")),
    *(of_any_class(each, pa.float64()) for each in ("NUMERIC", "DECIMAL(10,5)", "STRING")),
    of_any_class("BOOLEAN", pa.bool_(), "2"),
    of_any_class("BOOL", pa.bool_()),
    of_any_class("DATE", pa.date32(), *DATES),
    of_any_class("DATETIME", pa.timestamp("us"), *TIMES),
    of_any_class("TIMESTAMP", pa.timestamp("us"), *TIMES),
    of_any_class("TIME", TEXT, "'23:59:59'"),
    of_any_class("JSON", TEXT, *DOCUMENTS),
    of_any_class("json", TEXT, *DOCUMENTS),
    of_any_class("UUID", TEXT, *UUIDS),
    of_any_class("uuid", TEXT, *UUIDS),
    of_any_class("", TEXT),
    of_any_class("ANY", TEXT),
)

STRICT: tuple[Case, ...] = (
    case("INT", pa.int64(), "-9223372036854775808", "9223372036854775807"),
    case("INTEGER", pa.int64(), "0"),
    case("REAL", pa.float64(), "0.5", "9e999", "-1.7976931348623157e308"),
    case("TEXT", TEXT, "''", "'NULL'", "CAST(x'ff41' AS TEXT)"),
    case("BLOB", pa.binary(), "x''", "x'00ff27'"),
    of_any_class("ANY", TEXT),
)
"""Columns of a STRICT table: all that it allows."""
