"""What the source says of its tables and of itself: shape, problems with their fixes, writers, digests."""

from __future__ import annotations

import datetime as dt
import pickle
import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from replication_assets.core.digests import digest_of
from replication_assets.core.id_ranges import ByBounds, plan_id_ranges
from replication_assets.core.sql import Spill, engine
from replication_assets.core.structure import Check, ForeignKey, Index, TableStructure, UniqueKey
from replication_assets.errors import LoadBlocked, SlotBusy, SourceNotReady, SourceUnavailable
from replication_assets.ports import LoadSlice
from replication_assets.secret_references import Secret
from replication_assets.sources.mysql import MySqlConnection, MySqlSource
from replication_assets.sources.mysql.connection import connected, quoted, server_error
from replication_assets.sources.mysql.grants import Grants, read_grants
from replication_assets.sources.mysql.status import capture_lock
from replication_assets_tests.mysql_servers import MariaDbServer, running_mariadb
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.reading import COMMIT_DATES, loaded

# --- reflection and structure ---------------------------------------------------------------


def test_a_table_is_reflected_with_its_key(database: Database) -> None:
    database.run("CREATE TABLE t (b INT, a VARCHAR(9) NOT NULL, g INT AS (b + 1), PRIMARY KEY (a, b))")
    schema = database.source().reflect(database.table("t"))
    assert schema.names == ("b", "a")
    assert schema.key == ("a", "b")
    assert schema.not_replicated == ("g",)
    assert [column.nullable for column in schema.columns] == [False, False]
    assert database.source().reflect(database.table("t"), key=["a"]).key == ("a",)


@pytest.mark.parametrize(
    ("create", "key", "complaint"),
    [
        ("CREATE TABLE t (id INT) ENGINE = MyISAM", (), "Run: ALTER TABLE `.*`.`t` ENGINE = InnoDB"),
        ("CREATE TABLE t (id INT) WITH SYSTEM VERSIONING", (), "system versioned"),
        ("CREATE TABLE t (id INT, `_op` INT)", (), "names that the event store uses"),
        ("CREATE TABLE t (id INT)", ("nope",), "'nope' does not exist; the table has id"),
        ("CREATE TABLE t (id INT, g INT AS (id))", ("g",), "'g' is generated"),
        ("CREATE TABLE t (id INT)", ("id", "id"), "names a column twice"),
        ("CREATE TABLE other (id INT)", (), "no table or view"),
    ],
)
def test_what_stands_in_the_way_is_told(
    database: Database, create: str, key: tuple[str, ...], complaint: str
) -> None:
    database.run(create)
    with pytest.raises(SourceNotReady, match=complaint):
        database.source().reflect(database.table("t"), key=key)


def test_views_are_loaded_and_never_captured(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE VIEW w AS SELECT id FROM t")
    source = database.source()
    assert source.is_captured(database.table("t"))
    assert not source.is_captured(database.table("w"))
    assert source.structure(database.table("w")).only_columns == "a view"


def test_the_structure_is_the_servers_own(database: Database) -> None:
    database.run(
        "CREATE TABLE par (a INT, b INT, PRIMARY KEY (a, b))",
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY COMMENT 'canary',"
        " e ENUM('a','it''s','x\\\\y') NOT NULL DEFAULT 'it''s', n DECIMAL(10,2) DEFAULT 1.5,"
        " ts TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,"
        " v VARCHAR(20) COLLATE utf8mb4_bin,"
        " g INT AS (n + 1) STORED, x INT, y INT, hidden INT INVISIBLE, UNIQUE KEY u (v), KEY pfx (v(10)),"
        " KEY d (x DESC), KEY plain (y, x),"
        " CONSTRAINT fk FOREIGN KEY (x, y) REFERENCES par (a, b) ON DELETE SET NULL,"
        " CONSTRAINT positive CHECK (n > 0)) COMMENT 'canary'",
        "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.x = NULL",
    )
    found = database.source().structure(database.table("t"))
    assert found.engine == "mariadb"
    assert (found.primary_key, found.unique_keys) == (
        UniqueKey("PRIMARY", ("id",)),
        (UniqueKey("u", ("v",)),),
    )
    parent = database.table("par")
    assert found.foreign_keys == (
        ForeignKey("fk", ("x", "y"), parent, ("a", "b"), on_delete="SET NULL", on_update="RESTRICT"),
    )
    assert found.checks == (Check("positive", "`n` > 0"),)
    indexes = {index.name: index for index in found.indexes}
    assert indexes["plain"] == Index("plain", ("y", "x"))
    assert str(indexes["pfx"].definition).endswith("(`v`(10))")
    assert str(indexes["d"].definition).endswith("(`x` DESC)")
    columns = {column.name: column for column in found.columns}
    assert (columns["id"].identity, columns["id"].nullable) == ("by default", False)
    assert (columns["e"].type, columns["e"].labels, columns["e"].default) == (
        "enum",
        ("a", "it's", "x\\y"),
        "'it''s'",
    )
    assert columns["g"].generated == "`n` + 1"
    assert columns["v"].default is None
    assert set(found.others) == {
        "ON UPDATE of column ts",
        "a comment on column id",
        "a comment on the table",
        "column hidden being invisible",
        "trigger tr",
    }
    assert "canary" not in found.to_json()
    assert TableStructure.from_json(found.to_json()) == found


def test_a_table_that_is_being_altered_has_no_structure_yet(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)")
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute("LOCK TABLES t WRITE")
        with pytest.raises(LoadBlocked):
            database.source().structure(database.table("t"))


# --- what changed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alter", "reload", "reason"),
    [
        ("ADD COLUMN c INT", False, "c was added, null in all rows"),
        ("ADD COLUMN c INT NOT NULL", True, "c was added with a value"),
        ("ADD COLUMN c INT DEFAULT 7", True, "c was added with a value"),
        ("DROP COLUMN note", False, "note was dropped"),
        ("CHANGE note remark VARCHAR(9)", True, "note were dropped or renamed, to remark"),
        ("MODIFY note VARCHAR(20)", False, "changes no value"),
        ("MODIFY note VARCHAR(5)", True, "note changed from varchar\\(9\\) to varchar\\(5\\)"),
        ("MODIFY e ENUM('a','b','c')", False, "changes no value"),
        ("MODIFY e ENUM('b','a')", True, "e changed"),
        ("MODIFY n BIGINT", True, "stored as int64 instead of int32"),
    ],
)
def test_a_difference_says_whether_loaded_rows_still_hold(
    database: Database, alter: str, reload: bool, reason: str
) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY, note VARCHAR(9), e ENUM('a','b'), n INT)")
    source, table = database.source(), database.table("t")
    known = source.reflect(table)
    assert source.difference(table, known, source.reflect(table)) is None
    database.run(f"ALTER TABLE t {alter}")
    found = source.difference(table, known, source.reflect(table))
    assert found is not None
    assert found.reload == reload
    assert re.search(reason, found.reason)


@pytest.mark.parametrize(
    "alter", ["MODIFY n INT(5)", "MODIFY n INT NULL COMMENT 'x'", "MODIFY n INT FIRST", "FORCE"]
)
def test_what_changes_no_row_is_no_difference(database: Database, alter: str) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL)")
    source, table = database.source(), database.table("t")
    known = source.reflect(table)
    database.run(f"ALTER TABLE t {alter}")
    assert source.difference(table, known, source.reflect(table)) is None


def test_partitions_that_went_are_named(database: Database) -> None:
    database.run(
        "CREATE TABLE plain (id INT PRIMARY KEY)",
        "CREATE TABLE t (id INT PRIMARY KEY) PARTITION BY RANGE (id)"
        " (PARTITION a VALUES LESS THAN (10), PARTITION b VALUES LESS THAN (20))",
    )
    source, table = database.source(), database.table("t")
    assert source.partition_tree(database.table("plain"), None) is None
    before = source.partition_tree(table, None)
    assert before is not None
    assert sorted(name for _, name in before.leaves) == ["a", "b"]
    database.run("ALTER TABLE t ADD PARTITION (PARTITION c VALUES LESS THAN (30))")
    grown = source.partition_tree(table, before.leaves)
    assert grown is not None
    assert grown.reason == ""
    database.run("ALTER TABLE t DROP PARTITION a")
    shrunk = source.partition_tree(table, grown.leaves)
    assert shrunk is not None
    assert "partition a was dropped" in shrunk.reason


# --- ranges -----------------------------------------------------------------------------------


def test_bounds_and_quantiles_are_those_of_the_rows(database: Database) -> None:
    database.run(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, note VARCHAR(9), empty INT, y YEAR)",
        "INSERT INTO t SELECT seq, CONCAT('n', LPAD(seq, 4, '0')), NULL, 1999 FROM seq_1_to_1000",
    )
    source, table = database.source(), database.table("t")
    bounds = source.bounds(table, "id")
    assert (bounds.low, bounds.high) == (1, 1000)
    assert bounds.rows > 0
    texts = source.bounds(table, "note")
    assert (texts.low, texts.high) == ("n0001", "n1000")
    assert (source.bounds(table, "empty").low, source.bounds(table, "y").high) == (None, 1999)
    assert source.quantiles(table, "id", 4) == (250, 500, 750)
    assert source.quantiles(table, "note", 2) == ("n0500",)
    assert source.quantiles(table, "empty", 4) == ()
    with pytest.raises(SourceNotReady, match="cannot cut id ranges"):
        source.bounds(table, "nope")


def test_digests_are_those_of_the_rows_that_a_load_reads(database: Database) -> None:
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY, d DATE, f DOUBLE, b BLOB, n DECIMAL(9,2))")
        cursor.execute(
            "INSERT INTO t SELECT seq, IF(seq % 7, '2024-01-01', 0), seq / 3, 'x', seq FROM seq_1_to_500"
        )
    source, table = database.source(), database.table("t")
    schema = source.reflect(table)
    ranges = plan_id_ranges(ByBounds((100, 900)), "integer", "id", None, None)
    cuts = [ranges.at(index) for index in range(ranges.size)]
    found = source.digests(table, schema, "id", cuts)
    assert found.compared == schema.names
    for cut in cuts:
        with source.load(LoadSlice(table, schema, "id", cut, COMMIT_DATES)) as load, engine(Spill()) as duck:
            batches = list(load)
            columns = batches[0].schema if batches else loaded(source, table).schema
            assert found.digests[cut.key] == digest_of(duck, batches, columns)
    assert sum(digest.rows for digest in found.digests.values()) == 500


# --- settings and grants ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def badly_set() -> Iterator[MariaDbServer]:
    settings = {
        "log-bin": "binlog",
        "binlog-format": "MIXED",
        "binlog-row-image": "MINIMAL",
        "binlog-row-metadata": "NO_LOG",
        "binlog-expire-logs-seconds": "3600",
        "binlog-ignore-db": "hidden",
    }
    with running_mariadb(settings) as server:
        yield server


def test_each_wrong_setting_is_told_with_what_mends_it(badly_set: MariaDbServer) -> None:
    source = MySqlSource("shop", MySqlConnection(badly_set.host, badly_set.user, port=badly_set.port))
    told = "\n".join(source.missing([]))
    for part in (
        "SET GLOBAL binlog_format = 'ROW'",
        "SET GLOBAL binlog_row_image = 'FULL'",
        "SET GLOBAL binlog_row_metadata = 'FULL'",
        "SET GLOBAL binlog_expire_logs_seconds = 172800",
        "binlog_ignore_db",
    ):
        assert part in told
    with pytest.raises(SourceNotReady, match="5 problems"):
        source.setup([])


def test_a_sound_server_lacks_nothing(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)")
    source, table = database.source(), database.table("t")
    tables = [(table, source.reflect(table))]
    assert source.missing(tables) == ()
    start = source.setup(tables)
    assert start.added == ()
    assert start.start == source.status().head


def test_rows_that_foreign_keys_change_unseen_are_refused_unless_known_of(database: Database) -> None:
    database.run(
        "CREATE TABLE par (id INT PRIMARY KEY)",
        "CREATE TABLE t (id INT PRIMARY KEY, p INT,"
        " CONSTRAINT fk FOREIGN KEY (p) REFERENCES par (id) ON DELETE CASCADE)",
        "CREATE TABLE sound (id INT PRIMARY KEY, p INT,"
        " FOREIGN KEY (p) REFERENCES par (id) ON DELETE RESTRICT)",
    )
    source = database.source()
    tables = [(database.table(name), source.reflect(database.table(name))) for name in ("par", "t", "sound")]
    (problem,) = source.missing(tables)
    assert f"ALTER TABLE `{database.name}`.`t` DROP FOREIGN KEY `fk`" in problem
    assert database.source(cascades=True).missing(tables) == ()


def test_grants_that_are_missing_are_named_and_then_enough(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (id INT PRIMARY KEY)")
    user = f"u{database.name[:12]}"
    database.run(f"CREATE USER {user}@localhost IDENTIFIED BY 'canary'")
    try:
        connection = MySqlConnection("127.0.0.1", user, Secret("canary"), port=database.server.port)
        source, table = MySqlSource("shop", connection), database.table("t")
        with pytest.raises(SourceNotReady, match="GRANT SELECT ON"):
            source.reflect(table)
        database.run(f"GRANT SELECT ON `{database.name}`.t TO {user}@localhost")
        schema = source.reflect(table)
        told = "\n".join(source.missing([(table, schema)]))
        assert f"GRANT REPLICATION SLAVE ON *.* TO '{user}'@'localhost'" in told
        assert f"GRANT BINLOG MONITOR ON *.* TO '{user}'@'localhost'" in told
        with pytest.raises(SourceNotReady, match="GRANT PROCESS"):
            source.writers([table])
        database.run(f"GRANT REPLICATION SLAVE, BINLOG MONITOR, PROCESS ON *.* TO {user}@localhost")
        assert source.missing([(table, schema)]) == ()
        assert source.writers([table]) == ()
        assert loaded(source, table).num_rows == 0
    finally:
        database.run(f"DROP USER {user}@localhost")


def test_a_lock_is_chosen_by_what_is_granted(database: Database) -> None:
    with connected(database.connection) as session:
        assert read_grants(session).has(["LOCK TABLES"], database.name)
    some = Grants((("*", frozenset({"USAGE"})), (r"shop\_%", frozenset({"LOCK TABLES"}))))
    assert some.has(["LOCK TABLES"], "shop_eu")
    assert not some.has(["LOCK TABLES"], "shopXeu")
    assert not some.has(["LOCK TABLES"])


# --- status, writers, connections ---------------------------------------------------------------


def test_the_head_moves_with_writes_and_with_nothing_else(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)")
    source = database.source()
    before = source.status()
    assert source.status().head == before.head
    database.run("INSERT INTO t VALUES (1)")
    now = source.status()
    assert now.head > before.head
    assert (now.state, now.active, now.confirmed) == ("available", False, None)
    assert abs((dt.datetime.now(dt.UTC) - now.read_at).total_seconds()) < 60


def test_a_server_is_known_again_and_another_is_not(database: Database, badly_set: MariaDbServer) -> None:
    source = database.source()
    other = MySqlSource("shop", MySqlConnection(badly_set.host, badly_set.user, port=badly_set.port))
    assert source.identify() == source.identify()
    assert source.identify().system_id != other.identify().system_id


def test_a_capture_that_runs_is_seen_and_can_be_ended(database: Database) -> None:
    source = database.source()
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (capture_lock("shop"),))
        assert source.status().active
        assert str(session.thread_id()) in source.remains()[0]
        with pytest.raises(SlotBusy):
            source.teardown()
        source.teardown(force=True)
    assert source.remains() == ()
    source.teardown()


def test_transactions_that_may_have_written_are_named(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)")
    source, table = database.source(), database.table("t")
    with closing(database.session()) as session, session.cursor() as cursor:
        session.begin()
        cursor.execute("SELECT * FROM t")
        assert all(str(session.thread_id()) not in each.session for each in source.writers([table]))
        cursor.execute("INSERT INTO t VALUES (1)")
        mine = [each for each in source.writers([table]) if str(session.thread_id()) in each.session]
        (writer,) = mine
        assert (writer.user, writer.tables, writer.ending) == (
            "root",
            (table,),
            f"KILL {session.thread_id()};",
        )
        session.rollback()
        cursor.execute("XA START 'a''b'")
        cursor.execute("INSERT INTO t VALUES (1)")
        cursor.execute("XA END 'a''b'")
        cursor.execute("XA PREPARE 'a''b'")
        prepared = [each for each in source.writers([table]) if each.state == "prepared"]
        (ending,) = {each.ending for each in prepared}
        cursor.execute(ending)
    assert not [each for each in source.writers([table]) if each.state == "prepared"]


def test_statements_that_stop_writers_name_who_may_write(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)")
    user = f"w{database.name[:12]}"
    database.run(
        f"CREATE USER {user}@localhost", f"GRANT INSERT, SELECT ON `{database.name}`.t TO {user}@localhost"
    )
    try:
        told = database.source().stop_writes([database.table("t")])
        assert f"REVOKE INSERT ON `{database.name}`.`t` FROM '{user}'@'localhost';" in told
        assert "SET GLOBAL read_only = ON;" in told
    finally:
        database.run(f"DROP USER {user}@localhost")


def test_a_wrong_password_is_told_without_it(database: Database) -> None:
    connection = MySqlConnection("127.0.0.1", "nobody", "canary", port=database.server.port)
    with pytest.raises(SourceNotReady, match="1045") as caught:
        MySqlSource("shop", connection).identify()
    assert "canary" not in str(caught.value) + repr(connection)
    assert pickle.loads(pickle.dumps(connection)) == connection


def test_a_server_without_tls_gets_no_login_where_tls_is_asked_for(database: Database) -> None:
    for mode in ("require", "verify-ca", "verify-full"):
        connection = MySqlConnection("127.0.0.1", "root", port=database.server.port, sslmode=mode)
        with pytest.raises(SourceNotReady, match="TLS"):
            MySqlSource("shop", connection).identify()


def test_a_port_that_nobody_listens_on_may_be_tried_again() -> None:
    with pytest.raises(SourceUnavailable, match="check `host` and `port`"):
        MySqlSource("shop", MySqlConnection("127.0.0.1", "root", port=1)).identify()


def test_messages_that_may_quote_values_are_dropped() -> None:
    for number in (1062, 1264, 1366, 1406, 9999):
        assert "canary" not in str(server_error(number, "Duplicate entry 'canary' for key", "here"))
    assert quoted("a`b", "c") == "`a``b`.`c`"
