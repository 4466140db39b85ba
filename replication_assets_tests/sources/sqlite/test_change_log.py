"""What is peculiar to SQLite: rows that are displaced, triggers of others, files that are replaced."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from replication_assets.errors import LoadBlocked, SlotLost, SourceNotReady, SourceUnavailable
from replication_assets.sources.sqlite.connection import SqliteDatabase
from replication_assets.sources.sqlite.source import SqliteSource
from replication_assets_tests.contracts.change_source import Following, told
from replication_assets_tests.sources.sqlite.places import SqlitePlace


@pytest.fixture
def following(tmp_path: Path) -> Following:
    return Following(SqlitePlace.at(tmp_path / "app.db"))


def kinds(following: Following, table: str, *columns: str) -> list[tuple[object, ...]]:
    following.drain()
    return told(following.chunks, following.table(table), *columns)


# --- rows that go without a delete ---------------------------------------------------------


def test_rows_that_a_replace_displaces_are_deleted(following: Following) -> None:
    place = following.place
    place.create("t", "id INTEGER PRIMARY KEY, u TEXT UNIQUE, v INT")
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)")
    following.drain()
    following.chunks.clear()
    place.execute("INSERT OR REPLACE INTO t VALUES (1, 'b', 1)")
    assert kinds(following, "t", "id", "u") == [("D", 1, "a"), ("D", 2, "b"), ("I", 1, "b")]
    following.chunks.clear()
    place.execute("UPDATE OR REPLACE t SET u = 'b' WHERE id = 3")
    assert kinds(following, "t", "id", "u") == [("D", 1, "b"), ("U", 3, "b")]
    assert place.rows("SELECT id, u FROM t") == [(3, "b")]


def test_a_row_that_keeps_its_place_is_not_deleted(following: Following) -> None:
    place = following.place
    place.create("t", "id INTEGER PRIMARY KEY, u TEXT UNIQUE, v INT")
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 'a', 0)")
    place.execute("INSERT OR IGNORE INTO t VALUES (2, 'a', 1)")
    place.execute("INSERT INTO t VALUES (2, 'a', 1) ON CONFLICT (u) DO UPDATE SET v = 7")
    with pytest.raises(sqlite3.IntegrityError):
        place.execute("INSERT INTO t VALUES (5, 'a', 1)")
    place.execute("INSERT INTO t VALUES (3, NULL, 1), (4, NULL, 1)")
    assert kinds(following, "t", "id", "v") == [("I", 1, 0), ("U", 1, 7), ("I", 3, 1), ("I", 4, 1)]


def test_deletes_by_cascade_are_told(following: Following) -> None:
    place = following.place
    place.create("p", "id INTEGER PRIMARY KEY")
    place.create("c", "id INTEGER PRIMARY KEY, p INT REFERENCES p ON DELETE CASCADE")
    following.declare("p", "c")
    place.execute("INSERT INTO p VALUES (1)", "INSERT INTO c VALUES (10, 1), (11, 1)")
    assert isinstance(place, SqlitePlace)
    with closing(sqlite3.connect(place.path, isolation_level=None)) as session:
        session.execute("PRAGMA foreign_keys = on")
        session.execute("DELETE FROM p")
    assert kinds(following, "c", "id") == [("I", 10), ("I", 11), ("D", 10), ("D", 11)]


def test_a_table_without_rowid_and_a_strict_one_are_captured(following: Following) -> None:
    place = following.place
    place.execute(
        "CREATE TABLE w (a TEXT, b INT, c BLOB, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "CREATE TABLE s (id INTEGER PRIMARY KEY, x ANY, n INT, g INT AS (n + 1)) STRICT",
    )
    following.declare("w", "s")
    place.execute("INSERT INTO w VALUES ('p', 1, x'ff')", "REPLACE INTO w VALUES ('p', 1, x'fe')")
    place.execute("INSERT INTO s (id, x, n) VALUES (1, 'text', 1), (2, 5, 2), (3, x'00', NULL)")
    assert kinds(following, "w", "c") == [("I", b"\xff"), ("D", b"\xff"), ("I", b"\xfe")]
    assert told(following.chunks, following.table("s"), "x") == [("I", "'text'"), ("I", "5"), ("I", "X'00'")]
    assert following.tables[following.table("s")].not_replicated == ("g",)


def test_a_unique_index_with_a_condition_is_refused(following: Following) -> None:
    place = following.place
    place.create("t", "id INTEGER PRIMARY KEY, u TEXT, gone INT")
    place.execute("CREATE UNIQUE INDEX live ON t (u) WHERE NOT gone")
    with pytest.raises(SourceNotReady, match="unique index live"):
        following.declare("t")
    place.execute("DROP INDEX live", "CREATE UNIQUE INDEX low ON t (lower(u))")
    with pytest.raises(SourceNotReady, match="unique index low"):
        following.declare("t")
    following.declare("t", append_only=True)


# --- triggers of others --------------------------------------------------------------------


def test_a_trigger_that_updates_the_row_it_is_fired_for_is_told_in_order(following: Following) -> None:
    place = following.place
    place.create("t", "id INTEGER PRIMARY KEY, v INT")
    touch = "AFTER INSERT ON t BEGIN UPDATE t SET v = v + 100 WHERE id = NEW.id; END"
    place.execute(f"CREATE TRIGGER before_ours {touch}")
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1)")
    assert kinds(following, "t", "v") == [("I", 1), ("U", 101)]
    place.execute("DROP TRIGGER before_ours", f"CREATE TRIGGER after_ours {touch}")
    following.drain()
    following.chunks.clear()
    place.execute("INSERT INTO t VALUES (2, 1)")
    assert kinds(following, "t", "v") == [("I", 1), ("U", 101)]


# --- columns -------------------------------------------------------------------------------


def test_rows_written_before_the_triggers_knew_a_column_ask_for_a_load(following: Following) -> None:
    place = following.place
    place.create("t", "id INTEGER PRIMARY KEY, v INT")
    following.declare("t")
    place.execute("ALTER TABLE t ADD COLUMN w TEXT", "INSERT INTO t VALUES (1, 1, 'unseen')")
    following.drain()
    (change,) = [change for chunk in following.chunks for _, _, change in chunk.schema_changes]
    assert change.reload
    assert change.added == ("w",)
    following.chunks.clear()
    place.execute("UPDATE t SET w = 'seen'")
    assert kinds(following, "t", "w")[-1] == ("U", "seen")


def test_a_table_that_is_made_anew_asks_for_a_load_and_is_followed(following: Following) -> None:
    place = following.place
    place.create("t", "id INTEGER PRIMARY KEY, v INT")
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1)")
    following.drain()
    # The way that SQLite's own documentation shows for what ALTER TABLE cannot do.
    place.execute(
        "CREATE TABLE new (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO new SELECT id, v || '!' FROM t",
        "DROP TABLE t", "ALTER TABLE new RENAME TO t",
    )  # fmt: skip
    following.drain()
    (change,) = [change for chunk in following.chunks for _, _, change in chunk.schema_changes]
    assert change.reload
    place.execute("UPDATE t SET v = 'z'")
    assert kinds(following, "t", "v")[-1] == ("U", "z")


# --- files ---------------------------------------------------------------------------------


def test_a_vacuum_leaves_the_source_the_same(following: Following) -> None:
    place = following.place
    assert isinstance(place, SqlitePlace)
    place.create("t", "id INTEGER PRIMARY KEY, v INT")
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1)")
    before = place.source.identify()
    with closing(sqlite3.connect(place.path, isolation_level=None)) as session:
        session.execute("VACUUM")
    assert place.source.identify() == before
    assert kinds(following, "t", "id") == [("I", 1)]


def test_a_file_that_is_put_in_its_place_is_another_source(following: Following, tmp_path: Path) -> None:
    place = following.place
    assert isinstance(place, SqlitePlace)
    place.create("t", "id INTEGER PRIMARY KEY, v INT")
    following.declare("t")
    before = place.source.identify()
    with closing(sqlite3.connect(place.path)) as session, closing(sqlite3.connect(tmp_path / "b")) as copy:
        session.backup(copy)
    (tmp_path / "b").replace(place.path)
    assert place.source.identify() != before


def test_a_file_that_is_restored_over_itself_lost_what_was_captured(
    following: Following, tmp_path: Path
) -> None:
    place = following.place
    assert isinstance(place, SqlitePlace)
    place.create("t", "id INTEGER PRIMARY KEY, v INT")
    following.declare("t")
    with closing(sqlite3.connect(place.path, isolation_level=None)) as session:
        session.execute("PRAGMA journal_mode = delete")
    shutil.copy(place.path, tmp_path / "backup")
    place.execute("INSERT INTO t VALUES (1, 1)")
    following.drain()
    # In place: the file's number stays, and as many changes are written as were captured.
    place.path.write_bytes((tmp_path / "backup").read_bytes())
    place.execute("INSERT INTO t VALUES (1, 1)")
    with pytest.raises(SlotLost, match="another log"):
        following.drain()


def test_a_path_that_is_wrong_makes_no_file(tmp_path: Path) -> None:
    source = SqliteSource("app", SqliteDatabase(str(tmp_path / "missing.db")))
    with pytest.raises(SourceUnavailable):
        source.identify()
    assert list(tmp_path.iterdir()) == []


# --- locks ---------------------------------------------------------------------------------


def test_who_writes_is_told_and_waited_for(following: Following) -> None:
    place = following.place
    assert isinstance(place, SqlitePlace)
    place.create("t", "id INTEGER PRIMARY KEY, v INT")
    following.declare("t")
    t = following.table("t")
    hasty = SqliteSource("app", SqliteDatabase(str(place.path), busy_seconds=0.05))
    assert place.source.writers([t]) == ()
    with place.transaction() as writer:
        writer.execute("INSERT INTO t VALUES (1, 1)")
        (found,) = place.source.writers([t])
        assert found.tables == (t,)
        with pytest.raises(LoadBlocked):
            hasty.setup(list(following.tables.items()))
    assert "BEGIN IMMEDIATE;" in place.source.stop_writes([t])


def test_what_is_durable_is_trimmed_and_what_is_not_stays(following: Following) -> None:
    place = following.place
    place.create("t", "id INTEGER PRIMARY KEY, v INT")
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1), (2, 1), (3, 1)")
    following.drain(acknowledge=False)
    kept = "SELECT count(*) FROM _replication_app_log"
    assert place.rows(kept) == [(4,)]
    following.drain()
    assert place.rows(kept) == [(1,)]


def test_a_table_that_left_the_catalog_loses_its_triggers(following: Following) -> None:
    place = following.place
    place.create("t", "id INTEGER PRIMARY KEY, v INT")
    place.create("u", "id INTEGER PRIMARY KEY, v INT")
    following.declare("t", "u")
    del following.tables[following.table("u")]
    following.setup()
    assert place.rows("SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger'") == [("t",)]


def test_what_is_left_of_a_log_that_somebody_emptied_is_no_log(following: Following) -> None:
    place = following.place
    place.create("t", "id INTEGER PRIMARY KEY, v INT")
    following.declare("t")
    place.execute("DELETE FROM _replication_app_log", "INSERT INTO t VALUES (1, 1)")
    with pytest.raises(SlotLost):
        following.drain()
