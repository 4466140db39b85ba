"""Filters as Oracle's SQL: what is pushed of which type, and that no value gets out of its constant."""

from __future__ import annotations

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from replication_assets.core.pushed_filters import pushed
from replication_assets.core.row_filters import Compare, Where
from replication_assets.core.schema import TableSchema
from replication_assets.sources.oracle.filters import OracleFilters, left_out
from replication_assets.sources.oracle.statements import rows
from replication_assets.sources.oracle.types import column_of

AT = "TIMESTAMP '{}-01-01 00:00:00 +00:00'"


def condition(native: str, compare: Compare) -> list[str]:
    schema = TableSchema((column_of("C", native, True),))
    return pushed(OracleFilters(), [Where("C", [compare])], schema)


@pytest.mark.parametrize(
    ("native", "compare", "expected"),
    [
        ("NUMBER(9)", Compare("between", ["0.5", "7"]), '(("C" >= 1 AND "C" <= 7))'),
        ("NUMBER(10,2)", Compare("noteq", ["-1.50"]), '("C" <> -1.50)'),
        ("DATE", Compare("gte", ["2024-02-29"]),
         """("C" >= TIMESTAMP '2024-02-29 00:00:00' OR "C" < DATE '0001-01-01')"""),
        ("TIMESTAMP(3) WITH LOCAL TIME ZONE", Compare("lte", ["2024-01-01T01:00:00+01:00"]),
         f"""("C" <= {AT.format("2024")} OR "C" < {AT.format("0001")})"""),
        ("VARCHAR2(20)", Compare("eq", ["it's :x"]), """("C" = 'it''s :x')"""),
        ("VARCHAR2(20)", Compare("notnull"), '("C" IS NOT NULL)'),
    ],
)  # fmt: skip
def test_what_the_server_compares_alike_is_pushed(native: str, compare: Compare, expected: str) -> None:
    (found,) = condition(native, compare)
    assert found == expected
    parsed = sqlglot.parse_one(rows.select(['"C"'], "S", "T", found, "scn"), read="oracle")
    assert isinstance(parsed, exp.Select)
    assert {each.name for each in parsed.find_all(exp.Placeholder)} == {"scn"}


@pytest.mark.parametrize(
    ("native", "compare"),
    [
        ("VARCHAR2(20)", Compare("gte", ["a"])),
        ("VARCHAR2(20)", Compare("eq", ["é"])),
        ("VARCHAR2(20)", Compare("eq", [""])),
        ("CHAR(3)", Compare("eq", ["a"])),
        ("NUMBER", Compare("eq", ["1"])),
        ("NUMBER(*,0)", Compare("null")),
        ("NUMBER(38,-5)", Compare("eq", ["1e5"])),
        ("NUMBER(38,-5)", Compare("gte", ["100000"])),
        ("NUMBER(5,40)", Compare("lte", ["9"])),
        ("BINARY_DOUBLE", Compare("eq", ["1"])),
        ("CLOB", Compare("null")),
        ("NUMBER(38)", Compare("eq", ["1e50"])),
    ],
)
def test_what_it_compares_otherwise_or_may_be_odd_is_not(native: str, compare: Compare) -> None:
    assert condition(native, compare) == []


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_a_value_stays_in_its_constant(value: str) -> None:
    found = condition("VARCHAR2(20)", Compare("eq", [value]))
    for each in found:
        parsed = sqlglot.parse_one(rows.select(['"C"'], "S", "T", each, "scn"), read="oracle")
        (equal,) = parsed.find_all(exp.EQ)
        assert equal.right.this == value
    assert bool(found) == (value.isascii() and value.isprintable())


def test_redo_leaves_out_large_objects() -> None:
    schema = TableSchema((column_of("ID", "NUMBER(9)", False), column_of("BODY", "CLOB", True)), ("ID",))
    (told,) = left_out("S.T", schema)
    assert "values of BODY of S.T" in told
    assert left_out("S.T", TableSchema(schema.columns[:1])) == ()
