"""The source's tables change while they are replicated: told, followed, and never wrong in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replication_assets.catalog import ByBounds, ByCount, ByWidth, Table
from replication_assets.core.schema import Column, TableId
from replication_assets.errors import NeedsReload, SourceNotReady
from replication_assets.sources.postgres import load as postgres_load
from replication_assets_tests.e2e.system import (
    SOURCE,
    System,
    audit,
    check_changes,
    doubled,
    system_of,
    wait_for,
)
from replication_assets_tests.e2e.workers import capturing, load_in_parallel
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")
WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = 'walsender'"


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByWidth(50))])
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int, old text)",
        "INSERT INTO t SELECT i, 0, 'o' FROM generate_series(1, 120) i",
    )
    made.prepare()
    made.load_all()
    made.execute("UPDATE t SET v = 1 WHERE id < 30")
    made.capture()
    made.project()
    return made


def needs_reload(system: System, statement: str = "UPDATE t SET v = v + 1 WHERE id % 2 = 0") -> None:
    """The rows are refused from the change on, and right again after a load."""
    system.execute(statement)
    system.capture()
    with pytest.raises(NeedsReload):
        system.project()
    with pytest.raises(NeedsReload):
        system.in_store(T)
    system.load_all()
    system.finish()
    system.execute("UPDATE t SET v = v + 1 WHERE id % 3 = 0")
    system.finish()


def test_a_column_that_is_null_in_all_rows_is_added_and_followed(system: System) -> None:
    system.execute(
        "ALTER TABLE t ADD new text", "UPDATE t SET new = 'n' WHERE id < 10", "DELETE FROM t WHERE id = 3"
    )
    system.finish()
    assert system.live(T).names == ("id", "v", "old", "new")


def test_a_column_that_is_added_with_a_default_needs_a_load(system: System) -> None:
    system.execute("ALTER TABLE t ADD new text NOT NULL DEFAULT 'd'")
    needs_reload(system)


def test_a_column_that_is_added_and_filled_in_one_transaction_is_whole(system: System) -> None:
    with system.sql() as session, session.transaction():
        session.execute("UPDATE t SET v = 5 WHERE id = 1")
        session.execute("ALTER TABLE t ADD new int")
        session.execute("UPDATE t SET new = id")
    system.finish()


def test_a_dropped_column_is_gone_from_new_rows_and_kept_in_old_ones(system: System) -> None:
    system.execute("ALTER TABLE t DROP old", "UPDATE t SET v = 7 WHERE id > 100")
    system.finish()
    assert system.live(T).names == ("id", "v")
    assert "old" in system.store.log(T).snapshot().schema.names


def test_a_column_that_is_dropped_and_added_again_needs_a_load(system: System) -> None:
    system.execute("ALTER TABLE t DROP old", "ALTER TABLE t ADD old text")
    needs_reload(system)


def test_a_renamed_column_needs_a_load(system: System) -> None:
    system.execute(
        "ALTER TABLE t RENAME v TO w", "ALTER TABLE t ADD v int", "UPDATE t SET v = 1 WHERE id = 1"
    )
    needs_reload(system)


def test_a_change_that_a_load_sees_before_capture_does(system: System) -> None:
    system.execute(
        "UPDATE t SET v = 2 WHERE id = 2",
        "ALTER TABLE t ADD new int",
        "ALTER TABLE t ADD filled int DEFAULT 7",
        "UPDATE t SET new = 1 WHERE id < 5",
    )
    system.load_all()
    system.execute("UPDATE t SET v = 3 WHERE id = 3")
    # Capture meets the change after the load that saw it. Once is enough.
    system.finish_loading()


def test_loads_that_meet_a_new_type_before_capture_does_begin_one_chapter(system: System) -> None:
    """Changes of the old type that are captured later go where their type is."""
    system.execute("UPDATE t SET v = 5 WHERE id < 9", "ALTER TABLE t ALTER v TYPE text USING 'v' || v")
    load_in_parallel(system, [(T, each) for each in system.ranges(system.table("t"))], most=3)
    system.execute("UPDATE t SET v = 'z' WHERE id = 2")
    system.capture()
    assert system.store.chapters(T) == 2
    assert doubled(system.events(T), system.live(T)) == 0
    system.load_all()
    system.target(T).reset(system.live(T))
    system.finish()


def test_a_column_that_comes_while_a_load_waits_for_its_snapshot_is_loaded(system: System) -> None:
    """The load had looked at the columns already, and its rows are newer than what filled them."""
    system.execute("CREATE TABLE other (i int)")
    with system.sql(autocommit=False) as long:
        long.execute("INSERT INTO other VALUES (1)")
        loading = threading.Thread(target=system.load_all)
        loading.start()
        wait_for(
            system,
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = 'walsender'",
        )
        system.execute("ALTER TABLE t ADD new int", "UPDATE t SET new = id")
    loading.join()
    system.finish()
    assert {row[3] for row in system.in_projection(T)} == set(range(1, 121))


def test_a_table_that_is_rewritten_before_a_load_reads_it_is_not_loaded_empty(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a snapshot that is older than a rewrite the table looks empty."""
    columns_at, statements = (
        postgres_load.columns_at,
        ["ALTER TABLE t ADD g int GENERATED ALWAYS AS (v) STORED"],
    )

    def rewritten_first(*arguments: Any) -> tuple[Column, ...]:
        columns = columns_at(*arguments)
        if statements:
            system.execute(statements.pop())
        return columns

    monkeypatch.setattr(postgres_load, "columns_at", rewritten_first)
    system.load_all()
    assert statements == []
    system.finish()
    assert sum(system.in_projection(T).values()) == 120


def test_columns_change_again_and_again_under_a_running_capture(system: System, tmp_path: Path) -> None:
    with capturing(system, tmp_path):
        for turn in range(4):
            system.execute(
                f"ALTER TABLE t ADD c{turn} int",
                f"UPDATE t SET c{turn} = id WHERE id % 4 = {turn}",
                f"INSERT INTO t (id, c{turn}) VALUES ({500 + turn}, 1)",
            )
            if turn:
                system.execute(f"ALTER TABLE t DROP c{turn - 1}", f"DELETE FROM t WHERE id = {turn}")
            time.sleep(0.15)
    # A column that came and went between two looks at the catalog may have had a default.
    system.finish_loading()
    assert system.live(T).names == ("id", "v", "old", "c3")


def test_a_truncated_table_is_empty_and_its_history_stays(system: System) -> None:
    before = system.in_store(T)
    reached = system.store.log(T).snapshot().captured
    system.execute(
        "BEGIN; INSERT INTO t VALUES (900, 1, 'a'); TRUNCATE t; INSERT INTO t VALUES (1, 9, 'b'); COMMIT"
    )
    system.execute("INSERT INTO t VALUES (60, 9, 'c')")
    system.finish()
    assert system.in_projection(T) == {(1, 9, "b"): 1, (60, 9, "c"): 1}
    assert system.in_store(T, as_of=reached) == before
    system.execute("TRUNCATE t")
    system.finish()
    assert system.in_projection(T) == {}


def test_a_table_that_is_dropped_and_made_again_needs_a_load(system: System) -> None:
    system.execute(
        "DROP TABLE t",
        "CREATE TABLE t (id int PRIMARY KEY, v int, old text)",
        "INSERT INTO t VALUES (1, 1, 'again')",
    )
    with pytest.raises(SourceNotReady, match="do not publish"):
        system.capture()
    system.prepare()
    system.capture()
    with pytest.raises(NeedsReload):
        system.project()
    system.load_all()
    system.execute("INSERT INTO t VALUES (2, 2, 'captured')")
    system.finish()
    assert sum(system.in_projection(T).values()) == 2


# --- replica identities, schemas ---------------------------------------------------------


@pytest.mark.parametrize(
    "identity",
    [
        "ALTER TABLE t REPLICA IDENTITY FULL",
        "CREATE UNIQUE INDEX other ON t (id) INCLUDE (v); ALTER TABLE t REPLICA IDENTITY USING INDEX other",
    ],
    ids=["FULL", "INDEX"],
)
def test_every_replica_identity_that_carries_the_key_will_do(
    database: FreshDatabase, tmp_path: Path, identity: str
) -> None:
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByWidth(50), key=("id",))])
    made.execute(
        "CREATE TABLE t (id int NOT NULL, v int, big text)",
        "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
        "INSERT INTO t SELECT i, 0, repeat('x', 3000) FROM generate_series(1, 120) i",
        *identity.replace(" INCLUDE (v)", "").split("; "),
    )
    made.prepare()
    audit(made, "t")
    made.load_all()
    made.execute(
        "UPDATE t SET v = 1 WHERE id < 30",
        "UPDATE t SET id = id + 1000 WHERE id BETWEEN 40 AND 70",
        "DELETE FROM t WHERE id % 7 = 0",
        "INSERT INTO t VALUES (7, 7, NULL)",
    )
    made.finish()
    check_changes(made, T)


def test_full_identity_without_a_key_is_a_multiset(database: FreshDatabase, tmp_path: Path) -> None:
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByCount(1))])
    made.execute(
        "CREATE TABLE t (a int, b text)",
        "ALTER TABLE t REPLICA IDENTITY FULL",
        "INSERT INTO t SELECT i % 3, 'x' FROM generate_series(1, 30) i",
    )
    made.prepare()
    made.load_all()
    made.project()
    made.execute("INSERT INTO t VALUES (1, 'x'), (NULL, NULL), (NULL, NULL)")
    with made.sql() as session:
        session.execute("DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE a = 2 LIMIT 4)")
        session.execute("UPDATE t SET b = 'y' WHERE ctid IN (SELECT ctid FROM t WHERE a = 1 LIMIT 3)")
        session.execute("UPDATE t SET b = 'z' WHERE a IS NULL")
    made.finish()
    made.execute("DELETE FROM t WHERE a = 0", "INSERT INTO t VALUES (0, 'x')")
    made.finish()


def test_no_identity_will_do_for_rows_that_are_only_added(database: FreshDatabase, tmp_path: Path) -> None:
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByCount(1), append_only=True)])
    made.execute(
        "CREATE TABLE t (a int)", "ALTER TABLE t REPLICA IDENTITY NOTHING", "INSERT INTO t VALUES (1)"
    )
    made.prepare()
    made.load_all()
    made.execute("INSERT INTO t SELECT 1 FROM generate_series(1, 5)")
    made.finish()


def test_no_identity_is_refused_for_rows_that_change(database: FreshDatabase, tmp_path: Path) -> None:
    made = system_of(database, tmp_path, [Table("app.public.t")])
    made.execute("CREATE TABLE t (a int PRIMARY KEY)", "ALTER TABLE t REPLICA IDENTITY NOTHING")
    with pytest.raises(SourceNotReady, match="REPLICA IDENTITY"):
        made.prepare()


def test_tables_of_one_name_in_several_schemas_stay_apart(database: FreshDatabase, tmp_path: Path) -> None:
    names = ["public", "Other Schema", "a-b"]
    tables = [Table(source="app", schema=name, name="My Table") for name in names]
    made = system_of(database, tmp_path, tables)
    for number, name in enumerate(names):
        made.execute(
            f'CREATE SCHEMA IF NOT EXISTS "{name}"',
            f'CREATE TABLE "{name}"."My Table" ("The Key" int PRIMARY KEY, "a.b" text, "Ünï" int)',
            f'INSERT INTO "{name}"."My Table" SELECT i, \'{name}\', {number} FROM generate_series(1, 9) i',
        )
    made.prepare()
    made.load_all()
    with made.sql() as session, session.transaction():
        for name in names:
            session.execute(f'UPDATE "{name}"."My Table" SET "Ünï" = 5 WHERE "The Key" < 4'.encode())
    made.execute('DELETE FROM "a-b"."My Table" WHERE "The Key" = 9')
    made.finish()


# --- unchanged values out of line --------------------------------------------------------


def test_a_value_left_out_of_line_follows_its_row_through_keys_and_ranges(
    database: FreshDatabase, tmp_path: Path
) -> None:
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByBounds((100, 200, 300)))])
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int, big text, big2 text)",
        "INSERT INTO t SELECT i, 0, (SELECT string_agg(md5(i::text || n), '')"
        " FROM generate_series(1, 300) n), NULL FROM generate_series(1, 10) i",
    )
    made.prepare()
    made.load_all()
    made.project()
    steps = [
        "UPDATE t SET id = id + 100 WHERE id IN (1, 2, 3)",
        "UPDATE t SET big2 = big, v = 1 WHERE id IN (102, 103)",
        "UPDATE t SET id = id + 100 WHERE id IN (101, 102)",
        "UPDATE t SET v = v + 1",
        # Another row takes the old key, with a value of its own.
        "INSERT INTO t VALUES (101, 0, 'short', NULL), (1, 0, NULL, NULL)",
        "UPDATE t SET id = 350 WHERE id = 202",
        "UPDATE t SET v = 9 WHERE id = 350",
        "DELETE FROM t WHERE id = 103",
        "INSERT INTO t SELECT 103, 0, big2, big FROM t WHERE id = 350",
        "UPDATE t SET v = 10 WHERE id = 103",
    ]
    for step in steps:
        made.execute(step)
    made.finish()
    for step in ("UPDATE t SET id = -id WHERE id < 150", "UPDATE t SET v = 0"):
        made.execute(step)
        made.finish()


# --- partitioned tables ------------------------------------------------------------------


PARTITIONED = (
    "CREATE TABLE t (id int, day date, v int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
    "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
    "INSERT INTO t SELECT i, '2026-01-01'::date + i % 50, 0 FROM generate_series(1, 100) i",
)


@pytest.fixture
def partitioned(database: FreshDatabase, tmp_path: Path) -> System:
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByWidth(40))])
    made.execute(*PARTITIONED)
    made.prepare()
    made.load_all()
    made.capture()
    made.project()
    return made


def test_a_partitioned_table_is_one_table(partitioned: System) -> None:
    partitioned.execute(
        "UPDATE t SET v = 1 WHERE id % 2 = 0",
        "UPDATE t SET day = '2026-02-20' WHERE id = 5",
        "DELETE FROM t WHERE id % 9 = 0",
        "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')",
        "INSERT INTO t SELECT i, '2026-03-05', 3 FROM generate_series(101, 140) i",
        "INSERT INTO t1 VALUES (500, '2026-01-09', 5)",
        "TRUNCATE t",
        "INSERT INTO t VALUES (1, '2026-01-01', 1), (2, '2026-02-01', 2), (3, '2026-03-01', 3)",
    )
    partitioned.finish()


def attach(system: System) -> None:
    system.execute(
        "CREATE TABLE t4 (id int NOT NULL, day date NOT NULL, v int, PRIMARY KEY (id, day))",
        "INSERT INTO t4 SELECT i, '2026-04-05', 4 FROM generate_series(1, 20) i",
        "ALTER TABLE t ATTACH PARTITION t4 FOR VALUES FROM ('2026-04-01') TO ('2026-05-01')",
    )


def detach(system: System) -> None:
    system.execute("ALTER TABLE t DETACH PARTITION t2")


def drop(system: System) -> None:
    system.execute("DROP TABLE t2")


@pytest.mark.parametrize("change", [attach, detach, pytest.param(drop, marks=pytest.mark.full)])
def test_rows_that_come_and_go_with_a_partition_need_a_load(
    partitioned: System, change: Callable[[System], None]
) -> None:
    change(partitioned)
    partitioned.capture()
    with pytest.raises(NeedsReload):
        partitioned.project()
    partitioned.load_all()
    partitioned.execute("UPDATE t SET v = v + 1 WHERE id < 15")
    partitioned.finish()


def test_a_truncated_partition_is_not_the_whole_table(partitioned: System) -> None:
    partitioned.execute("TRUNCATE t2")
    partitioned.finish_loading()
