"""The change stream of a real MariaDB: what each statement becomes, and what is refused."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from replication_assets.core.events import COMMIT_POSITION, SEQUENCE
from replication_assets.errors import DecodeError, SlotBusy, SlotLost, SourceNotReady, SourceUnavailable
from replication_assets.sources.mysql.binlog import packets, replica, stream
from replication_assets.sources.mysql.binlog.stream import open_changes
from replication_assets_tests.mysql_servers import (
    BINLOG_SETTINGS,
    MariaDbServer,
    fresh_prefix,
    running_mariadb,
)
from replication_assets_tests.sources.mysql.binlog.captured import Watched, capture, global_setting, watch
from replication_assets_tests.sources.mysql.conftest import Database


@pytest.fixture
def shop(database: Database) -> Database:
    database.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), d DATE)")
    return database


def test_rows_become_events_with_old_values_of_what_changed(shop: Database) -> None:
    watched = watch(shop)
    shop.run(
        "SET sql_mode = ''",
        "INSERT INTO t VALUES (1, 'a', NULL), (2, 'b', '2024-01-01')",
        "UPDATE t SET v = 'c\"', d = '2024-02-02'",
        "UPDATE t SET v = NULL WHERE id = 1",
        "DELETE FROM t WHERE id = 2",
    )
    found = watched.read()
    assert found.operations() == "IIUUUD"
    befores = [row.get("_before") for row in found.rows()]
    assert befores[2:] == ['{"v":"a","d":null}', '{"v":"b","d":"2024-01-01"}', '{"v":"c\\""}', None]
    assert [row["id"] for row in found.rows()] == [1, 2, 1, 2, 1, 2]
    positions = [(row[COMMIT_POSITION], row[SEQUENCE]) for row in found.rows()]
    assert positions == sorted(set(positions))
    assert len({commit for commit, _ in positions}) == 4


def test_a_changed_key_is_a_delete_and_an_update_at_one_position(shop: Database) -> None:
    watched = watch(shop)
    shop.run("INSERT INTO t VALUES (1, 'a', NULL)", "UPDATE t SET id = 5, v = 'b'")
    _, old, new = watched.read().rows()
    assert (old["_op"], old["id"], new["_op"], new["id"], new["v"]) == ("D", 1, "U", 5, "b")
    assert (old[COMMIT_POSITION], old[SEQUENCE]) == (new[COMMIT_POSITION], new[SEQUENCE])
    assert "_before" not in new


def test_rows_without_a_key_are_replaced_whole(database: Database) -> None:
    database.run("CREATE TABLE t (a INT, b INT)")
    watched = watch(database)
    database.run("INSERT INTO t VALUES (1, 1), (1, 1)", "UPDATE t SET b = 2 LIMIT 1", "DELETE FROM t LIMIT 1")
    found = watched.read()
    assert found.operations() == "IIDID"
    assert [(row["a"], row["b"]) for row in found.rows()][2:4] == [(1, 1), (1, 2)]


def test_only_committed_work_arrives_and_savepoints_are_undone(shop: Database) -> None:
    watched = watch(shop)
    with closing(shop.session()) as session, session.cursor() as cursor:
        session.begin()
        cursor.execute("INSERT INTO t VALUES (1, 'a', NULL)")
        cursor.execute("SAVEPOINT s")
        cursor.execute("INSERT INTO t VALUES (2, 'a', NULL)")
        cursor.execute("ROLLBACK TO s")
        assert watched.read().rows() == []
        session.commit()
        session.begin()
        cursor.execute("INSERT INTO t VALUES (3, 'a', NULL)")
        session.rollback()
    assert [row["id"] for row in watched.read().rows()] == [1]


def test_a_long_transaction_comes_in_pieces_that_end_inside_it(shop: Database) -> None:
    watched = watch(shop)
    shop.run("INSERT INTO t SELECT seq, REPEAT('x', 20), NULL FROM seq_1_to_20000")
    end = watched.source.status().head
    with open_changes(
        shop.connection,
        "shop",
        watched.source.replica_id,
        watched.tables,
        epoch=1,
        after=watched.start,
        upto=end,
        stop=lambda: False,
        chunk_bytes=50_000,
    ) as changes:
        chunks = list(changes)
    assert len(chunks) > 5
    assert [chunk.through for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].through == end
    ids = [i for c in chunks for b in c.batches for i in b.rows.column("id").to_pylist()]
    assert ids == list(range(1, 20_001))
    sequences = [s for c in chunks for b in c.batches for s in b.rows.column(SEQUENCE).to_pylist()]
    assert sequences == sorted(set(sequences))


def test_positions_do_not_depend_on_which_tables_are_captured(shop: Database) -> None:
    shop.run("CREATE TABLE u LIKE t")
    both, alone = watch(shop, "t", "u"), watch(shop, "u")
    with closing(shop.session()) as session, session.cursor() as cursor:
        session.begin()
        cursor.execute("INSERT INTO t VALUES (1, 'a', NULL), (2, 'b', NULL)")
        cursor.execute("INSERT INTO u VALUES (1, 'a', NULL), (2, 'b', NULL)")
        session.commit()
    assert both.read().rows(shop.table("u")) == alone.read().rows()


def test_a_read_that_ends_anywhere_is_gone_on_with_and_nothing_comes_twice(shop: Database) -> None:
    watched = watch(shop)
    ends = []
    for number in range(6):
        shop.run(f"INSERT INTO t VALUES ({number}, 'a', NULL)")
        if number == 3:
            shop.run("FLUSH BINARY LOGS")
        ends.append(watched.source.status().head)
    found, at = [], watched.start
    for end in ends:
        part = capture(watched.source, watched.tables, at, end)
        assert part.through >= end
        at = part.through
        found.append([row["id"] for row in part.rows()])
    assert found == [[0], [1], [2], [3], [4], [5]]
    # From a transaction's own position, that one is not read again.
    first = capture(watched.source, watched.tables, watched.start, ends[0]).rows()[0][COMMIT_POSITION]
    assert first == watched.start + 1


def test_compressed_events_are_read(shop: Database) -> None:
    with (
        global_setting(shop, "log_bin_compress", "1"),
        global_setting(shop, "log_bin_compress_min_len", "10"),
    ):
        shop.run("CREATE TABLE z (id INT PRIMARY KEY, v TEXT)")
        watched = watch(shop, "z")
        shop.run(
            "INSERT INTO z SELECT seq, REPEAT('a', 100) FROM seq_1_to_50",
            "UPDATE z SET v = REPEAT('b', 100)",
            "DELETE FROM z",
        )
        found = watched.read()
        with closing(shop.session()) as session, session.cursor() as cursor:
            cursor.execute("SHOW BINARY LOGS")
            cursor.execute(f"SHOW BINLOG EVENTS IN '{cursor.fetchall()[-1][0]}'")
            kinds = {row[2] for row in cursor.fetchall()}
    assert {"Write_rows_compressed_v1", "Update_rows_compressed_v1", "Delete_rows_compressed_v1"} <= kinds
    assert found.operations() == "I" * 50 + "U" * 50 + "D" * 50


def test_values_of_many_megabytes_are_read_whole(database: Database) -> None:
    database.run(
        "CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT, b LONGBLOB)",
        "SET GLOBAL max_allowed_packet = 1 << 28",
    )
    watched = watch(database)
    database.run(
        "INSERT INTO t VALUES (1, REPEAT('é', 6000000), REPEAT(x'00FF', 9000000)), (2, 'a', 'b')",
        "UPDATE t SET v = 'x' WHERE id = 1",
    )
    first, second, third = watched.read().rows()
    assert first["v"] == "é" * 6_000_000
    assert first["b"] == third["b"] == b"\0\xff" * 9_000_000
    assert (second["v"], second["b"]) == ("a", b"b")


def test_an_idle_stream_tells_that_the_log_moved_on_for_others(shop: Database) -> None:
    shop.run("CREATE TABLE u LIKE t")
    watched = watch(shop, "u")
    shop.run("INSERT INTO t VALUES (1, 'a', NULL)")
    found = watched.read()
    assert found.rows() == []
    assert found.through == watched.source.status().head


# --- definitions ----------------------------------------------------------------------------


def test_an_emptied_table_is_told_between_the_rows_around_it(shop: Database) -> None:
    watched = watch(shop)
    shop.run("INSERT INTO t VALUES (1, 'a', NULL)", "TRUNCATE TABLE t", "INSERT INTO t VALUES (2, 'a', NULL)")
    found = watched.read()
    (table, position, _, _), *_ = [each for chunk in found.chunks for each in chunk.truncated]
    before, after = [row[COMMIT_POSITION] for row in found.rows()]
    assert table == shop.table("t")
    assert before < position.commit < after


def test_names_in_statements_of_any_character_set_are_found(database: Database) -> None:
    for charset, name in (("latin1", "tür"), ("gbk", "中文"), ("utf8mb4", "żó")):
        database.run(f"CREATE TABLE `{name}` (id INT PRIMARY KEY)")
        watched = watch(database, name)
        with closing(database.session()) as session, session.cursor() as cursor:
            cursor.execute(f"SET NAMES {charset}")
            encoding = {"utf8mb4": "utf-8"}.get(charset, charset)
            session._execute_command(3, f"TRUNCATE TABLE `{name}`".encode(encoding))
            session._read_query_result()
        assert watched.read().truncated == [database.table(name)]


BACKSLASH = "ALTER TABLE t COMMENT 'C:\\', ADD n INT NOT NULL, COMMENT 'x'"
SWAP = [
    "CREATE TABLE _t_gho LIKE t",
    "RENAME TABLE t TO _t_del, _t_gho TO t",
    "INSERT INTO t (id) VALUES (1)",
]
ALTERED = [
    (["ALTER TABLE t ADD COLUMN n INT", "INSERT INTO t (id, n) VALUES (9, 1)"], None, ("n",), ()),
    (["ALTER TABLE t ADD COLUMN n INT FIRST", "INSERT INTO t (id, n) VALUES (9, 1)"], None, ("n",), ()),
    (["ALTER TABLE t DROP COLUMN v", "INSERT INTO t (id) VALUES (9)"], None, (), ("v",)),
    (["ALTER TABLE t ADD INDEX (v), COMMENT 'x', ENGINE = InnoDB"], None, (), ()),
    (["ALTER TABLE t ADD n INT NOT NULL"], "column n was added with a value", (), ()),
    (["ALTER TABLE t ADD (n INT, m INT DEFAULT 5)"], "column m was added with a value", (), ()),
    (["ALTER TABLE t MODIFY v VARCHAR(30)"], "column v was changed", (), ()),
    (["ALTER TABLE t CHANGE COLUMN v w VARCHAR(20)"], "column v was changed", (), ()),
    (["ALTER TABLE t RENAME COLUMN v TO w"], "column v was renamed", (), ()),
    (["ALTER TABLE t DROP v, ADD v VARCHAR(20)"], "column v was dropped and added again", (), ()),
    (["ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (v)"], "the key changed", (), ()),
    (["ALTER TABLE t CONVERT TO CHARACTER SET latin1"], "its character set was converted", (), ()),
    (["ALTER TABLE t RENAME TO u"], "the table was renamed to", (), ()),
    (
        ["SET STATEMENT lock_wait_timeout=9 FOR ALTER TABLE t ADD n INT NOT NULL"],
        "column n was added",
        (),
        (),
    ),
    (["SET sql_mode = 'NO_BACKSLASH_ESCAPES'", BACKSLASH], "column n was added", (), ()),
    (["DROP TABLE t"], "the table was dropped", (), ()),
    (["CREATE OR REPLACE TABLE t (id INT PRIMARY KEY)"], "the table was created anew", (), ()),
    (SWAP, "the table was replaced by", (), ()),
    (["/* DROP TABLE t */ CREATE TABLE `t;x` (a INT) COMMENT 'ALTER TABLE t'"], None, (), ()),
]


@pytest.mark.parametrize(
    ("statements", "reason", "added", "dropped"), ALTERED, ids=[a[0][0][:50] for a in ALTERED]
)
def test_a_definition_is_told_and_asks_for_a_reload_where_rows_may_have_changed(
    shop: Database,
    statements: list[str],
    reason: str | None,
    added: tuple[str, ...],
    dropped: tuple[str, ...],
) -> None:
    shop.run("ALTER TABLE t MODIFY v VARCHAR(20) NOT NULL")
    watched = watch(shop)
    shop.run(*[each.replace("INSERT INTO t (id", "INSERT IGNORE INTO t (id") for each in statements])
    found = watched.read()
    assert bool(found.reasons) == (reason is not None)
    assert reason is None or any(reason in each for each in found.reasons)
    told = [change for _, _, change in found.schema_changes if change.added or change.dropped]
    assert [(change.added, change.dropped) for change in told] == (
        [(added, dropped)] if added or dropped else []
    )


def test_rows_before_and_after_a_change_of_columns_have_the_columns_of_their_time(shop: Database) -> None:
    watched = watch(shop)
    shop.run(
        "INSERT INTO t VALUES (1, 'a', NULL)",
        "ALTER TABLE t ADD n INT AFTER id, DROP COLUMN d",
        "INSERT INTO t (id, n, v) VALUES (2, 7, 'b')",
    )
    found = watched.read()
    first, second = [batch for chunk in found.chunks for batch in chunk.batches]
    assert first.schema.names == ("id", "v", "d")
    assert second.schema.names == ("id", "n", "v")
    assert second.rows.to_pylist()[0]["n"] == 7


def test_a_load_after_a_definition_need_not_be_repeated_at_the_first_row_after_it(shop: Database) -> None:
    watched = watch(shop)
    shop.run("INSERT INTO t VALUES (1, 'a', NULL)", "ALTER TABLE t ADD n INT NOT NULL DEFAULT 3")
    shop.run("INSERT INTO t VALUES (2, 'a', NULL, 4)")
    at_statement, at_row = [change for _, _, change in watched.read().schema_changes]
    assert (at_statement.reload, at_statement.added) == (True, ())
    assert (at_row.reload, at_row.added) == (False, ("n",))
    assert at_statement.position < at_row.position


def test_hostile_names_are_captured_and_told_apart(database: Database) -> None:
    name, other = 'a"; DROP TABLE`x', 'a";_DROP TABLE`x'
    quoted = ["`" + each.replace("`", "``") + "`" for each in (name, other)]
    for each in quoted:
        database.run(f"CREATE TABLE {each} (`i``d` INT PRIMARY KEY, `c'\"ü` INT)")
    watched = watch(database, name)
    database.run(
        f"INSERT INTO {quoted[1]} VALUES (1, 1)",
        f"INSERT INTO {quoted[0]} VALUES (2, 3)",
        f"TRUNCATE TABLE {quoted[1]}",
        f"TRUNCATE {quoted[0]}",
        f"ALTER TABLE {quoted[1]} ADD n INT NOT NULL",
    )
    found = watched.read()
    assert [(row["i`d"], row["c'\"ü"]) for row in found.rows()] == [(2, 3)]
    assert found.truncated == [database.table(name)]
    assert found.reasons == []


# --- refused --------------------------------------------------------------------------------


def refused(watched: Watched) -> str:
    with pytest.raises(DecodeError) as caught:
        watched.read()
    assert "secret" not in str(caught.value)
    return str(caught.value)


def in_session(shop: Database, setting: str, *statements: str) -> None:
    with closing(shop.session()) as session, session.cursor() as cursor:
        cursor.execute(f"SET SESSION {setting}")
        for statement in statements:
            cursor.execute(statement)


@pytest.mark.parametrize("image", ["MINIMAL", "NOBLOB"])
def test_rows_logged_in_part_are_refused(database: Database, image: str) -> None:
    database.run(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT, b TEXT)", "INSERT INTO t VALUES (1, 1, 'secret')"
    )
    watched = watch(database)
    in_session(database, f"binlog_row_image = {image}", "UPDATE t SET v = 2")
    assert "binlog_row_image" in refused(watched)


STATEMENTS = [
    ("INSERT INTO t VALUES (1, 'secret', NULL)", "INSERT"),
    ("SET STATEMENT lock_wait_timeout = 9 FOR INSERT INTO t VALUES (1, 'secret', NULL)", "INSERT"),
    ("ANALYZE UPDATE t SET v = 'secret'", "ANALYZE"),
    ("/* secret */ DELETE FROM t", "DELETE"),
    ("REPLACE t SELECT 1, 'secret', NULL", "REPLACE"),
]


@pytest.mark.parametrize(("statement", "verb"), STATEMENTS, ids=[each[0][:25] for each in STATEMENTS])
def test_rows_logged_as_a_statement_are_refused(shop: Database, statement: str, verb: str) -> None:
    shop.run("INSERT INTO t VALUES (7, 'a', NULL)")
    watched = watch(shop)
    in_session(shop, "binlog_format = STATEMENT", statement)
    assert f"statement ({verb})" in refused(watched)


def test_prepared_transactions_with_captured_rows_are_refused_and_others_are_not(shop: Database) -> None:
    shop.run("CREATE TABLE u LIKE t")
    watched = watch(shop)
    xa = [
        "XA START 'x'",
        "INSERT INTO {} VALUES (1, 'secret', NULL)",
        "XA END 'x'",
        "XA PREPARE 'x'",
        "XA COMMIT 'x'",
    ]
    with closing(shop.session()) as session, session.cursor() as cursor:
        for statement in xa:
            cursor.execute(statement.format("u"))
        assert watched.read().rows() == []
        cursor.execute("XA START 'y'")
        cursor.execute("INSERT INTO t VALUES (1, 'one phase', NULL)")
        cursor.execute("XA END 'y'")
        cursor.execute("XA COMMIT 'y' ONE PHASE")
        assert watched.read().operations() == "I"
        for statement in xa:
            cursor.execute(statement.format("t").replace("(1,", "(2,"))
    assert "XA PREPARE" in refused(watched)


def test_rows_without_names_of_their_columns_are_refused(shop: Database) -> None:
    watched = watch(shop)
    with global_setting(shop, "binlog_row_metadata", "'NO_LOG'"):
        shop.run("INSERT INTO t VALUES (1, 'a', NULL)")
    with pytest.raises(SourceNotReady, match="binlog_row_metadata"):
        watched.read()


def test_a_setting_that_loses_changes_is_noticed_when_a_capture_begins(shop: Database) -> None:
    watched = watch(shop)
    with (
        global_setting(shop, "binlog_row_image", "'MINIMAL'"),
        pytest.raises(SourceNotReady, match="SET GLOBAL binlog_row_image"),
    ):
        watched.read()


# --- who reads, and from where --------------------------------------------------------------


@contextmanager
def reading(watched: Watched) -> Iterator[None]:
    """A capture that runs meanwhile."""
    stop, began = threading.Event(), threading.Event()

    def work() -> None:
        with watched.source.changes(
            watched.tables, epoch=1, after=watched.start, upto=None, stop=stop.is_set
        ) as changes:
            for _ in changes:
                began.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert began.wait(20)
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_of_two_captures_one_is_told_to_wait(shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_RELEASE_SECONDS", 0)
    watched = watch(shop)
    with reading(watched):
        assert watched.source.status().active
        assert len(watched.source.remains()) == 1
        with pytest.raises(SlotBusy):
            watched.read()
        with pytest.raises(SlotBusy):
            watched.source.teardown()
    assert not watched.source.status().active
    assert watched.source.remains() == ()
    watched.source.teardown()


def test_a_number_that_another_replica_has_is_refused(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "_RELEASE_SECONDS", 0.2)
    watched = watch(shop)
    other = replace(watched.source, name="other", server_id=watched.source.replica_id)
    with reading(watched), pytest.raises(SourceNotReady, match="registered already"):
        Watched(other, watched.tables, watched.start).read()


def read_on(watched: Watched, turns: int, begun: Callable[[], None] = lambda: None) -> None:
    """Read without an end; `begun` is called when the stream is open."""
    with watched.source.changes(
        watched.tables, epoch=1, after=watched.start, upto=None, stop=lambda: False
    ) as changes:
        for turn, _ in enumerate(changes):
            if turn == 0:
                begun()
            assert turn < turns


def test_a_replica_that_takes_our_number_is_told_of(shop: Database) -> None:
    watched = watch(shop)
    number = watched.source.replica_id
    with closing(shop.session()) as other, other.cursor() as cursor:
        cursor.execute("SHOW MASTER STATUS")
        file = (cursor.fetchone() or ("",))[0]

        def register() -> None:
            other._execute_command(0x15, struct.pack("<IBBBHII", number, 0, 0, 0, 0, 0, 0))
            other._read_ok_packet()
            other._execute_command(0x12, struct.pack("<IHI", 4, 0, number) + file.encode())

        with pytest.raises(SourceUnavailable, match="number of this capture"):
            read_on(watched, 100, register)


def test_a_capture_that_is_forced_to_end_is_told_so(shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOCK_SECONDS", 0.1)
    watched = watch(shop)
    with pytest.raises(SourceUnavailable):
        read_on(watched, 100, lambda: watched.source.teardown(force=True))
    assert watched.source.remains() == ()
    shop.run("INSERT INTO t VALUES (1, 'a', NULL)")
    assert watched.read().operations() == "I"


def test_a_server_that_says_nothing_any_more_is_noticed(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "SILENCE_SECONDS", 0.6)
    monkeypatch.setattr(replica, "_HEARTBEAT_NANOSECONDS", 60_000_000_000)
    with pytest.raises(SourceUnavailable, match="said nothing"):
        read_on(watch(shop), 20)


@pytest.fixture(scope="module")
def own_server() -> Iterator[MariaDbServer]:
    """One whose log tests may throw away."""
    with running_mariadb(BINLOG_SETTINGS) as server:
        yield server


@pytest.fixture
def own(own_server: MariaDbServer) -> Iterator[Database]:
    with fresh_prefix(own_server) as prefix:
        found = Database(own_server, f"{prefix.prefix}db")
        with closing(own_server.connect()) as session, session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{found.name}`")
        found.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)")
        yield found


def test_a_purged_log_is_told_with_what_is_lost(own: Database) -> None:
    watched = watch(own)
    own.run("INSERT INTO t VALUES (1, 1)", "FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
    with closing(own.session()) as session, session.cursor() as cursor:
        cursor.execute("SHOW BINARY LOGS")
        newest = cursor.fetchall()[-1][0]
        cursor.execute("SHOW BINARY LOGS")
        while len(cursor.fetchall()) != 1:
            # The server lets go of a file some moments after it began another.
            cursor.execute(f"PURGE BINARY LOGS TO '{newest}'")
            cursor.execute("SHOW BINARY LOGS")
    with pytest.raises(SlotLost, match=r"was purged.*are lost.*load every id range again"):
        watched.read()


def test_a_log_that_was_begun_anew_is_noticed(own: Database) -> None:
    own.run("FLUSH BINARY LOGS")
    watched = watch(own)
    own.run("RESET MASTER")
    with pytest.raises(SlotLost, match="RESET MASTER"):
        watched.read()
    short = watch(own)
    own.run("INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (2, 1)")
    short.read()
    own.run("RESET MASTER")
    with pytest.raises(SlotLost, match="begun anew"):
        short.read()
    # And when it has grown beyond that place again, where now no event begins.
    own.run(*[f"UPDATE t SET v = {number} + 17" for number in range(20)])
    with pytest.raises(SlotLost, match="cannot be read on"):
        short.read()
