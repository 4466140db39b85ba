"""Filters as Transact-SQL: what is pushed of which type, and that no value gets out of its constant."""

from __future__ import annotations

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from replication_assets.core.pushed_filters import pushed
from replication_assets.core.row_filters import Compare, Where
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.ports import LeavesOutUnchanged
from replication_assets.sources.sqlserver.source import CdcSource, TrackingSource
from replication_assets.sources.sqlserver.statements.filters import SqlServerFilters
from replication_assets.sources.sqlserver.statements.values import select_rows
from replication_assets.sources.sqlserver.types import NativeType, stored_type
from replication_assets_tests.sources.sqlserver.recorded import recorded_server

T = TableId("erp", "dbo", "t")


def column(native: str, name: str = "c") -> Column:
    return Column(name, native, stored_type(NativeType.parse(native)))


def condition(native: str, compare: Compare, name: str = "c") -> list[str]:
    schema = TableSchema((column(native, name),))
    return pushed(SqlServerFilters(), [Where(name, [compare])], schema)


@pytest.mark.parametrize(
    ("native", "compare", "expected"),
    [
        ("int", Compare("lte", ["1.5"]), "([c] <= 1)"),
        ("decimal(12,3)", Compare("notbetween", ["-0.5", "7"]), "(([c] < -0.5 OR [c] > 7))"),
        ("bit", Compare("eq", ["true"]), "([c] = CAST(1 AS bit))"),
        ("date", Compare("gte", ["2024-02-29"]), "([c] >= CAST(N'2024-02-29' AS date))"),
        ("datetime2(3)", Compare("lte", ["2024-01-01"]),
         "([c] <= CAST(N'2024-01-01T00:00:00.000000' AS datetime2(6)))"),
        ("nvarchar(20)", Compare("eq", ["it's"]), "([c] = N'it''s')"),
        ("varchar(20)", Compare("null"), "([c] IS NULL)"),
    ],
)  # fmt: skip
def test_what_the_server_compares_alike_is_pushed(native: str, compare: Compare, expected: str) -> None:
    assert condition(native, compare) == [expected]


def test_moments_that_no_stored_value_holds_are_always_read() -> None:
    (found,) = condition("datetime2(7)", Compare("lte", ["2024-01-01"]))
    assert found.endswith(" OR DATEPART(NANOSECOND, [c]) % 1000 <> 0)")


@pytest.mark.parametrize(
    ("native", "compare"),
    [
        ("nvarchar(20)", Compare("gte", ["a"])),
        ("nvarchar(20)", Compare("noteq", ["a"])),
        ("nvarchar(20)", Compare("eq", ["é"])),
        ("nvarchar(max)", Compare("eq", ["a"])),
        ("datetime", Compare("eq", ["2024-01-01"])),
        ("float", Compare("eq", ["1"])),
        ("decimal(38,0)", Compare("eq", ["1e50"])),
    ],
)
def test_what_it_compares_otherwise_is_not(native: str, compare: Compare) -> None:
    assert condition(native, compare) == []


hostile = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None)
@given(hostile.filter(lambda name: "\0" not in name), hostile)
def test_names_and_values_stay_in_their_places(name: str, value: str) -> None:
    pushed_filters = condition("nvarchar(20)", Compare("eq", [value]), name)
    for each in pushed_filters:
        (query,) = sqlglot.parse(select_rows(T, (column("int", "id"),), each), dialect="tsql")
        assert query is not None
        (equal,) = query.find_all(exp.EQ)
        assert (equal.left.name, equal.right.this) == (name, value)
    assert bool(pushed_filters) == (value.isascii() and value.isprintable())


def test_change_tables_leave_out_large_values_and_tracked_rows_are_read_whole() -> None:
    schema = TableSchema((column("int", "id"), column("nvarchar(max)", "body")), ("id",))
    by_cdc, tracked = CdcSource("erp", recorded_server()), TrackingSource("erp", recorded_server())
    assert isinstance(by_cdc, LeavesOutUnchanged)
    assert not isinstance(tracked, LeavesOutUnchanged)
    (told,) = by_cdc.left_out(T, schema)
    assert "values of body of dbo.t" in told
    assert by_cdc.left_out(T, TableSchema(schema.columns[:1], ("id",))) == ()
