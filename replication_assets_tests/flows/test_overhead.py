"""The mix of transactions runs against real servers, with every way of capture, and leaves nothing."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from replication_assets.core.overhead import BY_LOG, BY_TRIGGERS, NONE, UNREAD, Mix
from replication_assets.declarations import (
    MySqlSourceConfig,
    PostgresSourceConfig,
    SourceConfig,
    SqliteSourceConfig,
)
from replication_assets.errors import SourceNotReady
from replication_assets.flows.overhead import OverheadPlan, measure_overhead
from replication_assets.ports.scratch import SCRATCH
from replication_assets.scratch_databases import scratch_captures, scratch_database
from replication_assets_tests.mysql_servers import MariaDbServer
from replication_assets_tests.postgres_servers import FreshDatabase

SHORT = OverheadPlan(Mix((1, 1, 2, 1)), rounds=1, seconds=0.3)


def silent(_: str) -> None:
    """Nobody listens."""


def postgres(database: FreshDatabase) -> SourceConfig:
    parsed = psycopg.conninfo.conninfo_to_dict(database.dsn)
    return PostgresSourceConfig(
        "shop",
        host=str(parsed["host"]),
        port=int(str(parsed["port"])),
        database=str(parsed["dbname"]),
        user=str(parsed["user"]),
        sslmode="disable",
        capture="triggers",
    )


def mariadb(server: MariaDbServer) -> SourceConfig:
    return MySqlSourceConfig("shop", host=server.host, port=server.port, user=server.user, sslmode="disable")


def assert_nothing_is_left(config: SourceConfig) -> None:
    for capture in scratch_captures(config).values():
        assert capture.remains() == ()
    scratch = scratch_database(config)
    scratch.create()
    scratch.remove()


def test_postgres_is_measured_in_four_ways(database: FreshDatabase) -> None:
    config = postgres(database)
    found = measure_overhead(scratch_database(config), scratch_captures(config), SHORT, silent)
    assert set(found.runs) == {NONE, BY_LOG, UNREAD, BY_TRIGGERS}
    assert all(rate > 0 for runs in found.runs.values() for run in runs for rate in run.by_kind)
    assert_nothing_is_left(config)


def test_mariadb_is_measured_in_four_ways(mariadb_with_binlog: MariaDbServer) -> None:
    config = mariadb(mariadb_with_binlog)
    found = measure_overhead(scratch_database(config), scratch_captures(config), SHORT, silent)
    assert set(found.runs) == {NONE, BY_LOG, UNREAD, BY_TRIGGERS}
    assert all(rate > 0 for runs in found.runs.values() for run in runs for rate in run.by_kind)
    assert_nothing_is_left(config)


def test_sqlite_has_no_log_and_is_measured_in_three(tmp_path: Path) -> None:
    (tmp_path / "app.db").touch()
    config = SqliteSourceConfig("app", path=str(tmp_path / "app.db"))
    found = measure_overhead(scratch_database(config), scratch_captures(config), SHORT, silent)
    assert set(found.runs) == {NONE, UNREAD, BY_TRIGGERS}
    assert BY_LOG in found.left_out
    assert {each.name for each in tmp_path.iterdir()} == {"app.db"}


def test_what_ends_it_leaves_nothing(mariadb_with_binlog: MariaDbServer) -> None:
    config = mariadb(mariadb_with_binlog)

    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_overhead(scratch_database(config), scratch_captures(config), SHORT, interrupted)
    assert_nothing_is_left(config)


def test_what_is_there_already_is_left_alone(mariadb_with_binlog: MariaDbServer) -> None:
    config = mariadb(mariadb_with_binlog)
    with closing(mariadb_with_binlog.connect()) as session, session.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {SCRATCH}")
        try:
            with pytest.raises(SourceNotReady, match="exists already"):
                measure_overhead(scratch_database(config), scratch_captures(config), SHORT, silent)
            cursor.execute(f"SHOW DATABASES LIKE '{SCRATCH}'")
            assert cursor.fetchall() == ((SCRATCH,),)
        finally:
            cursor.execute(f"DROP DATABASE {SCRATCH}")
