"""A declared table is held against the columns that its source really has."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from replication_assets.catalog import ByBounds, ByCount, ByWidth, EventDate, Table
from replication_assets.core.dates import EventDates
from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import CatalogError
from replication_assets.table_fit import TableFit, fit_table

COLUMNS = (
    Column("id", "bigint", pa.int64()),
    Column("code", "text", pa.string()),
    Column("price", "double precision", pa.float64()),
    Column("created", "date", pa.date32()),
)
KEYED = TableSchema(COLUMNS, key=("id", "code"))


def orders(**changed: object) -> Table:
    return Table("shop.public.orders", **changed)  # type: ignore[arg-type]


def refused(table: Table, schema: TableSchema) -> tuple[str, ...]:
    with pytest.raises(CatalogError) as error:
        fit_table(table, schema)
    assert all("Fix: " in problem for problem in error.value.problems)
    assert str(error.value).startswith("shop.public.orders: ")
    return error.value.problems


def test_ranges_are_cut_on_the_leading_key_column_by_default() -> None:
    start = dt.date(2020, 1, 1)
    found = fit_table(orders(id_ranges=ByCount(4), event_date=EventDate("created", "day", start)), KEYED)
    assert found == TableFit(ByCount(4), "id", "integer", EventDates("created", "day", start))


def test_ranges_are_cut_on_the_declared_column_of_the_key() -> None:
    found = fit_table(orders(id_ranges=ByBounds(("m",)), range_column="code"), KEYED)
    assert (found.range_column, found.kind) == ("code", "text")


def test_a_whole_table_needs_neither_key_nor_range_column() -> None:
    found = fit_table(orders(), TableSchema(COLUMNS))
    assert (found.range_column, found.kind) == (None, None)


def test_ranges_of_a_table_without_key_need_a_range_column() -> None:
    assert "no key to cut ranges on" in refused(orders(id_ranges=ByCount(4)), TableSchema(COLUMNS))[0]
    keyless = orders(id_ranges=ByCount(4), range_column="id")
    assert fit_table(keyless, TableSchema(COLUMNS)).range_column == "id"


def test_a_range_column_that_deletes_do_not_carry_is_refused() -> None:
    by_code = orders(id_ranges=ByBounds(("m",)), range_column="code")
    assert "deletes carry the key alone" in refused(by_code, TableSchema(COLUMNS, key=("id",)))[0]
    assert fit_table(by_code, TableSchema(COLUMNS, key=("id",), append_only=True)).kind == "text"


def test_everything_that_does_not_fit_is_told_together() -> None:
    schema = TableSchema((*COLUMNS, Column("_Sequence", "bigint", pa.int64())), key=("code",))
    problems = refused(orders(id_ranges=ByWidth(10), event_date=EventDate("price")), schema)
    assert len(problems) == 3
    assert any("'_Sequence' is reserved" in problem for problem in problems)


@pytest.mark.parametrize(
    ("column", "complaint"), [("price", "double precision"), ("nope", "not in the table")]
)
def test_a_range_column_that_cannot_be_cut_is_refused(column: str, complaint: str) -> None:
    assert complaint in refused(orders(id_ranges=ByCount(2), range_column=column), TableSchema(COLUMNS))[0]
