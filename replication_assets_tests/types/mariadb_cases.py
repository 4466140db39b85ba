"""MariaDB's types. The server's own help, topic by topic, is its list of them: see test_exhaustive.py."""

from __future__ import annotations

import pyarrow as pa

from replication_assets_tests.types.cases import Case, case

TEXT = pa.string()
RAW = pa.binary()
I64, U64 = 2**63, 2**64

CASES: tuple[Case, ...] = (
    case("TINYINT", pa.int16(), "-128", "127"),
    case("TINYINT(1)", pa.int16(), "0", "1", "-7"),
    case("TINYINT UNSIGNED", pa.int16(), "0", "255", of="tinyint"),
    case("SMALLINT", pa.int16(), "-32768", "32767"),
    case("SMALLINT UNSIGNED", pa.int32(), "65535", "0", of="smallint"),
    case("MEDIUMINT", pa.int32(), "-8388608", "8388607"),
    case("MEDIUMINT UNSIGNED", pa.int32(), "16777215", "0", of="mediumint"),
    case("INT", pa.int32(), "-2147483648", "2147483647"),
    case("INT UNSIGNED", pa.int64(), "4294967295", "0", of="int"),
    case("INT(9) ZEROFILL", pa.int64(), "42", "0"),
    case("BIGINT", pa.int64(), str(-I64), str(I64 - 1)),
    case("BIGINT UNSIGNED", pa.decimal128(20, 0), "0", str(U64 - 1), of="bigint"),
    case("BIT(1)", pa.bool_(), "b'0'", "b'1'"),
    case("BIT(9)", pa.int64(), "b'0'", "b'111111111'"),
    case("BIT(63)", pa.int64(), f"x'7f{'ff' * 7}'"),
    case("BIT(64)", pa.decimal128(20, 0), f"x'{'ff' * 8}'", "b'0'"),
    case("DECIMAL(10,2)", pa.decimal128(10, 2), "-99999999.99", "99999999.99", "0"),
    case("DECIMAL(38,38)", pa.decimal128(38, 38), f"0.{'9' * 38}", f"-0.{'1' * 38}", "0"),
    case("DECIMAL(38,0)", pa.decimal128(38, 0), "9" * 38, "-" + "9" * 38),
    case("DECIMAL(12,3) ZEROFILL", pa.decimal128(12, 3), "7.5", "0"),
    case("DECIMAL(65,30)", TEXT, f"-{'9' * 35}.{'9' * 30}", "0"),
    case("DECIMAL(50,2) ZEROFILL", TEXT, "1.5", "0"),
    case("FLOAT", pa.float32(), "3.14", "-3.4028235e38", "1e-45", "0"),
    case("FLOAT(7,2)", pa.float32(), "1.1", "-99999.99"),
    case("DOUBLE", pa.float64(), "-1.7976931348623157e308", "5e-324", "0.1", "0", "-2.2250738585072014e-308"),
    case("DOUBLE(20,4)", pa.float64(), "12345678901234.5678"),
    case("YEAR", pa.int16(), "0", "1901", "2155"),
    case("YEAR(2)", pa.int16(), "'99'", "'00'", "'70'"),
    case(
        *("DATE", pa.date32(), "'0001-01-01'", "'9999-12-31'", "'2024-02-29'", "'0000-00-00'"),
        *("'2024-00-00'", "'2024-05-00'", "'2023-02-29'", "'0000-01-01'"),
    ),
    case(
        *("DATETIME", pa.timestamp("us"), "'2024-02-29 23:59:59'", "'0000-00-00 00:00:00'"),
        *("'1900-02-29 10:00:00'", "'0000-06-01 00:00:00'"),
    ),
    case(
        *("DATETIME(6)", pa.timestamp("us"), "'9999-12-31 23:59:59.999999'", "'0001-01-01 00:00:00'"),
        "'2024-00-07 01:02:03.000004'",
    ),
    case("DATETIME(3)", pa.timestamp("us"), "'0000-00-00'", "'2024-01-01 00:00:00.5'"),
    case(
        *("TIMESTAMP NULL", pa.timestamp("us", tz="UTC"), "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"),
        "'0000-00-00'",
        of="timestamp",
    ),
    case("TIMESTAMP(6) NULL", pa.timestamp("us", tz="UTC"), "'2038-01-19 03:14:07.999999'", "'0000-00-00'"),
    case("TIME", TEXT, "'-838:59:59'", "'838:59:59'", "'00:00:00'", "'24:00:01'"),
    case("TIME(6)", TEXT, "'838:59:59.999999'", "'-00:00:00.000001'"),
    case("CHAR(5)", TEXT, "'a  '", "''", "'żółć'"),
    case("VARCHAR(20)", TEXT, "''", "'a  '", "'😀\\0'", "'\\\\N'", "'NULL'", "CHAR(0, 13, 10 USING utf8mb4)"),
    case("VARCHAR(20) CHARACTER SET latin1", TEXT, "'é€'", "x'81'"),
    case("VARCHAR(20) CHARACTER SET utf16", TEXT, "'é😀'", "''"),
    case("VARCHAR(20) CHARACTER SET sjis", TEXT, "'日本'"),
    case("TINYTEXT", TEXT, "''", "'é'"),
    case("TEXT", TEXT, "''", "REPEAT('é', 20000)"),
    case("TEXT CHARACTER SET koi8r", TEXT, "'Привет'", of="text"),
    case("MEDIUMTEXT", TEXT, "''", "REPEAT('é', 70000)"),
    case("LONGTEXT", TEXT, "''", "' '"),
    case("VARCHAR(300) COMPRESSED", TEXT, "''", "REPEAT('ab', 100)"),
    case("ENUM('b','it''s','x,y','')", TEXT, "'it''s'", "'x,y'", "''"),
    case("SET('b','a','ü')", TEXT, "'a,b'", "''", "'ü'"),
    case("BINARY(4)", RAW, "'ab'", "''", "x'ff000001'"),
    case("VARBINARY(9)", RAW, "x'00ff'", "''", "x'5c4e'"),
    case("TINYBLOB", RAW, "''", "x'00'"),
    case("BLOB", RAW, "''", "REPEAT(x'00fb', 30000)"),
    case("MEDIUMBLOB", RAW, "''", "x'0d0a22'"),
    case("LONGBLOB", RAW, "''", "x'ff'"),
    case(
        *("JSON", TEXT, '\'{"a": [1, null], "a": 1.0}\'', "'null'", "'[]'", "' 1e400'"),
        *("'\"\\\\ud800\"'", "'\"\\\\u0000\"'"),
    ),
    case("UUID", TEXT, "'00000000-0000-0000-0000-000000000000'", "'123E4567-E89B-12D3-A456-426614174000'"),
    case("INET4", TEXT, "'255.255.255.255'", "'0.0.0.0'"),
    case("INET6", TEXT, "'::'", "'::ffff:1.2.3.4'", "'2001:db8::ff00:42:8329'"),
    case("POINT", RAW, "ST_GeomFromText('POINT(1 -2)', 4326)", "POINT(0, 0)"),
    case("GEOMETRY", RAW, "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))')"),
    case("LINESTRING", RAW, "ST_GeomFromText('LINESTRING(0 0,1 1)')"),
    case("POLYGON", RAW, "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')"),
    case("MULTIPOINT", RAW, "ST_GeomFromText('MULTIPOINT(0 0,1 1)')"),
    case("MULTILINESTRING", RAW, "ST_GeomFromText('MULTILINESTRING((0 0,1 1))')"),
    case("MULTIPOLYGON", RAW, "ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))')"),
    case("GEOMETRYCOLLECTION", RAW, "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')"),
)

ALIASES = {
    "BOOL": "BOOL",
    "BOOLEAN": "BOOLEAN",
    "DEC": "DEC(5,2)",
    "FIXED": "FIXED(5,2)",
    "NUMERIC": "NUMERIC(5,2)",
    "NUMBER": "NUMBER(5,2)",
    "FLOAT4": "FLOAT4",
    "FLOAT8": "FLOAT8",
    "DOUBLE PRECISION": "DOUBLE PRECISION",
    "REAL": "REAL",
    "INT1": "INT1",
    "INT2": "INT2",
    "INT3": "INT3",
    "INT4": "INT4",
    "INT8": "INT8",
    "INTEGER": "INTEGER",
    "MIDDLEINT": "MIDDLEINT",
    "CHARACTER": "CHARACTER(3)",
    "CHAR BYTE": "CHAR(3) BYTE",
    "CHAR VARYING": "CHAR VARYING(3)",
    "VARCHARACTER": "VARCHARACTER(3)",
    "VARCHAR2": "VARCHAR2(3)",
    "CLOB": "CLOB",
    "LONG AND LONG VARCHAR": "LONG",
    "LONG CHAR VARYING": "LONG CHAR VARYING",
    "LONG CHARACTER VARYING": "LONG CHARACTER VARYING",
    "LONG VARBINARY": "LONG VARBINARY",
    "LONG VARCHAR": "LONG VARCHAR",
    "LONG VARCHARACTER": "LONG VARCHARACTER",
    "NATIONAL CHAR": "NATIONAL CHAR(3)",
    "NATIONAL CHAR VARYING": "NATIONAL CHAR VARYING(3)",
    "NATIONAL CHARACTER": "NATIONAL CHARACTER(3)",
    "NATIONAL CHARACTER VARYING": "NATIONAL CHARACTER VARYING(3)",
    "NATIONAL VARCHAR": "NATIONAL VARCHAR(3)",
    "NATIONAL VARCHARACTER": "NATIONAL VARCHARACTER(3)",
    "NCHAR": "NCHAR(3)",
    "NCHAR VARCHAR": "NCHAR VARCHAR(3)",
    "NCHAR VARCHARACTER": "NCHAR VARCHARACTER(3)",
    "NCHAR VARYING": "NCHAR VARYING(3)",
    "RAW": "RAW(3)",
    "SERIAL": "SERIAL",
}
"""Words for a type that has a case above: what a table says of it once it is made."""

NO_COLUMN = frozenset({"ROW", "ROW TYPE OF", "TYPE OF", "VECTOR", "XMLTYPE"})
"""Types of variables, and of later versions of the server."""

NO_TYPE = frozenset(
    {
        *("AUTO\\_INCREMENT", "AUTO\\_INCREMENT FAQ", "SQL\\_TSI\\_YEAR", "NULL VALUES", "TIME ZONES"),
        *("BLOB AND TEXT DATA TYPES", "CHARACTER SET AND COLLATION OVERVIEW", "COORDINATED UNIVERSAL TIME"),
        *("DATA TYPE STORAGE REQUIREMENTS", "FLOATING-POINT ACCURACY", "NUMERIC DATA TYPE OVERVIEW"),
        *("LOCALES PLUGIN", "SERVER LOCALE", "SET CHARACTER SET", "SET NAMES", "UNICODE"),
        *("SETTING CHARACTER SETS AND COLLATIONS", "SETTING THE LANGUAGE FOR ERROR MESSAGES"),
        "SUPPORTED CHARACTER SETS AND COLLATIONS",
    }
)
"""Topics that stand among the types and are none."""
