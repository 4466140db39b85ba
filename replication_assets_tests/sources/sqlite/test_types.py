"""Any value in any column: what a load stores is what capture stores, and nothing is lost."""

from __future__ import annotations

import datetime as dt
import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.events import OVERFLOW
from replication_assets.core.schema import Column
from replication_assets.ports import LoadSlice
from replication_assets.sources.sqlite.types import NotUtf8, literal_of, stored, stored_type
from replication_assets_tests.contracts.change_source import DATES, WHOLE, Following
from replication_assets_tests.sources.sqlite.places import SqlitePlace

DECLARED = (
    "INTEGER",
    "VARCHAR(5)",
    "BLOB",
    "REAL",
    "DECIMAL(10,2)",
    "DATE",
    "DATETIME",
    "BOOLEAN",
    "",
    "ANY",
)
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1, 2, 2**53, 2**53 + 1]),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    st.sampled_from(["1", "1.0", "'", "X'00'", "2026-02-28", "2026-02-30", "2026-02-28 23:59:59.000001"]),
    st.binary(max_size=6),
)


@settings(max_examples=25)
@given(st.lists(st.tuples(*[VALUES] * len(DECLARED)), min_size=1, max_size=6))
def test_a_load_and_a_capture_store_the_same_and_every_value_can_be_read_back(
    rows: list[tuple[Any, ...]],
) -> None:
    with TemporaryDirectory() as folder:
        place = SqlitePlace.at(Path(folder) / "app.db")
        names = [f"c{number}" for number in range(len(DECLARED))]
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, DECLARED, strict=True))
        place.create("t", f"id INTEGER PRIMARY KEY, {columns}")
        following = Following(place)
        following.declare("t")
        with closing(place.session()) as session, session:
            marks = ", ".join("?" for _ in range(1 + len(DECLARED)))
            session.executemany(f"INSERT INTO t VALUES ({marks})", [(i, *row) for i, row in enumerate(rows)])
        held = place.rows("SELECT * FROM t ORDER BY id")
        following.drain()
        loaded = _loaded(following)
        captured = pa.Table.from_batches(
            [batch.rows for chunk in following.chunks for batch in chunk.batches]
        ).select(loaded.column_names)
        assert captured.equals(loaded)
        for row, found in zip(held, loaded.to_pylist(), strict=True):
            odd = json.loads(found[OVERFLOW] or "{}")
            for name, kind, value in zip(names, DECLARED, row[1:], strict=True):
                assert _same(_read_back(kind, found[name], odd.get(name)), value), (kind, name)


def _loaded(following: Following) -> pa.Table:
    table = following.table("t")
    wanted = LoadSlice(table, following.tables[table], None, WHOLE, DATES)
    with following.place.source.load(wanted) as load:
        return pa.Table.from_batches(list(load))


def _read_back(declared: str, typed: Any, odd: str | None) -> Any:
    """The value that SQLite had, from what the store has."""
    literal = odd if odd is not None else typed if declared in ("", "ANY") else None
    if literal is not None:
        with closing(sqlite3.connect(":memory:")) as session:
            # As a parameter and not as a literal where text holds NUL, which ends a statement.
            if literal.startswith("'"):
                return literal[1:-1].replace("''", "'")
            return session.execute(f"SELECT {literal}").fetchone()[0]
    if declared == "BOOLEAN" and typed is not None:
        return int(typed)
    if isinstance(typed, dt.datetime):
        return typed.isoformat(" ")
    return typed.isoformat() if isinstance(typed, dt.date) else typed


def _same(found: Any, value: Any) -> bool:
    # SQLite itself keeps an integral real as an integer in a NUMERIC column.
    if isinstance(found, float) and isinstance(value, int):
        return found == value and abs(value) <= 2**53
    return type(found) is type(value) and (found == value or (math.isinf(value) and found == value))


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        ("UNSIGNED BIG INT", pa.int64()),
        ("CHARACTER VARYING(20)", pa.string()),
        ("DOUBLE PRECISION", pa.float64()),
        ("NUMERIC", pa.float64()),
        ("DATE", pa.date32()),
        ("TIMESTAMP", pa.timestamp("us")),
        ("BOOL", pa.bool_()),
        ("", pa.string()),
    ],
)
def test_declared_types_decide(declared: str, kind: pa.DataType) -> None:
    assert stored_type(declared) == kind


@pytest.mark.parametrize(
    "value", ["2026-1-1", "2026-02-30", "2026-01-01T00:00:00", "2026-01-01 00:00:00.5", 5, 2.5]
)
def test_what_is_no_moment_stands_beside_the_column(value: Any) -> None:
    typed, odd = stored(Column("c", "datetime", pa.timestamp("us")), [value, None])
    assert typed.to_pylist() == [None, None]
    assert odd is not None
    assert odd.to_pylist() == [literal_of(value), None]


def test_text_that_is_not_utf8_is_kept_as_its_bytes(tmp_path: Path) -> None:
    place = SqlitePlace.at(tmp_path / "app.db")
    place.create("t", "id INTEGER PRIMARY KEY, s TEXT")
    following = Following(place)
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 'good'), (2, CAST(x'ff41' AS TEXT)), (3, 'good')")
    following.drain()
    expected = [("good", None), (None, '{"s":"CAST(X\'ff41\' AS TEXT)"}'), ("good", None)]
    for rows in (_loaded(following), following.chunks[0].batches[0].rows):
        assert list(zip(rows["s"].to_pylist(), rows[OVERFLOW].to_pylist(), strict=True)) == expected
    assert literal_of(NotUtf8(b"\xff")) == "CAST(X'ff' AS TEXT)"
