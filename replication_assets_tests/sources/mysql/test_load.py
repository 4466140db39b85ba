"""A load reads exactly its slice, whole rows, in bounded pieces, and leaves nothing behind."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest

from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import ByBounds, IdRange, Kind, plan_id_ranges
from replication_assets.core.schema import TableSchema
from replication_assets.errors import DecodeError, SourceError, SourceNotReady, SourceUnavailable
from replication_assets.ports import LoadSlice
from replication_assets.sources.mysql import MySqlConnection, MySqlSource
from replication_assets.sources.mysql.connection import connected
from replication_assets.sources.mysql.result_rows import BUFFER_BYTES, ResultRows, columns_of
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.reading import COMMIT_DATES, WHOLE, loaded, values, whole


def test_a_load_yields_the_stored_columns_and_overflow(database: Database) -> None:
    database.run("CREATE TABLE t (id BIGINT PRIMARY KEY, note VARCHAR(9))", "INSERT INTO t VALUES (2, NULL)")
    source, table = database.source(), database.table("t")
    with source.load(whole(table, source.reflect(table))) as load:
        (batch,) = load
        assert [column.name for column in load.columns] == ["id", "note"]
        assert abs((dt.datetime.now(dt.UTC) - load.taken_at).total_seconds()) < 60
    assert batch.schema.names == ["id", "note", "_overflow"]
    assert batch.schema.field("note").metadata == {b"source_type": b"varchar(9)"}
    assert batch.to_pylist() == [{"id": 2, "note": None, "_overflow": None}]


def test_an_empty_table_yields_no_batch(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)")
    assert loaded(database.source(), database.table("t")).num_rows == 0


def test_batches_are_bounded_in_bytes(database: Database) -> None:
    database.run(
        "CREATE TABLE t (id INT PRIMARY KEY, note LONGTEXT)",
        "INSERT INTO t SELECT seq, REPEAT('x', 1000) FROM seq_1_to_12000",
    )
    source, table = database.source(), database.table("t")
    with source.load(whole(table, source.reflect(table))) as load:
        sizes = [batch.nbytes for batch in load]
    assert len(sizes) > 2
    assert max(sizes) < 2 * BUFFER_BYTES


@pytest.mark.parametrize("beyond", [-12, -11, 0, 1, 5_000_000])
def test_a_row_far_larger_than_a_packet_arrives_whole(database: Database, beyond: int) -> None:
    # 16 MiB less one is the longest packet: a row of that length goes on in an empty one.
    size = 2**24 - 1 + beyond
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY, note LONGBLOB)")
        cursor.execute("INSERT INTO t VALUES (1, 'before'), (3, 'after')")
        cursor.execute(f"SET @half = REPEAT(x'00ff', {size // 4})")
        cursor.execute(f"INSERT INTO t VALUES (2, CONCAT(@half, @half, REPEAT('z', {size % 4})))")
    found = loaded(database.source(), database.table("t")).sort_by("id")
    notes = found.column("note").to_pylist()
    assert (notes[0], notes[2]) == (b"before", b"after")
    assert notes[1] == b"\0\xff" * (size // 4 * 2) + b"z" * (size % 4)


@pytest.mark.parametrize(
    ("declared", "bounds", "keys"),
    [
        ("INT", (-5, 0, 7), ["-6", "-5", "-1", "0", "6", "7", "8", "NULL"]),
        ("BIGINT UNSIGNED", (5, 2**62), ["0", "4", "5", str(2**62), str(2**64 - 1), "NULL"]),
        ("DECIMAL(30,0)", (-(2**62), 3), [str(-(10**29)), "2", "3", str(10**29), "NULL"]),
        ("YEAR", (5, 1999), ["0", "1901", "1999", "2155", "NULL"]),
        ("VARCHAR(9)", ("B", "a", "é"), ["''", "'A'", "'B'", "'b'", "'B '", "'a'", "'é'", "'😀'", "NULL"]),
        ("CHAR(9) CHARACTER SET latin1", ("b", "é"), ["'a'", "'é'", "'z'", "'ü'", "NULL"]),
    ],
)  # fmt: skip
def test_ranges_tile_the_table(
    database: Database, declared: str, bounds: tuple[int | str, ...], keys: list[str]
) -> None:
    database.run(f"CREATE TABLE t (n INT PRIMARY KEY, k {declared})")
    database.run(*(f"INSERT INTO t VALUES ({number}, {key})" for number, key in enumerate(keys)))
    source, table = database.source(), database.table("t")
    schema = source.reflect(table)
    kind: Kind = "text" if isinstance(bounds[0], str) else "integer"
    ranges = plan_id_ranges(ByBounds(bounds), kind, "k", None, None)
    seen = 0
    for index in range(ranges.size):
        id_range = ranges.at(index)
        with source.load(LoadSlice(table, schema, "k", id_range, COMMIT_DATES)) as load:
            for batch in load:
                assert set(ranges.indexes(batch.column("k")).tolist()) == {index}
                seen += batch.num_rows
    assert seen == len(keys)


@pytest.mark.parametrize("declared", ["DATE", "DATETIME(3)", "TIMESTAMP(6) NULL"])
def test_dates_tile_the_table(database: Database, declared: str) -> None:
    moments = ["2024-01-31", "2024-02-01", "2024-02-29", "2024-03-01", "0000-00-00"]
    if not declared.startswith("TIMESTAMP"):
        moments += ["2024-02-00", "2024-02-31", "2024-00-07", "9999-12-31", "0000-05-01", "0001-01-01"]
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")
        cursor.execute(f"CREATE TABLE t (id INT PRIMARY KEY, d {declared})")
        cursor.executemany("INSERT INTO t VALUES (%s, %s)", [*enumerate(moments), (99, None)])
    source, table = database.source(), database.table("t")
    schema = source.reflect(table)
    dates = EventDates("d", "month", dt.date(2020, 1, 1))
    buckets = [dt.date(1, 1, 1), dt.date(2024, 1, 1), dt.date(2024, 2, 1), dt.date(2024, 3, 1), None]
    seen = 0
    for bucket in buckets:
        with source.load(LoadSlice(table, schema, None, WHOLE, dates, (bucket,))) as load:
            for batch in load:
                assert set(dates.bucket(batch.column("d")).to_pylist()) == {bucket}
                seen += batch.num_rows
    assert seen == len(moments) + 1
    with source.load(LoadSlice(table, schema, None, WHOLE, dates, tuple(buckets))) as load:
        assert sum(batch.num_rows for batch in load) == len(moments) + 1


def test_a_range_is_read_through_the_index(database: Database) -> None:
    database.run("CREATE TABLE t (id BIGINT PRIMARY KEY)", "INSERT INTO t SELECT seq FROM seq_1_to_5000")
    source, table = database.source(), database.table("t")
    schema = source.reflect(table)
    with connected(database.connection) as session:
        before = int(session.rows("SHOW GLOBAL STATUS LIKE 'Handler_read_next'")[0][1])
        slice_ = LoadSlice(table, schema, "id", IdRange("r000003", 3, 100, 200), COMMIT_DATES)
        with source.load(slice_) as load:
            assert sum(batch.num_rows for batch in load) == 100
        after = int(session.rows("SHOW GLOBAL STATUS LIKE 'Handler_read_next'")[0][1])
    assert after - before < 2000


def test_names_that_need_quotes_are_loaded(database: Database) -> None:
    name = "a`b\"c'd %s ü"
    quoted = name.replace("`", "``")
    database.run(f"CREATE TABLE `{quoted}` (id INT PRIMARY KEY, `{quoted}` INT)")
    database.run(f"INSERT INTO `{quoted}` VALUES (1, 2)")
    assert values(database.source(), database.table(name), name) == [2]


def test_views_partitions_and_invisible_columns_are_loaded_and_generated_ones_are_not(
    database: Database,
) -> None:
    database.run(
        "CREATE TABLE t (id INT PRIMARY KEY, secret INT INVISIBLE, twice INT AS (id * 2) STORED,"
        " v INT AS (id + 1))"
        " PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (10), PARTITION b VALUES LESS THAN (20))",
        "INSERT INTO t (id, secret) VALUES (5, 50), (15, 150)",
        "CREATE VIEW w AS SELECT id, twice FROM t WHERE id > 5",
    )
    source = database.source()
    assert source.reflect(database.table("t")).not_replicated == ("twice", "v")
    assert loaded(source, database.table("t")).sort_by("id").drop_columns("_overflow").to_pylist() == [
        {"id": 5, "secret": 50},
        {"id": 15, "secret": 150},
    ]
    assert values(source, database.table("w"), "twice") == [30]


def test_an_abandoned_load_leaves_nothing_behind(database: Database) -> None:
    database.run(
        "CREATE TABLE t (id INT PRIMARY KEY, note LONGTEXT)",
        "INSERT INTO t SELECT seq, REPEAT('x', 1000) FROM seq_1_to_30000",
    )
    source, table = database.source(), database.table("t")
    with source.load(whole(table, source.reflect(table))) as load:
        next(iter(load))
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute("SET lock_wait_timeout = 20")
        cursor.execute("ALTER TABLE t ADD COLUMN more INT")


def test_a_connection_lost_half_way_is_an_error_not_an_end(database: Database) -> None:
    database.run(
        "CREATE TABLE t (id INT PRIMARY KEY, note LONGTEXT)",
        "INSERT INTO t SELECT seq, REPEAT('x', 1000) FROM seq_1_to_60000",
    )
    source, table = database.source(), database.table("t")
    with source.load(whole(table, source.reflect(table))) as load:
        batches = iter(load)
        next(batches)
        _kill_readers(database)
        with pytest.raises(SourceUnavailable):
            list(batches)


def _kill_readers(database: Database) -> None:
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE %s AND ID <> CONNECTION_ID()",
            (f"SELECT%{database.name}%",),
        )
        for (connection,) in cursor.fetchall():
            cursor.execute(f"KILL {connection}")


def test_a_value_that_fails_half_way_is_not_quoted(database: Database) -> None:
    database.run(
        "CREATE TABLE t (id INT PRIMARY KEY, note VARCHAR(2000))",
        "INSERT INTO t SELECT seq, CONCAT('canary', REPEAT('x', 1000)) FROM seq_1_to_9000",
        "INSERT INTO t VALUES (9001, 'canary{')",
        "CREATE VIEW w AS SELECT id,"
        " IF(id = 9001, (SELECT note FROM t x WHERE x.id > t.id - 5), note) AS note FROM t",
    )
    source, table = database.source(), database.table("w")
    with pytest.raises(SourceError) as caught:
        loaded(source, table)
    assert "canary" not in str(caught.value)
    assert "1242" in str(caught.value)


def test_a_table_that_changed_since_it_was_reflected_is_refused(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY, a INT)")
    source, table = database.source(), database.table("t")
    schema = source.reflect(table)
    database.run("ALTER TABLE t DROP COLUMN a")
    with pytest.raises(SourceNotReady, match="1054"), source.load(whole(table, schema)):
        pytest.fail("a column is gone")


def test_a_slice_by_commit_date_has_no_meaning(database: Database) -> None:
    schema = TableSchema(())
    load_slice = LoadSlice(database.table("t"), schema, None, WHOLE, COMMIT_DATES, (dt.date(2024, 1, 1),))
    with pytest.raises(ValueError, match="commit date"), database.source().load(load_slice):
        pytest.fail("there is no such date")


def test_a_limit_that_the_server_sets_for_everybody_shortens_nothing(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3)")
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute("SET GLOBAL sql_select_limit = 1")
        try:
            assert sorted(values(database.source(), database.table("t"), "id")) == [1, 2, 3]
        finally:
            cursor.execute("SET GLOBAL sql_select_limit = 18446744073709551615")


def test_a_failed_load_does_not_wait_for_a_server_that_answers_nothing() -> None:
    """A port that takes connections and says nothing, as behind a broken proxy."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        connection = MySqlConnection("127.0.0.1", "root", port=silent.getsockname()[1], connect_timeout=1)
        found: list[BaseException] = []

        def identify() -> None:
            with pytest.raises(SourceUnavailable) as caught:
                MySqlSource("shop", connection).identify()
            found.append(caught.value)

        thread = threading.Thread(target=identify, daemon=True)
        thread.start()
        thread.join(15)
        assert found


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        (b"\x05abc", 1),
        (b"\x01a", 2),
        (b"\x01ab", 1),
        (b"\xfc\x01", 1),
        (b"\xff", 1),
        (b"\xfe" + b"\xff" * 8, 1),
    ],
)
def test_a_row_that_does_not_follow_the_protocol_is_refused(row: bytes, columns: int) -> None:
    data = np.frombuffer(row + b"\0" * 4, np.uint8)
    with pytest.raises(DecodeError):
        columns_of(data, np.array([0]), np.array([len(row)]), columns)


def test_values_of_every_length_are_found(database: Database) -> None:
    sizes = [0, 1, 250, 251, 252, 65_535, 65_536, 70_000]
    with connected(database.connection) as session:
        query = " UNION ALL ".join(f"SELECT REPEAT('x', {size}), NULL, '{size}'" for size in sizes)
        (batch,) = ResultRows(session, query, 3)
    assert [len(value) for value in batch[0].to_pylist()] == sizes
    assert batch[1].null_count == len(sizes)
    assert batch[2].cast(pa.string()).to_pylist() == [str(size) for size in sizes]
