"""Setup makes what capture needs and nothing else; teardown takes all of it away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import LoadBlocked, SlotBusy, SlotLost, SourceNotReady
from replication_assets.sources.postgres import PostgresConnection, PostgresSource
from replication_assets.sources.postgres.connection import connect_replication
from replication_assets.sources.postgres.publication import CaptureNames
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.sources.postgres.conftest import application


@pytest.fixture
def role(source: PostgresSource, sql: psycopg.Connection[Any]) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = f"limited {source.name}"
    sql.execute(f'CREATE ROLE "{name}" LOGIN')
    yield name
    sql.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


def declared(source: PostgresSource, name: str, **reflect: Any) -> tuple[TableId, TableSchema]:
    table = TableId(source.name, "public", name)
    return table, source.reflect(table, **reflect)


def published(sql: psycopg.Connection[Any]) -> dict[str, list[str]]:
    rows = sql.execute(
        "SELECT p.pubname, array_remove(array_agg(t.tablename::text ORDER BY t.tablename), NULL)"
        " FROM pg_publication p LEFT JOIN pg_publication_tables t USING (pubname) GROUP BY 1"
    ).fetchall()
    return dict(rows)


def slots(sql: psycopg.Connection[Any]) -> list[str]:
    rows = sql.execute(
        "SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database() ORDER BY 1"
    ).fetchall()
    return [name for (name,) in rows]


def test_setup_and_teardown_are_idempotent_and_leave_nothing(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE log (line text)")
    tables = [declared(source, "t"), declared(source, "log", append_only=True)]
    first = source.setup(tables).start
    assert 0 < first <= source.status().head
    assert source.setup(tables).start == first
    assert published(sql) == {f"ra_{source.name}": ["t"], f"ra_{source.name}_append": ["log"]}
    assert slots(sql) == [f"ra_{source.name}"]
    source.teardown()
    source.teardown()
    assert published(sql) == {}
    assert slots(sql) == []
    assert source.status().state == "missing"


def test_what_commits_after_setup_is_in_the_slot(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    start = source.setup([declared(source, "t")]).start
    sql.execute("INSERT INTO t VALUES (2)")
    inserts = sql.execute(
        "SELECT count(*) FROM pg_logical_slot_peek_binary_changes(%s, NULL, NULL,"
        " 'proto_version', '1', 'publication_names', %s) WHERE get_byte(data, 0) = ascii('I')",
        (source.names.slot, source.names.publication),
    ).fetchone()
    assert inserts == (1,)
    assert source.status().confirmed == start


def test_publications_follow_the_declaration_and_touch_no_other(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
    sql.execute("CREATE TABLE c (id int PRIMARY KEY); CREATE PUBLICATION theirs FOR TABLE a, b")
    source.setup([declared(source, "a"), declared(source, "b")])
    source.setup([declared(source, "b", append_only=True), declared(source, "c")])
    ours, append = source.names.publications
    assert published(sql) == {ours: ["c"], append: ["b"], "theirs": ["a", "b"]}
    source.setup([])
    assert published(sql) == {ours: [], append: [], "theirs": ["a", "b"]}
    source.teardown()
    assert published(sql) == {"theirs": ["a", "b"]}


def test_a_row_filter_or_changed_option_is_put_right(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY, a int)")
    source.setup([declared(source, "t")])
    ours = source.names.publication
    sql.execute(f"ALTER PUBLICATION {ours} SET TABLE t (id) WHERE (id > 5)")
    sql.execute(f"ALTER PUBLICATION {ours} SET (publish = 'insert', publish_via_partition_root = true)")
    source.setup([declared(source, "t")])
    row = sql.execute(
        "SELECT pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, prqual IS NULL, prattrs IS NULL"
        " FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid WHERE pubname = %s",
        (ours,),
    ).fetchone()
    assert row == (True, True, True, True, False, True, True)


def test_an_append_only_table_never_makes_the_application_fail(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE log (line text); INSERT INTO log VALUES ('x')")
    source.setup([declared(source, "log", append_only=True)])
    sql.execute("UPDATE log SET line = 'y'")
    sql.execute("DELETE FROM log")


def test_views_are_passed_over_and_partitions_come_with_their_root(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    sql.execute("CREATE TABLE low PARTITION OF root FOR VALUES FROM (0) TO (10)")
    sql.execute("CREATE TABLE parent (id int PRIMARY KEY)")
    sql.execute("CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent); CREATE VIEW v AS TABLE parent")
    tables = [declared(source, name) for name in ("root", "parent", "v")]
    source.setup(tables)
    assert published(sql)[source.names.publication] == ["low", "parent"]
    source.setup([])
    assert published(sql)[source.names.publication] == []


def test_teardown_ends_a_reader_only_when_forced(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    source.setup([declared(source, "t")])
    reader = connect_replication(source.connection)
    try:
        command = (
            f"START_REPLICATION SLOT {source.names.slot} LOGICAL 0/0"
            f" (proto_version '1', publication_names '{source.names.publication}')"
        )
        reader.exec_(command.encode())
        assert source.status().active
        with pytest.raises(SlotBusy, match="force"):
            source.teardown()
        assert slots(sql) == [source.names.slot]
        source.teardown(force=True)
        assert slots(sql) == []
    finally:
        reader.finish()


def test_everything_that_is_missing_is_told_at_once(
    source: PostgresSource, sql: psycopg.Connection[Any], role: str
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE UNLOGGED TABLE u (id int PRIMARY KEY)")
    tables = [declared(source, "t"), declared(source, "u"), (replace(declared(source, "t")[0], name="gone"),
              TableSchema(()))]  # fmt: skip
    limited = replace(source, connection=replace(source.connection, user=role))
    with pytest.raises(SourceNotReady) as raised:
        limited.setup(tables)
    message = str(raised.value)
    assert f'ALTER ROLE "{role}" REPLICATION' in message
    assert f'GRANT CREATE ON DATABASE "{source.connection.database}" TO "{role}"' in message
    assert 'only its owner can publish "public"."t"' in message
    assert 'ALTER TABLE "public"."u" SET LOGGED' in message
    assert 'there is no table "public"."gone"' in message
    assert published(sql) == {}
    assert slots(sql) == []


def test_a_load_without_replication_names_the_grant(
    source: PostgresSource, sql: psycopg.Connection[Any], role: str
) -> None:
    limited = replace(source, connection=replace(source.connection, user=role))
    with pytest.raises(SourceNotReady, match="REPLICATION"):
        limited.identify()


def test_a_slot_of_another_kind_is_refused(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    name = source.names.slot
    sql.execute("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", (name,))
    with pytest.raises(SourceNotReady, match="plugin test_decoding"):
        source.setup([])
    elsewhere = replace(source, connection=replace(source.connection, database="postgres"))
    with pytest.raises(SourceNotReady, match=f"belongs to database {source.connection.database}"):
        elsewhere.setup([])
    elsewhere.teardown()
    assert slots(sql) == [name]


def test_a_publication_for_all_tables_is_refused(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute(f"CREATE PUBLICATION {source.names.publication} FOR ALL TABLES")
    with pytest.raises(SourceNotReady, match="for all tables"):
        source.setup([])


def test_a_running_write_delays_setup_and_is_named(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    impatient = replace(source, load_wait=0.3)
    with application(source.connection, "billing", autocommit=False) as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(LoadBlocked, match="billing"):
            impatient.setup([declared(source, "t")])
        assert slots(sql) == []
    source.setup([declared(source, "t")])
    assert slots(sql) == [source.names.slot]


def test_a_table_added_while_rows_are_in_flight_loses_none(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    """A row written before its table was published, committed after, is in the next load."""
    from replication_assets_tests.sources.postgres.test_load import rows_of, whole

    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    source.setup([])
    with application(source.connection, autocommit=False) as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        source.setup([declared(source, "t")])
        writer.execute("INSERT INTO t VALUES (2)")
    assert sorted(rows_of(source, whole(source))["id"].to_pylist()) == [1, 2]


def test_names_stay_apart_and_inside_their_limits() -> None:
    names = CaptureNames.of("shop")
    assert (names.slot, names.publication, names.append_publication) == (
        "ra_shop",
        "ra_shop",
        "ra_shop_append",
    )
    assert CaptureNames.of("Shop-1").slot != CaptureNames.of("shop_1").slot
    assert len(CaptureNames.of("é" * 20).slot) <= 63
    with pytest.raises(ValueError, match="slot name"):
        CaptureNames.of("shop", slot="Shop")
    with pytest.raises(ValueError, match="63 bytes"):
        CaptureNames.of("shop", publication="p" * 60)


def test_a_slot_whose_log_was_removed_is_lost(private_postgres: PrivatePostgres) -> None:
    server = private_postgres(
        {"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB"}
    )
    source = PostgresSource("shop", PostgresConnection.parse(server.dsn()))
    with application(source.connection) as sql:
        sql.execute("CREATE TABLE t (id int PRIMARY KEY, body text)")
        tables = [declared(source, "t")]
        source.setup(tables)
        headroom = source.status().headroom_bytes
        assert headroom is not None
        assert headroom > 0
        for _ in range(4):
            sql.execute("INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 9000) n")
            sql.execute("TRUNCATE t")
            sql.execute("SELECT pg_switch_wal()")
        sql.execute("CHECKPOINT")
        assert source.status().state == "lost"
        with pytest.raises(SlotLost, match="load every id range again"):
            source.setup(tables)
        source.teardown()
        source.setup(tables)
        assert source.status().state == "reserved"


def test_a_server_without_logical_decoding_names_the_setting(private_postgres: PrivatePostgres) -> None:
    server = private_postgres({"wal_level": "replica"})
    source = PostgresSource("shop", PostgresConnection.parse(server.dsn()))
    with pytest.raises(SourceNotReady, match="ALTER SYSTEM SET wal_level = 'logical'"):
        source.setup([])
