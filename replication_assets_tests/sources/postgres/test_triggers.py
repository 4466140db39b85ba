"""What is peculiar to triggers on PostgreSQL: the order of commits, tables that are altered under
them, sessions with settings of their own, roles that may not replicate."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import psycopg
import pytest

from replication_assets.errors import SlotLost, SourceNotReady
from replication_assets.sources.postgres.connection import PostgresConnection
from replication_assets.sources.postgres.triggers.records import fields_of, width_of
from replication_assets.sources.postgres.triggers.source import TriggerSource
from replication_assets_tests.contracts.change_source import ROWS, Following, events, replayed, told
from replication_assets_tests.postgres_servers import FreshDatabase
from replication_assets_tests.sources.postgres.places import PostgresPlace


@pytest.fixture
def following(database: FreshDatabase) -> Iterator[Following]:
    source = TriggerSource("app", PostgresConnection.parse(database.dsn), load_wait=20)
    found = Following(PostgresPlace(database, source, by_log=False))
    yield found
    source.teardown(force=True)


def kinds(following: Following, table: str, *columns: str) -> list[tuple[object, ...]]:
    following.chunks.clear()
    following.drain()
    return told(following.chunks, following.table(table), *columns)


# --- the order of commits ------------------------------------------------------------------


def test_who_drew_the_first_id_may_commit_last(following: Following) -> None:
    place, t = following.place, following.table("t")
    place.create("t", ROWS)
    following.declare("t")
    with place.transaction() as slow, place.transaction() as quick:
        slow.execute("INSERT INTO t VALUES (1, 1, 'slow')")
        quick.execute("INSERT INTO t VALUES (2, 1, 'quick')")
        quick.commit()
        following.drain()
        assert told(following.chunks, t, "s") == [("I", "quick")]
        reached = following.after
        position, rows = following.load("t")
        assert list(rows) == [(2, 1, "quick")]
        slow.commit()
    following.drain()
    assert told(following.chunks, t, "s") == [("I", "quick"), ("I", "slow")]
    late = events(following.chunks, t)[-1]
    assert late["_commit_position"] > reached
    assert late["_commit_position"] >= position, "the load does not have it"
    assert replayed(events(following.chunks, t), ("id", "v", "s"), position) == rows


def test_changes_of_one_row_keep_their_order_across_fences(following: Following) -> None:
    place, t = following.place, following.table("t")
    place.create("t", ROWS)
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 0, 'a'), (2, 0, 'b')")
    with place.transaction() as one, place.transaction() as other:
        other.execute("UPDATE t SET v = 1 WHERE id = 2")
        one.execute("UPDATE t SET v = 1 WHERE id = 1")
        following.drain()
        one.commit()
        # It began before the first and writes the same row after it.
        other.execute("UPDATE t SET v = 2 WHERE id = 1")
        following.load("t")
        other.commit()
    place.execute("UPDATE t SET v = 3 WHERE id = 1")
    following.drain()
    found = [row["v"] for row in events(following.chunks, t) if row["id"] == 1]
    assert found == [0, 1, 2, 3]


def test_a_prepared_transaction_holds_up_nobody_and_is_not_lost(following: Following) -> None:
    place = following.place
    place.create("t", ROWS)
    following.declare("t")
    assert isinstance(place, PostgresPlace)
    with psycopg.connect(place.database.dsn, autocommit=True) as session:
        session.execute("BEGIN")
        session.execute("INSERT INTO t VALUES (1, 1, 'prepared')")
        session.execute("PREPARE TRANSACTION 'p'")
        session.execute("INSERT INTO t VALUES (2, 1, 'after')")
        assert kinds(following, "t", "s") == [("I", "after")]
        session.execute("COMMIT PREPARED 'p'")
    assert kinds(following, "t", "s") == [("I", "prepared")]


def test_a_log_that_somebody_emptied_is_lost(following: Following) -> None:
    following.place.create("t", ROWS)
    following.declare("t")
    following.place.execute("DELETE FROM ra_app.log")
    with pytest.raises(SlotLost):
        following.drain()


# --- what applications do ------------------------------------------------------------------


def test_a_truncate_is_told_where_it_happened(following: Following) -> None:
    place, t = following.place, following.table("t")
    place.create("t", ROWS)
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1, 'a')", "TRUNCATE t", "INSERT INTO t VALUES (2, 1, 'b')")
    (chunk,) = [chunk for chunk in following.drain() if chunk.batches]
    ((table, position, at, xid),) = chunk.truncated
    first, second = events([chunk], t)
    assert table == t
    assert first["_sequence"] < position.sequence < second["_sequence"]
    assert first["_commit_position"] == position.commit == second["_commit_position"]
    assert first["_transaction_id"] == xid
    assert abs((at - dt.datetime.now(dt.UTC)).total_seconds()) < 600


def test_a_setup_brings_the_function_of_an_earlier_version_up_to_date(following: Following) -> None:
    place = following.place
    place.create("t", ROWS)
    following.declare("t")
    place.execute(
        "CREATE OR REPLACE FUNCTION ra_app.note() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'"
    )
    following.setup()
    place.execute("INSERT INTO t VALUES (1, 1, 'a')")
    assert kinds(following, "t", "s") == [("I", "a")]


def test_settings_of_a_session_do_not_show_in_what_it_wrote(following: Following) -> None:
    place = following.place
    place.create("t", "id int PRIMARY KEY, d timestamptz, i interval, f float8, b bytea, m date")
    following.declare("t")
    place.execute(
        "SET DateStyle = 'SQL, DMY'", "SET IntervalStyle = 'iso_8601'", "SET TimeZone = 'Asia/Tokyo'",
        "SET extra_float_digits = -10", "SET bytea_output = 'escape'", "SET search_path = pg_temp, public",
        r"INSERT INTO t VALUES (1, '2026-02-03 04:05:06+00', '1 day 2 hours', 0.1::float8 + 0.2, '\xff00',"
        " '2026-02-03')",
    )  # fmt: skip
    following.drain()
    (row,) = events(following.chunks, following.table("t"))
    assert row["d"] == dt.datetime(2026, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    assert (row["i"], row["f"], row["b"]) == ("1 day 02:00:00", 0.1 + 0.2, b"\xff\x00")
    assert row["m"] == dt.date(2026, 2, 3)


def test_replicated_rows_are_captured_too(following: Following) -> None:
    place = following.place
    place.create("t", ROWS)
    following.declare("t")
    place.execute("SET session_replication_role = replica", "INSERT INTO t VALUES (1, 1, 'replica')")
    assert kinds(following, "t", "s") == [("I", "replica")]


def test_a_role_without_rights_on_the_log_can_write_and_none_needs_to_replicate(
    database: FreshDatabase,
) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as session:
        for role in ("owner", "writer"):
            session.execute(f"DROP ROLE IF EXISTS ra_{role}_{database.name}".encode())
            session.execute(f"CREATE ROLE ra_{role}_{database.name} LOGIN NOREPLICATION".encode())
        owner, writer = f"ra_owner_{database.name}", f"ra_writer_{database.name}"
        session.execute(f"GRANT CREATE ON DATABASE {database.name} TO {owner}".encode())
        session.execute(f"GRANT CREATE ON SCHEMA public TO {owner}".encode())
        session.execute(f"SET ROLE {owner}".encode())
        session.execute(f"CREATE TABLE t ({ROWS})".encode())
        session.execute(f"GRANT SELECT, INSERT, UPDATE ON t TO {writer}".encode())
        session.execute("RESET ROLE")
        connection = PostgresConnection.parse(database.dsn, user=owner)
        following = Following(PostgresPlace(database, TriggerSource("app", connection), by_log=False))
        following.declare("t")
        assert following.place.source.identify().timeline == 1
        session.execute(f"SET ROLE {writer}".encode())
        session.execute("INSERT INTO t VALUES (1, 1, 'a')")
        session.execute("RESET ROLE")
        assert kinds(following, "t", "s") == [("I", "a")]
        assert following.load("t")[1] == {(1, 1, "a"): 1}
        following.place.source.teardown()
        assert following.place.source.remains() == ()
        session.execute(f"DROP OWNED BY {owner}, {writer}".encode())
        session.execute(f"DROP ROLE {owner}, {writer}".encode())


# --- tables that are altered ---------------------------------------------------------------


def test_no_alter_table_breaks_a_writer(following: Following) -> None:
    place, t = following.place, following.table("t")
    place.create("t", ROWS)
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1, 'a')", "ALTER TABLE t ADD w text")
    place.execute("INSERT INTO t VALUES (2, 2, 'b', 'w')", "ALTER TABLE t ADD x int")
    place.execute("INSERT INTO t VALUES (3, 3, 'c', NULL, 7)")
    following.drain()
    changes = [change for chunk in following.chunks for _, _, change in chunk.schema_changes]
    assert {change.reload for change in changes} == {False}
    values = {row["id"]: (row.get("w"), row.get("x")) for row in events(following.chunks, t)}
    assert values == {1: (None, None), 2: ("w", None), 3: (None, 7)}
    place.execute("ALTER TABLE t DROP v", "INSERT INTO t VALUES (4, 'd', 'w', 8)")
    following.drain()
    found = {row["id"]: (row.get("v"), row["s"]) for row in events(following.chunks, t)}
    assert found == {1: (1, "a"), 2: (2, "b"), 3: (3, "c"), 4: (None, "d")}
    assert following.load("t")[1] == {(1, "a", None, None): 1, (2, "b", "w", None): 1,
                                      (3, "c", None, 7): 1, (4, "d", "w", 8): 1}  # fmt: skip


@pytest.mark.parametrize(
    "alteration",
    [
        "ALTER TABLE t RENAME s TO word",
        "ALTER TABLE t ALTER v TYPE text",
        "ALTER TABLE t DROP s, ADD s text",
        "ALTER TABLE t DISABLE TRIGGER USER",
        "ALTER TABLE t RENAME TO gone; CREATE TABLE t (id int PRIMARY KEY, v int, s text)",
    ],
)
def test_what_may_have_been_written_with_other_columns_is_told_by_a_reload(
    following: Following, alteration: str
) -> None:
    place = following.place
    place.create("t", ROWS)
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1, 'a')")
    following.drain()
    place.execute(alteration)
    place.execute("INSERT INTO t VALUES (9, '9', 'later')")
    following.drain()
    changes = [change for chunk in following.chunks for _, _, change in chunk.schema_changes]
    assert any(change.reload for change in changes), changes
    place.execute("INSERT INTO t VALUES (10, '10', 'seen')")
    assert kinds(following, "t", "id")[-1] == ("I", 10)


def test_an_earlier_trigger_is_refused_by_name(following: Following) -> None:
    place = following.place
    place.execute(
        f"CREATE TABLE t ({ROWS})",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        'CREATE TRIGGER "!a" AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()',
    )
    with pytest.raises(SourceNotReady, match="fires before ours"):
        following.declare("t")


# --- row images ----------------------------------------------------------------------------

FIELDS = [
    "plain",
    "",
    None,
    'a "b" c',
    "back\\slash\\\\",
    "(1,2)",
    "line\nbreak\r",
    " ",
    "é,😀",
    '""',
    "\\N",
    "NULL",
]


@pytest.mark.parametrize("width", [1, 2, 5])
def test_images_are_read_as_the_server_prints_them(database: FreshDatabase, width: int) -> None:
    rows = [[FIELDS[(i + 3 * j) % len(FIELDS)] for j in range(width)] for i in range(len(FIELDS))]
    columns = ", ".join(f"c{j} text" for j in range(width))
    with psycopg.connect(database.dsn) as session:
        session.execute(f"CREATE TABLE t (n int, {columns})".encode())
        session.execute("ALTER TABLE t DROP n")
        for row in rows:
            session.execute(f"INSERT INTO t VALUES ({', '.join(['%s'] * width)})".encode(), row)
        images = [image for (image,) in session.execute("SELECT t::text FROM t").fetchall()]
    assert [width_of(image) for image in images] == [width] * len(rows)
    found = fields_of([None, *images, None], width)
    assert found is not None
    assert [column.to_pylist() for column in found] == [
        [None, *(row[j] for row in rows), None] for j in range(width)
    ]
    assert fields_of(images, width + 1) is None
