"""docs/sql-projections.md agrees with the program: types, reasons, limits, the declaration."""

from __future__ import annotations

import pyarrow as pa
import pytest

from replication_assets.catalog import SqlProjection
from replication_assets.core.schema import Column, TableSchema
from replication_assets.targets.sql.mysql.types import Collations
from replication_assets.targets.sql.projection import arriving, postgres
from replication_assets.targets.sql.projection.layout import Layout, Place
from replication_assets.targets.sql.projection.mysql_tables import MySqlTables
from replication_assets.targets.sql.projection.oracle import database as oracle
from replication_assets.targets.sql.projection.oracle import types as oracle_types
from replication_assets.targets.sql.projection.postgres_tables import column_type
from replication_assets.targets.sql.projection.sqlite_tables import declared
from replication_assets.targets.sql.projection.sqlserver import database as sqlserver
from replication_assets.targets.sql.projection.sqlserver import types as sqlserver_types
from replication_assets.targets.sql.projection.tables import _arrow
from replication_assets.targets.sql.projection.values import _HELD, _WIDER
from replication_assets_tests.markdown import ROOT, code, quoted, rows

DOCUMENT = ROOT / "docs" / "sql-projections.md"
TYPES = [(name, *cells) for first, *cells in rows(DOCUMENT, "Types") for name in quoted(first)]


@pytest.mark.parametrize(
    ("stored", "postgresql", "mysql", "sqlite", "mssql", "oracle"), TYPES, ids=[each[0] for each in TYPES]
)
def test_a_column_has_the_type_that_the_table_says(
    stored: str, postgresql: str, mysql: str, sqlite: str, mssql: str, oracle: str
) -> None:
    schema = TableSchema((Column("c", "anything", _arrow(stored)),))
    layout = Layout(Place("s", "t"), schema)
    field = layout.rows.field("c")
    assert f"`{column_type(field, layout)}`" == postgresql
    tables = MySqlTables(None, Collations.of(mariadb=True), lambda _: Place("s", "t"))  # type: ignore[arg-type]
    assert tables.column_type(field, layout).split(" ")[0] == mysql.strip("`")
    assert f"`{declared(field)}`" == sqlite
    assert sqlserver_types.column_type(field, layout).split(" ")[0] == mssql.strip("`")
    assert f"`{oracle_types.column_type(field, layout)}`" == oracle


def test_every_type_that_a_column_may_have_is_in_the_table() -> None:
    told = {_arrow(each[0]) for each in TYPES}
    assert {*_HELD, *_WIDER} == {kind for kind in told if not pa.types.is_decimal(kind)}


def test_every_reason_to_refuse_a_row_is_told() -> None:
    told = {quoted(cells[0])[0] for cells in rows(DOCUMENT, "Rows that are refused")}
    assert told == set(arriving._REASONS)
    limits = " ".join(cells[1] for cells in rows(DOCUMENT, "Rows that are refused"))
    assert f"{postgres.LONGEST_KEY:,} bytes" in limits
    assert f"{postgres.LONGEST_ROW >> 20} MiB" in limits
    assert f"SQL Server: {sqlserver.LONGEST_ROW >> 20} MiB" in limits
    layout = Layout(Place("s", "t"), TableSchema((Column("c", "text", pa.string()),), ("c",)))
    share = sqlserver_types.key_share(layout)
    assert f"SQL Server: above {share // 2} characters" in limits
    assert f"or {share:,} bytes" in limits
    assert f"Oracle: {oracle.LONGEST_ROW >> 20} MiB" in limits
    assert f"Oracle: above {oracle_types.TEXT_BYTES:,} bytes of a text, {oracle_types.RAW_BYTES:,}" in limits


def test_the_declarations_are_ones() -> None:
    found: dict[str, object] = {}
    exec(code(DOCUMENT, "Declare"), found)
    assert [type(found[name]) for name in ("reports", "legacy", "laptop", "ledger", "archive")] == [
        SqlProjection
    ] * 5
