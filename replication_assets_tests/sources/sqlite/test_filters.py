"""Filters as SQLite's SQL: every row that passes is read, whatever encoding the database has."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pyarrow as pa
import pytest

from replication_assets.core.pushed_filters import pushed
from replication_assets.core.row_filters import Compare, Where, mask
from replication_assets.core.schema import Column, TableSchema
from replication_assets.sources.sqlite.filters import SqliteFilters

SCHEMA = TableSchema((Column("i", "INTEGER", pa.int64()), Column("s", "TEXT", pa.string())))
# The last two stand the other way round in UTF-16.
TEXTS = ["a", "A", "", "\ud7ff", "\uffee", "\U0001f600"]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_no_text_that_passes_is_left_out(encoding: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute("CREATE TABLE t (s TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [(each,) for each in TEXTS])
        rows = pa.table({"s": TEXTS})
        for operator in ("eq", "noteq", "lte", "gte", "between", "notbetween"):
            for bound in TEXTS:
                values = [bound, bound] if "between" in operator else [bound]
                where = [Where("s", [Compare(operator, values)])]
                condition = " AND ".join(pushed(SqliteFilters(), where, SCHEMA)) or "1"
                read = {text for (text,) in connection.execute(f"SELECT s FROM t WHERE {condition}")}
                assert set(rows.filter(mask(where, rows)).column("s").to_pylist()) <= read


def test_integers_and_that_a_text_equals_are_pushed() -> None:
    integer, text = Where("i", [Compare("gte", ["0.5"])]), Where("s", [Compare("eq", ["it's"])])
    assert pushed(SqliteFilters(), [integer, text, Where("s", [Compare("gte", ["a"])])], SCHEMA) == [
        "(\"i\" >= 1 OR typeof(\"i\") NOT IN ('integer', 'null'))",
        "(\"s\" COLLATE BINARY = 'it''s' OR typeof(\"s\") NOT IN ('text', 'null'))",
    ]
