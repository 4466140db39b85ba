"""Tables that are altered under their triggers, truncated, or written to by others; accounts and grants."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pymysql
import pytest

from replication_assets.errors import SourceNotReady
from replication_assets.sources.mysql import MySqlConnection
from replication_assets.sources.mysql.triggers.source import MySqlTriggerSource
from replication_assets_tests.contracts.change_source import ROWS, Following, told
from replication_assets_tests.sources.mysql.triggers.places import TriggeredPlace


def changes(following: Following) -> list[Any]:
    following.chunks.clear()
    following.drain()
    return [change for chunk in following.chunks for _, _, change in chunk.schema_changes]


@pytest.mark.parametrize(
    ("alteration", "written"),
    [
        ("ALTER TABLE t DROP COLUMN s", "INSERT INTO t VALUES (9, 9)"),
        ("ALTER TABLE t RENAME COLUMN s TO word", "INSERT INTO t VALUES (9, 9, 'later')"),
        ("ALTER TABLE t MODIFY v BIGINT", "INSERT INTO t VALUES (9, 99999999999, 'later')"),
        ("ALTER TABLE t MODIFY s VARCHAR(200) CHARACTER SET utf8mb4", "UPDATE t SET s = REPEAT('ü', 99)"),
        ("ALTER TABLE t MODIFY v VARCHAR(9)", "UPDATE t SET v = 'none'"),
        ("ALTER TABLE t ADD COLUMN n INT", "INSERT INTO t VALUES (9, 9, 'later', 5)"),
        ("ALTER TABLE t ADD COLUMN n INT DEFAULT 7", "DELETE FROM t"),
        ("TRUNCATE t", "INSERT INTO t VALUES (9, 9, 'later')"),
        ("RENAME TABLE t TO gone", "CREATE TABLE t (id INT PRIMARY KEY, v INT, s TEXT)"),
    ],
)
def test_no_writer_fails_and_what_triggers_cannot_tell_asks_for_a_load(
    following: Following, alteration: str, written: str
) -> None:
    place = following.place
    place.create("t", "id INT PRIMARY KEY, v INT, s VARCHAR(20) CHARACTER SET latin1")
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1, 'a')")
    following.drain()
    place.execute(alteration, written)
    assert any(change.reload for change in changes(following))
    place.execute("INSERT INTO t (id) VALUES (10)")
    following.chunks.clear()
    following.drain()
    assert told(following.chunks, following.table("t"), "id") == [("I", 10)]
    assert sorted(row[0] for row in following.load("t")[1]) == sorted(
        row[0] for row in place.rows("SELECT id FROM t")
    )


def test_columns_that_come_or_go_while_nobody_writes_ask_for_no_load(
    following: Following, place: TriggeredPlace
) -> None:
    place.create("t", ROWS)
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1, 'a')")
    following.drain()
    place.execute("ALTER TABLE t ADD COLUMN n INT", "ALTER TABLE t DROP COLUMN v")
    (told_of,) = [change for change in changes(following) if not change.reload] or [None]
    if told_of is not None:
        assert (told_of.added, told_of.dropped) == (("n",), ("v",))
    place.execute("INSERT INTO t VALUES (2, 'b', 5)")
    following.chunks.clear()
    following.drain()
    assert told(following.chunks, following.table("t"), "id", "s", "n") == [("I", 2, "b", 5)]
    # What nobody writes any more is gone with what it held.
    following.drain()
    names = place.source.names
    tables = place.rows(
        f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{names.database}'"
        " AND table_name LIKE 'c%'"
    )
    assert len(tables) == 1


def test_a_truncate_while_nothing_is_written_is_noticed_at_the_next_setup_or_change(
    following: Following,
) -> None:
    place = following.place
    place.create("t", ROWS)
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1, 'a')")
    following.drain()
    place.execute("TRUNCATE t")
    (change,) = changes(following)
    assert change.reload
    assert "truncated" in change.reason


def test_triggers_of_others_stay_and_what_they_write_is_told(following: Following) -> None:
    place, t = following.place, following.table("t")
    place.create("t", ROWS)
    place.create("u", ROWS)
    place.execute(
        "CREATE TRIGGER b4 BEFORE INSERT ON t FOR EACH ROW SET NEW.v = NEW.v * 2",
        "CREATE TRIGGER aft AFTER INSERT ON t FOR EACH ROW INSERT INTO u VALUES (NEW.id, NEW.v, 'copied')",
    )
    following.declare("t", "u")
    place.execute("CREATE TRIGGER later BEFORE UPDATE ON t FOR EACH ROW SET NEW.s = 'set'")
    place.execute("INSERT INTO t VALUES (1, 5, 'a')", "UPDATE t SET v = 1")
    following.drain()
    assert told(following.chunks, t, "v", "s") == [("I", 10, "a"), ("U", 1, "set")]
    assert told(following.chunks, following.table("u"), "v", "s") == [("I", 10, "copied")]
    place.source.teardown()
    assert {row[0] for row in place.rows("SHOW TRIGGERS")} == {"b4", "aft", "later"}


def test_accounts_without_rights_on_the_log_can_write_and_none_needs_to_replicate(
    place: TriggeredPlace,
) -> None:
    server, database = place.database.server, place.schema
    place.create("t", ROWS)
    keeper, writer = f"k{database[1:9]}", f"w{database[1:9]}"
    name = place.source.name
    with closing(server.connect()) as session, session.cursor() as cursor:
        for user in (keeper, writer):
            cursor.execute(f"CREATE USER `{user}`@`127.0.0.1`")
        cursor.execute(f"GRANT SELECT ON `{database}`.* TO `{keeper}`@`127.0.0.1`")
        cursor.execute(f"GRANT SELECT, INSERT, UPDATE ON `{database}`.t TO `{writer}`@`127.0.0.1`")
        connection = MySqlConnection(server.host, keeper, port=server.port)
        following = Following(
            TriggeredPlace(place.database, captured=MySqlTriggerSource(name, connection, load_wait=5))
        )
        following.tables = {following.table("t"): place.source.reflect(following.table("t"))}
        problems = following.place.source.missing(list(following.tables.items()))
        assert any("log_bin_trust_function_creators" in each for each in problems)
        for problem in problems:
            fix = problem.partition("Run: ")[2]
            if fix.startswith("GRANT"):
                cursor.execute(fix)
        cursor.execute("SET GLOBAL log_bin_trust_function_creators = 1")
        try:
            assert following.place.source.missing(list(following.tables.items())) == ()
            following.setup()
            with closing(server.connect(user=writer, database=database)) as other:
                other.cursor().execute("INSERT INTO t VALUES (1, 1, 'a')")
                with pytest.raises(pymysql.err.OperationalError):
                    other.cursor().execute(f"SELECT * FROM {place.source.names.marks}")
            following.drain()
            assert told(following.chunks, following.table("t"), "s") == [("I", "a")]
            assert following.load("t")[1] == {(1, 1, "a"): 1}
            following.place.source.teardown()
            assert following.place.source.remains() == ()
        finally:
            cursor.execute("SET GLOBAL log_bin_trust_function_creators = 0")
            cursor.execute(f"DROP USER `{keeper}`@`127.0.0.1`, `{writer}`@`127.0.0.1`")


def test_what_no_trigger_sees_is_refused_by_name(following: Following, place: TriggeredPlace) -> None:
    place.create("p", "id INT PRIMARY KEY")
    place.create("t", "id INT PRIMARY KEY, p INT, CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id)"
                 " ON DELETE CASCADE")  # fmt: skip
    with pytest.raises(SourceNotReady, match=r"ON DELETE CASCADE of foreign key fk.* fires no trigger"):
        following.declare("t")


def test_a_database_of_somebody_else_is_left_alone(following: Following, place: TriggeredPlace) -> None:
    place.create("t", ROWS)
    name = place.source.names.database
    place.execute(f'CREATE DATABASE "{name}"', f'CREATE TABLE "{name}".theirs (id INT)')
    with pytest.raises(SourceNotReady, match="made by somebody else"):
        following.declare("t")
    place.source.teardown(force=True)
    assert place.rows(f'SELECT * FROM "{name}".theirs') == []
    place.execute(f'DROP DATABASE "{name}"')


def test_rows_of_a_partitioned_table_are_told_and_a_truncated_partition_is_noticed(
    following: Following,
) -> None:
    place, t = following.place, following.table("t")
    place.create("t", "id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (10),"
                 " PARTITION b VALUES LESS THAN MAXVALUE")  # fmt: skip
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1), (20, 2)", "UPDATE t SET id = 30 WHERE id = 1")
    following.drain()
    assert told(following.chunks, t, "id") == [("I", 1), ("I", 20), ("D", 1), ("U", 30)]
    place.execute("ALTER TABLE t TRUNCATE PARTITION b")
    (change,) = changes(following)
    assert change.reload


def test_a_key_that_is_dropped_leaves_rows_without_identity_until_they_are_loaded(
    following: Following,
) -> None:
    place, t = following.place, following.table("t")
    place.create("t", ROWS)
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1, 'a')")
    following.drain()
    place.execute("ALTER TABLE t DROP COLUMN id")
    (change,) = changes(following)
    assert change.reload
    assert "key column id was dropped" in change.reason
    place.execute("UPDATE t SET s = 'b'")
    following.chunks.clear()
    following.drain()
    assert told(following.chunks, t, "s") == [("D", "a"), ("I", "b")]
