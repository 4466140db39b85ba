"""PostgreSQL's types. `pg_type` is its own list of them: see test_exhaustive.py."""

from __future__ import annotations

import pyarrow as pa

from replication_assets_tests.types.cases import Case, case

TEXT = pa.string()
SEEN = pa.timestamp("us", tz="UTC")

PREPARED = (
    "CREATE EXTENSION hstore",
    "CREATE EXTENSION citext",
    "CREATE TABLE t0 (id int DEFAULT 1)",
    "CREATE TYPE mood AS ENUM ('sad', 'happy ', '')",
    "CREATE TYPE pair AS (a text, b boolean)",
    "CREATE DOMAIN price AS numeric(10,2)",
    "CREATE DOMAIN price_twice AS price CHECK (VALUE > 0)",
    "CREATE DOMAIN short_code AS character(5)",
    "CREATE DOMAIN later AS timestamptz",
    "CREATE TYPE moods AS RANGE (subtype = text)",
)
"""What the declared types below refer to."""

CASES: tuple[Case, ...] = (
    case("boolean", pa.bool_(), "true", "false", of="bool"),
    case("smallint", pa.int16(), "'-32768'", "'32767'", "0", of="int2"),
    case("integer", pa.int32(), "'-2147483648'", "'2147483647'", of="int4"),
    case("bigint", pa.int64(), "'-9223372036854775808'", "'9223372036854775807'", of="int8"),
    case("oid", pa.int64(), "0", "'4294967295'"),
    case(
        "real", pa.float32(), "'NaN'", "'-Infinity'", "'-0'", "'1e-45'", "'3.4028235e38'", "0.1", of="float4"
    ),
    case(
        *("double precision", pa.float64(), "'NaN'", "'Infinity'", "'-0'", "'5e-324'"),
        *("'-1.7976931348623157e308'", "'0.1'"),
        of="float8",
    ),
    case("numeric(10,2)", pa.decimal128(10, 2), "-99999999.99", "99999999.99", "0", "'NaN'"),
    case("numeric(38,0)", pa.decimal128(38, 0), "9" * 38, "-" + "9" * 38, "'NaN'"),
    case("numeric(38,38)", pa.decimal128(38, 38), "0." + "1" * 38, "-0." + "9" * 38, "0"),
    case("numeric(39,2)", TEXT, "1.5", "-" + "9" * 37 + ".99", "'NaN'"),
    case("numeric(5,-2)", TEXT, "12345", "-9999900"),
    case("numeric(3,5)", TEXT, "0.00123"),
    case("numeric", TEXT, "1.5000", "'NaN'", "'-Infinity'", "'Infinity'", "'" + "9" * 1000 + ".5'", "0.000"),
    case("money", TEXT, "'-92233720368547758.08'", "'92233720368547758.07'", "0"),
    case(
        "text", TEXT, "''", "E'a\\\\b\"\\'\\n\\u00e9\\U0001F600'", "' NULL '", "'\\N'", "repeat('é', 40000)"
    ),
    case("varchar(5)", TEXT, "''", "'ab '", "'ééééé'"),
    case("character(5)", TEXT, "''", "'ab'", "'ééééé'", of="bpchar"),
    case("bpchar", TEXT, "''", "'ab  '"),
    case("name", TEXT, "''", "repeat('n', 63)"),
    case('"char"', TEXT, "'x'", "''", "'\\377'", of="char"),
    case("bytea", pa.binary(), "'\\x'", "'\\x00ff5c78'", "'\\x4e554c4c'"),
    case("uuid", TEXT, "'00000000-0000-0000-0000-000000000000'", "'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'"),
    case(
        *("date", pa.date32(), "'2024-02-29'", "'0001-01-01'", "'9999-12-31'", "'10000-01-01'"),
        *("'0001-12-31 BC'", "'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'"),
    ),
    case(
        *("timestamp", pa.timestamp("us"), "'2024-01-02 03:04:05.6789'", "'9999-12-31 23:59:59.999999'"),
        *("'0001-01-01'", "'infinity'", "'-infinity'", "'4713-01-01 BC'", "'294276-12-31 23:59:59.999999'"),
    ),
    case("timestamp(0)", pa.timestamp("us"), "'2024-01-02 03:04:05.6'", "'infinity'", of="timestamp"),
    case(
        *("timestamptz", SEEN, "'2024-01-02 03:04:05+02'", "'0001-01-01 00:00:00+00'", "'-infinity'"),
        *(
            "'9999-12-31 23:59:59.999999Z'",
            "'0001-01-01 00:00:00+01'",
            "'9999-12-31 23:59:59-01'",
            "'infinity'",
        ),
    ),
    case("time", TEXT, "'00:00'", "'24:00'", "'23:59:59.999999'"),
    case("timetz", TEXT, "'00:00+15:59:59'", "'24:00-15:59:59'", "'12:30:00.5+02'"),
    case(
        *("interval", TEXT, "'0'", "'1 year -2 days 03:04:05.6'", "'-178000000 years'", "'178000000 years'"),
        "'-1 day +1 hour'",
    ),
    case("json", TEXT, '\'{"a" : null, "a": 1.0}\'', "'null'", "' [ ]'", "'\"\\u0000\"'", "'1e400'"),
    case("jsonb", TEXT, '\'{"b":1, "a": null}\'', "'null'", "'{}'", "'1.000'", "'\"\"'"),
    case("jsonpath", TEXT, "'$.a[*] ? (@ > 1)'"),
    case("inet", TEXT, "'192.168.1.1'", "'10.1.2.3/8'", "'::'", "'::ffff:1.2.3.4/96'"),
    case("cidr", TEXT, "'10.0.0.0/8'", "'0.0.0.0/0'", "'::/0'", "'1.2.3.4/32'"),
    case("macaddr", TEXT, "'00:00:00:00:00:00'", "'FF:FF:FF:FF:FF:FF'"),
    case("macaddr8", TEXT, "'08:00:2b:01:02:03:04:05'"),
    case("point", TEXT, "'(1.5,-0)'", "'(NaN,Infinity)'", "'(1e-300,1e300)'"),
    case("line", TEXT, "'{1,-1,0}'"),
    case("lseg", TEXT, "'[(0,0),(1,1)]'"),
    case("box", TEXT, "'(1,1),(0,0)'"),
    case("path", TEXT, "'[(0,0),(1,1)]'", "'((0,0),(1,1))'"),
    case("polygon", TEXT, "'((0,0),(1,1))'"),
    case("circle", TEXT, "'<(0,0),1>'", "'<(0,0),0>'"),
    case("bit(3)", TEXT, "B'000'", "B'101'", of="bit"),
    case("bit varying", TEXT, "B''", "B'1'", of="varbit"),
    case("tsvector", TEXT, "''", "'a:1A b:2'"),
    case("tsquery", TEXT, "''", "'a & !b <-> c:*'"),
    case("pg_lsn", TEXT, "'0/0'", "'FFFFFFFF/FFFFFFFF'"),
    case("xid", TEXT, "'0'", "'4294967295'"),
    case("xid8", TEXT, "'0'", "'18446744073709551615'"),
    case("cid", TEXT, "'4294967295'"),
    case("tid", TEXT, "'(0,1)'", "'(4294967295,65535)'"),
    case("aclitem", TEXT, "'postgres=r*w/postgres'"),
    case("refcursor", TEXT, "''", "'c'"),
    case("pg_snapshot", TEXT, "'10:20:10,14,15'"),
    case("txid_snapshot", TEXT, "'10:20:10,14,15'"),
    case("pg_node_tree", TEXT, "(SELECT adbin FROM pg_attrdef WHERE adrelid = 't0'::regclass)"),
    # Their input functions take nothing.
    case("gtsvector", TEXT),
    case("pg_ndistinct", TEXT),
    case("pg_dependencies", TEXT),
    case("pg_mcv_list", TEXT),
    case("pg_brin_bloom_summary", TEXT),
    case("pg_brin_minmax_multi_summary", TEXT),
    case("int2vector", TEXT, "''", "'1 -2'"),
    case("oidvector", TEXT, "'1 4294967295'"),
    case("regclass", TEXT, "'pg_class'", "'public.t0'", "'0'", "'4294967295'"),
    case("regcollation", TEXT, "'\"C\"'"),
    case("regconfig", TEXT, "'english'"),
    case("regdictionary", TEXT, "'simple'"),
    case("regnamespace", TEXT, "'pg_catalog'"),
    case("regoper", TEXT, "'0'"),
    case("regoperator", TEXT, "'+(integer,integer)'"),
    case("regproc", TEXT, "'pg_typeof'"),
    case("regprocedure", TEXT, "'abs(integer)'"),
    case("regrole", TEXT, "'postgres'"),
    case("regtype", TEXT, "'character varying'"),
    case("int4range", TEXT, "'empty'", "'[1,5]'", "'(,)'"),
    case("int8range", TEXT, "'[-9223372036854775808,9223372036854775807)'"),
    case("numrange", TEXT, "'(-Infinity,NaN)'", "'[1.50,2.0)'"),
    case("daterange", TEXT, "'[2024-01-01,infinity]'"),
    case("tsrange", TEXT, "'[0044-03-15 BC,2024-01-01 00:00:00.5)'"),
    case("tstzrange", TEXT, "'[2024-01-01 00:00+01,)'"),
    case("int4multirange", TEXT, "'{}'", "'{[1,2),[5,6)}'"),
    case("int8multirange", TEXT, "'{(,5)}'"),
    case("nummultirange", TEXT, "'{[1.5,2]}'"),
    case("datemultirange", TEXT, "'{[2024-01-01,2024-01-02]}'"),
    case("tsmultirange", TEXT, "'{[2024-01-01,infinity]}'"),
    case("tstzmultirange", TEXT, "'{[2024-01-01,infinity]}'"),
    case("moods", TEXT, "'[a,\"b,c\")'", of="range of one's own"),
    case("mood", TEXT, "'happy '", "''", of="enum"),
    case("pair", TEXT, "ROW(NULL, NULL)", "ROW('x \"y', true)", of="composite"),
    case("price", pa.decimal128(10, 2), "1.25", "'NaN'", of="domain"),
    case("price_twice", pa.decimal128(10, 2), "3.5", of="domain"),
    case("short_code", TEXT, "'ab'", of="domain"),
    case("later", SEEN, "'infinity'", "'2024-01-01Z'", of="domain"),
    case("hstore", TEXT, "'a=>NULL,b=>\"1\"'", "''", of="extension"),
    case("citext", TEXT, "'MiXed '", "''", of="extension"),
)

XML = case("xml", TEXT, "'<a> 1</a>'", "'x'")
"""For a server that was built with it."""

SHAPES = (
    case("integer[]", TEXT, "'[0:1][-1:0]={{1,2},{3,NULL}}'"),
    case("text[]", TEXT, "ARRAY['a,b', 'null', '', 'q\"', E'\\\\']"),
)
"""Arrays of other shapes; of every type above there is one of one dimension."""


def array_of(each: Case) -> Case:
    """A column of the type's array: empty, and with every value of the type and a NULL."""
    every = ", ".join([*(f"({value})::{each.declared}" for value in each.values), "NULL"])
    return case(f"{each.declared}[]", TEXT, "'{}'", f"ARRAY[{every}]::{each.declared}[]")


def cases_of(*, xml: bool) -> tuple[Case, ...]:
    """Every column of the one wide table."""
    scalars = (*CASES, XML) if xml else (*CASES, case("xml", TEXT))
    arrays = tuple(array_of(each) for each in scalars if each.declared not in _NO_ARRAY)
    return (*scalars, *SHAPES, *arrays)


_NO_ARRAY = frozenset(
    {"pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list"}
    | {"pg_brin_bloom_summary", "pg_brin_minmax_multi_summary"}
)
"""`pg_type` has no array of these."""
