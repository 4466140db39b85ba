"""A projection into SQLite from a shell: brought forward, asked, validated, repaired, reset."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from replication_assets_tests.cli.conftest import Project


@pytest.fixture
def copied(loaded: Project) -> Project:
    loaded.edit_catalog("DeltaProjection, EnvVar", "DeltaProjection, SqlProjection, SqliteTarget, EnvVar")
    loaded.edit_catalog(
        "projections=[",
        'projections=[SqlProjection("copy", tables=["shop.public.orders"],'
        ' target=SqliteTarget(str(HERE / "copies"))), ',
    )
    loaded.capture()
    return loaded


def ask(project: Project, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(project.folder / "copies" / "public.db", isolation_level=None)) as database:
        return database.execute(statement).fetchall()


def test_a_copy_in_sqlite_follows_is_validated_repaired_and_reset(copied: Project) -> None:
    assert "copy shop.public.orders r000000: replaced" in copied.run("project", "copy").err
    copied.sql("UPDATE orders SET status = 'sent' WHERE id <= 10", "DELETE FROM orders WHERE id = 11")
    copied.capture()
    assert "copy shop.public.orders r000000: applied" in copied.run("project", "copy").err
    expected = copied.rows("SELECT id, status, total::text FROM orders ORDER BY id")
    assert ask(copied, "SELECT id, status, total FROM orders ORDER BY id") == expected
    ask(copied, "UPDATE orders SET status = 'edited' WHERE id = 5")
    assert "shop.public.orders" in copied.run("validate", "copy", "--no-source", code=3).text
    copied.run("repair", "copy", "--no-source")
    assert ask(copied, "SELECT id, status, total FROM orders ORDER BY id") == expected
    found = copied.run("query", "SELECT count(*) FROM copy.orders", "--format", "csv")
    assert found.lines[1:] == [f'"{len(expected)}"']
    copied.run("project", "copy", "--reset", "--yes")
    assert ask(copied, "SELECT id, status, total FROM orders ORDER BY id") == expected
