"""Views end to end, on each engine: loaded by range, followed by projections, validated, never captured."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from replication_assets.catalog import (
    ByBounds,
    Catalog,
    DeltaProjection,
    EventStoreConfig,
    MySqlSourceConfig,
    PostgresSourceConfig,
    SqliteSourceConfig,
    Table,
)
from replication_assets.core.schema import TableId
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import SourceNotReady
from replication_assets.flows.check import check
from replication_assets.flows.range_plans import plan_of_loads
from replication_assets.flows.validation.validate import validate_projection, validate_source
from replication_assets_tests.e2e.system import System
from replication_assets_tests.mysql_servers import MariaDbServer, fresh_prefix
from replication_assets_tests.postgres_servers import fresh_database

ROWS = 12_000
BASE = (
    "CREATE TABLE orders (id INTEGER, customer INTEGER, state VARCHAR(20), note TEXT)",
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(20))",
    "INSERT INTO customers VALUES (1, 'ann'), (2, 'bob')",
    (
        "CREATE VIEW open_orders AS SELECT o.id AS order_id, o.state, c.name FROM orders o"
        " JOIN customers c ON c.id = o.customer WHERE o.state <> 'closed'"
    ),
)
Run = Callable[..., list[tuple[Any, ...]]]


def system_on(tmp_path: Path, source: Any, schema: str) -> System:
    catalog = Catalog(
        event_store=EventStoreConfig(root=str(tmp_path / "event_store")),
        sources=(source,),
        tables=(Table(f"app.{schema}.open_orders", key=("order_id",), id_ranges=ByBounds((4_000, 8_000))),),
        projections=(DeltaProjection("lake", tables=("app.*",), root=str(tmp_path / "lake")),),
    )
    return System(catalog.validate(), "")


@pytest.fixture
def postgres(postgres_18: PostgresServer, tmp_path: Path) -> Iterator[tuple[System, Run, str]]:
    with fresh_database(postgres_18) as fresh:
        info = psycopg.conninfo.conninfo_to_dict(fresh.dsn)

        def run(*statements: str) -> list[tuple[Any, ...]]:
            with psycopg.connect(fresh.dsn, autocommit=True) as session:
                for statement in statements:
                    cursor = session.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []

        source = PostgresSourceConfig(
            "app",
            host=str(info["host"]),
            port=int(str(info["port"])),
            database=str(info["dbname"]),
            user=str(info["user"]),
            slot=fresh.name,
            publication=fresh.name,
            sslmode="disable",
        )
        yield system_on(tmp_path, source, "public"), run, "public"


@pytest.fixture
def mysql(mariadb_with_binlog: MariaDbServer, tmp_path: Path) -> Iterator[tuple[System, Run, str]]:
    with fresh_prefix(mariadb_with_binlog) as prefix:
        name = f"{prefix.prefix}db"

        def run(*statements: str) -> list[tuple[Any, ...]]:
            with closing(mariadb_with_binlog.connect()) as session, session.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}`")
                cursor.execute(f"USE `{name}`")
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())

        source = MySqlSourceConfig(
            "app",
            host=mariadb_with_binlog.host,
            port=mariadb_with_binlog.port,
            user=mariadb_with_binlog.user,
            sslmode="disable",
        )
        yield system_on(tmp_path, source, name), run, name


@pytest.fixture
def sqlite(tmp_path: Path) -> tuple[System, Run, str]:
    path = tmp_path / "app.db"

    def run(*statements: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as session, session:
            for statement in statements:
                cursor = session.execute(statement)
            return cursor.fetchall()

    return system_on(tmp_path, SqliteSourceConfig("app", path=str(path)), "main"), run, "main"


@pytest.fixture(params=["postgres", "mysql", "sqlite"])
def place(request: pytest.FixtureRequest) -> tuple[System, Run, str]:
    system, run, schema = request.getfixturevalue(request.param)
    numbers = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})"
    filled = "SELECT i, 1 + i % 2, 'open', 'a note that no view reads' FROM n"
    if request.param == "mysql":
        run(*BASE, "SET max_recursive_iterations = 100000", f"INSERT INTO orders {numbers} {filled}")
    else:
        run(*BASE, f"{numbers} INSERT INTO orders {filled}")
    if request.param != "sqlite":
        run("ANALYZE TABLE orders" if request.param == "mysql" else "ANALYZE orders")
    return system, run, schema


VIEW = "SELECT order_id, state, name FROM open_orders"


def test_a_view_is_loaded_projected_validated_and_loaded_again(place: tuple[System, Run, str]) -> None:
    system, run, schema = place
    system.prepare()
    view = system.table("open_orders", schema)
    assert not view.captured
    system.load(view)
    system.project()
    expected = Counter(run(VIEW))
    assert sum(expected.values()) == ROWS
    assert system.in_store(view.id) == expected
    target = system.target(view.id)
    assert validate_source(system.source, system.store, view, wait_seconds=0).passed
    assert validate_projection(system.store, target, view.id, projection="lake").passed
    run("UPDATE orders SET state = 'closed' WHERE id <= 10", "UPDATE customers SET name = 'eve' WHERE id = 2")
    stale = validate_source(system.source, system.store, view, wait_seconds=0)
    assert stale.total
    assert stale.late
    system.load(view)
    system.project()
    now = Counter(run(VIEW))
    assert sum(now.values()) == ROWS - 10
    assert system.in_store(view.id) == now
    assert validate_source(system.source, system.store, view, wait_seconds=0).passed
    assert validate_projection(system.store, target, view.id, projection="lake").passed


def test_what_a_load_of_a_view_will_read_is_told_before_it(place: tuple[System, Run, str]) -> None:
    system, run, schema = place
    view = TableId("app", schema, "open_orders")
    for prepared in (False, True):
        if prepared:
            system.prepare()
        told = [
            each for part in check(system.replication) for each in part.findings if each.where == str(view)
        ]
        assert [each.severity for each in told] == ["advice", "advice"]
        assert told[0].what == "it has no change stream: it is loaded, and its changes are not captured"
        assert "each id range reads" in told[1].what
        assert told[1].fix.startswith("CREATE INDEX ")
        assert "note" not in told[1].fix
    run(told[1].fix)
    if schema == "public":
        run("VACUUM ANALYZE orders")
    plan = plan_of_loads(system.source, system.table("open_orders", schema))
    assert plan is not None
    assert (plan.scanned, plan.index) == ((), None)


def test_a_capture_of_views_alone_is_refused_with_what_to_do(place: tuple[System, Run, str]) -> None:
    system, _, schema = place
    system.prepare()
    with pytest.raises(SourceNotReady, match="there is nothing to capture") as raised:
        system.capture(upto=1)
    assert f"app.{schema}.open_orders" in str(raised.value)
    assert raised.value.fix.startswith("declare the tables beneath it")
