"""Every type and every odd value, through load and through capture, into the projection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replication_assets.catalog import ByCount, Table
from replication_assets.core.schema import TableId
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase
from replication_assets_tests.sources.postgres.test_types import TYPES, VALUES

T = TableId(SOURCE, "public", "everything")


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    """One column for each case of the type tests, beside a key."""
    made = system_of(database, tmp_path, [Table("app.public.everything", id_ranges=ByCount(2))])
    declared = ", ".join(f"c{i} {kind}" for i, (kind, *_) in enumerate(VALUES))
    made.execute(
        *TYPES.strip().split("\n"), f"CREATE TABLE everything (id int PRIMARY KEY, n int, {declared})"
    )
    made.prepare()
    return made


def insert(system: System, key: int) -> None:
    literals = ", ".join(f"{literal}::{kind}" for kind, literal, *_ in VALUES)
    system.execute(
        f"INSERT INTO everything VALUES ({key}, 0, {literals})", f"INSERT INTO everything VALUES ({key + 1})"
    )


def projected(system: System) -> dict[int, dict[str, Any]]:
    found = {}
    for batch in system.target(T).read():
        for row in batch.to_pylist():
            odd = json.loads(row["_overflow"] or "{}")
            found[row["id"]] = {
                name: (exact(row[name]), odd.get(name)) for name in row if name.startswith("c")
            }
    return found


def exact(value: Any) -> Any:
    """NaN equals NaN, and -0.0 differs from 0.0."""
    return repr(value) if isinstance(value, float) else value


def test_loaded_captured_and_updated_rows_are_all_the_same_and_as_documented(system: System) -> None:
    insert(system, 1)
    system.load_all()
    insert(system, 11)
    insert(system, 21)
    system.execute(
        "UPDATE everything SET n = 1 WHERE id IN (21, 22)", "UPDATE everything SET n = 1 WHERE id < 3"
    )
    system.capture()
    system.project()
    system.check_table(system.table("everything"), independently=False)
    rows = projected(system)
    for number, (kind, literal, value, odd) in enumerate(VALUES):
        assert rows[1][f"c{number}"] == (exact(value), odd), (kind, literal)
    assert rows[1] == rows[11] == rows[21]
    assert rows[2] == rows[12] == rows[22]
    assert set(rows[2].values()) == {(None, None)}


def test_an_odd_value_that_an_update_left_out_of_line_stays(database: FreshDatabase, tmp_path: Path) -> None:
    """Odd values travel beside their columns, and so do values that were not sent."""
    made = system_of(database, tmp_path, [Table("app.public.everything", id_ranges=ByCount(1))])
    made.execute(
        "CREATE TABLE everything (id int PRIMARY KEY, n int, day timestamp, big text, price numeric(10,2))",
        "ALTER TABLE everything ALTER big SET STORAGE EXTERNAL",
        "INSERT INTO everything VALUES (1, 0, 'infinity', repeat('x', 5000), 'NaN')",
        "INSERT INTO everything VALUES (2, 0, now(), repeat('y', 5000), 1)",
    )
    made.prepare()
    made.load_all()
    made.project()
    made.execute(
        "INSERT INTO everything VALUES (3, 0, '-infinity', repeat('z', 5000), 'NaN')",
        "UPDATE everything SET n = n + 1",
        "UPDATE everything SET id = 4 WHERE id = 1",
        "UPDATE everything SET day = '2026-01-01' WHERE id = 3",
        "UPDATE everything SET day = 'infinity', price = 'NaN' WHERE id = 2",
    )
    made.capture()
    made.project()
    made.check_table(made.table("everything"), independently=False)
    found = {row["id"]: row for batch in made.target(T).read() for row in batch.to_pylist()}
    assert {key: json.loads(row["_overflow"] or "{}") for key, row in found.items()} == {
        4: {"day": "infinity", "price": "NaN"},
        2: {"day": "infinity", "price": "NaN"},
        3: {"price": "NaN"},
    }
    assert {key: row["big"] for key, row in found.items()} == {4: "x" * 5000, 2: "y" * 5000, 3: "z" * 5000}
