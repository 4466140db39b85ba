"""Partitioned tables under triggers: rows of every partition, whenever it came, and what empties one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from replication_assets.errors import SourceNotReady
from replication_assets.sources.postgres.connection import PostgresConnection
from replication_assets.sources.postgres.triggers.source import TriggerSource
from replication_assets_tests.contracts.change_source import Following, told
from replication_assets_tests.postgres_servers import FreshDatabase
from replication_assets_tests.sources.postgres.places import PostgresPlace

PARTITIONED = (
    "CREATE TABLE p (id int, day date, v int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
    "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (day)",
    "CREATE TABLE p2a PARTITION OF p2 DEFAULT",
)


@pytest.fixture
def following(any_postgres_database: FreshDatabase) -> Iterator[Following]:
    connection = PostgresConnection.parse(any_postgres_database.dsn)
    found = Following(
        PostgresPlace(any_postgres_database, TriggerSource("app", connection, load_wait=20), by_log=False)
    )
    found.place.execute(*PARTITIONED)
    found.declare("p")
    yield found
    found.place.source.teardown(force=True)
    assert found.place.source.remains() == ()


def drained(following: Following) -> tuple[list[Any], list[Any], int]:
    """Operations with ids, changes of the schema, truncations."""
    following.chunks.clear()
    following.drain()
    changes = [change for chunk in following.chunks for _, _, change in chunk.schema_changes]
    truncated = sum(len(chunk.truncated) for chunk in following.chunks)
    return told(following.chunks, following.table("p"), "id"), changes, truncated


def test_rows_of_all_partitions_are_told_as_those_of_the_table(following: Following) -> None:
    place = following.place
    place.execute(
        "INSERT INTO p VALUES (1, '2026-01-05', 1), (2, '2026-02-05', 2)",
        "INSERT INTO p1 VALUES (3, '2026-01-06', 3)",
    )
    place.execute("UPDATE p SET day = '2026-02-06' WHERE id = 1", "DELETE FROM p2a WHERE id = 2")
    found, changes, truncated = drained(following)
    assert sorted(found[:3]) == [("I", 1), ("I", 2), ("I", 3)]
    assert found[3:] == [("D", 1), ("I", 1), ("D", 2)]
    assert (changes, truncated) == ([], 0)
    assert sum(following.load("p")[1].values()) == 2


def test_rows_of_a_partition_that_was_made_since_are_told_at_once(following: Following) -> None:
    place = following.place
    place.execute(
        "CREATE TABLE p3 PARTITION OF p FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')",
        "INSERT INTO p VALUES (5, '2026-03-05', 1)",
    )
    found, changes, _ = drained(following)
    assert found == [("I", 5)]
    assert [change.reload for change in changes] == [False]
    place.execute("INSERT INTO p VALUES (6, '2026-03-06', 1)")
    assert drained(following)[:2] == ([("I", 6)], [])
    place.execute("TRUNCATE p3")
    _, (change,), truncated = drained(following)
    assert (change.reload, truncated) == (True, 0)


def test_a_truncate_of_the_table_is_told_as_one_and_of_a_partition_by_a_load(following: Following) -> None:
    place = following.place
    place.execute("INSERT INTO p VALUES (1, '2026-01-05', 1), (2, '2026-02-05', 2)")
    drained(following)
    place.execute("TRUNCATE p", "INSERT INTO p VALUES (3, '2026-01-05', 1)")
    assert drained(following) == ([("I", 3)], [], 1)
    place.execute("TRUNCATE p2")
    found, changes, truncated = drained(following)
    assert (found, truncated) == ([], 0)
    assert all(change.reload for change in changes)
    assert changes
    # Within one transaction, the second is of a partition alone.
    place.execute("TRUNCATE p", "INSERT INTO p VALUES (4, '2026-01-05', 1)", "TRUNCATE p1")
    _, changes, truncated = drained(following)
    assert truncated == 1
    assert [change.reload for change in changes] == [True]


def test_partitions_that_bring_rows_or_take_them_ask_for_a_load(following: Following) -> None:
    place = following.place
    place.execute("CREATE TABLE p4 (LIKE p)", "INSERT INTO p4 VALUES (9, '2026-05-05', 1)")
    place.execute("ALTER TABLE p ATTACH PARTITION p4 FOR VALUES FROM ('2026-05-01') TO ('2026-06-01')")
    _, (change,), _ = drained(following)
    assert change.reload
    assert "was attached" in change.reason
    place.execute("ALTER TABLE p DETACH PARTITION p4")
    _, (change,), _ = drained(following)
    assert "was detached" in change.reason
    place.execute("INSERT INTO p4 VALUES (10, '2026-05-05', 1)", "TRUNCATE p4")
    assert drained(following) == ([], [], 0)


def test_a_partition_whose_columns_are_in_another_order_is_refused_by_name(following: Following) -> None:
    place = following.place
    place.execute("CREATE TABLE p5 (v int, day date NOT NULL, id int NOT NULL)")
    place.execute(
        "ALTER TABLE p ATTACH PARTITION p5 FOR VALUES FROM ('2026-07-01') TO ('2026-08-01')",
        "INSERT INTO p VALUES (1, '2026-07-05', 7)",
    )
    with pytest.raises(SourceNotReady, match=r"partition public\.p5 .* another order"):
        following.drain()
    with pytest.raises(SourceNotReady, match=r"partition public\.p5 .* another order"):
        following.setup()
    place.execute("DROP TABLE p5")
    _, changes, _ = drained(following)
    assert any(change.reload for change in changes)


def test_a_column_of_the_table_is_one_of_its_partitions(following: Following) -> None:
    place = following.place
    place.execute("INSERT INTO p VALUES (1, '2026-01-05', 1)", "ALTER TABLE p ADD w text")
    place.execute("INSERT INTO p VALUES (2, '2026-01-05', 1, 'w')")
    found, changes, _ = drained(following)
    assert found == [("I", 1), ("I", 2)]
    assert {change.reload for change in changes} == {False}
