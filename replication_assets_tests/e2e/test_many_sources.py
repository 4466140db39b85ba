"""docs/many-sources.md as it stands: three engines in one catalog, joined, and one of them cut off."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from replication_assets.catalog import Catalog
from replication_assets.defs.build import build_definitions
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets_tests.cli import warm
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.markdown import ROOT, code
from replication_assets_tests.mysql_servers import MariaDbServer, fresh_prefix
from replication_assets_tests.postgres_servers import FreshDatabase

DOCUMENT = ROOT / "docs" / "many-sources.md"
DECLARED = code(DOCUMENT, "Declare")
SECRETS = dict.fromkeys(("SHOP_PASSWORD", "CRM_PASSWORD", "REPORTS_PASSWORD", "LEGACY_PASSWORD"), "secret")
ORDERS = (
    "CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, total numeric(12,2) NOT NULL)",
    "INSERT INTO orders VALUES (1, 10, 30.25), (2, 10, 10.25), (3, 20, 12.25)",
)
CUSTOMERS = (
    "CREATE TABLE customers (id BIGINT PRIMARY KEY, name VARCHAR(80) NOT NULL, since DATE)",
    "INSERT INTO customers VALUES (10, 'Ada Lovelace', '2024-02-29'), (20, 'Alan Turing', NULL)",
)
PAYMENTS = (
    "PRAGMA journal_mode = wal",
    "CREATE TABLE payments (id INTEGER PRIMARY KEY, order_id INTEGER, amount REAL, paid_at DATETIME)",
    "INSERT INTO payments VALUES (1, 1, 30.25, '2026-03-01 10:00:00'), (2, 2, 10.25, NULL)",
)


def statements(heading: str) -> list[list[str]]:
    """The commands of a section, by the words of each."""
    text = code(DOCUMENT, heading, "sh")
    lines = text.replace(" && ", "\n").splitlines() if heading == "Run" else [text]
    return [shlex.split(line)[1:] for line in lines]


@dataclass
class World:
    """The servers, and the program as a user runs it in a folder beside its catalog."""

    folder: Path
    shop: PostgresServer
    crm: MariaDbServer
    sales: str
    reports: FreshDatabase
    legacy: MariaDbServer
    prefix: str

    def run(self, *arguments: str, code: int = 0) -> str:
        """What it said, on both streams."""
        environment = {**SECRETS, "REPLICATION_ASSETS_CATALOG": "many:catalog", "PATH": "/usr/bin:/bin"}
        ended = warm.run(arguments, self.folder, environment)
        said = ended.out.decode() + ended.err.decode()
        assert ended.code == code, said
        return said

    def in_shop(self, *texts: str) -> None:
        with psycopg.connect(self.shop.dsn("shop"), autocommit=True) as session:
            for text in texts:
                session.execute(text.encode())

    def in_crm(self, *texts: str) -> None:
        with closing(self.crm.connect(database=self.sales)) as session, session.cursor() as cursor:
            for text in texts:
                cursor.execute(text)

    def in_till(self, *texts: str) -> None:
        with closing(sqlite3.connect(self.folder / "till.db", isolation_level=None)) as session:
            for text in texts:
                session.execute(text)

    def of_reports(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.reports.dsn) as session:
            return session.execute(query.encode()).fetchall()

    def of_legacy(self, query: str) -> list[tuple[Any, ...]]:
        with (
            closing(self.legacy.connect(database=f"{self.prefix}shop")) as session,
            session.cursor() as cursor,
        ):
            cursor.execute(query)
            return list(cursor.fetchall())

    def catalog(self) -> Catalog:
        names: dict[str, Any] = {}
        exec((self.folder / "many.py").read_text(), names)
        found: Catalog = names["catalog"]
        return found


def declared(world: World) -> str:
    """The document's catalog, with the places of the test's servers and without TLS."""
    plain = 'sslmode="disable"'
    return (
        DECLARED.replace(
            'host="reports.internal"', f'host="127.0.0.1", port={world.reports.server.port}, {plain}'
        )
        .replace('database="reports", user="projector"', f'database="{world.reports.name}", user="postgres"')
        .replace(
            'MySqlTarget(host="127.0.0.1", user="projector"',
            f'MySqlTarget(host="127.0.0.1", port={world.legacy.port}, user="root", prefix="{world.prefix}"',
        )
        .replace('password=EnvVar("LEGACY_PASSWORD")', "password=None")
        .replace('host="shop.internal"', f'host="127.0.0.1", port={world.shop.port}, {plain}')
        .replace('user="replicator",\n', 'user="postgres",\n')
        .replace(
            'host="crm.internal", user="replicator"', f'host="127.0.0.1", port={world.crm.port}, user="root"'
        )
        .replace('password=EnvVar("CRM_PASSWORD")', f"{plain}")
        .replace("crm.sales.customers", f"crm.{world.sales}.customers")
    )


@pytest.fixture
def world(
    private_postgres: PrivatePostgres,
    mariadb_with_binlog: MariaDbServer,
    mariadb: MariaDbServer,
    database: FreshDatabase,
    tmp_path: Path,
) -> Iterator[World]:
    shop = private_postgres({"wal_level": "logical"})
    shop.create_database("shop")
    with fresh_prefix(mariadb_with_binlog) as sales, fresh_prefix(mariadb) as copies:
        made = World(
            tmp_path, shop, mariadb_with_binlog, f"{sales.prefix}sales", database, mariadb, copies.prefix
        )
        with closing(made.crm.connect()) as session, session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {made.sales} CHARACTER SET utf8mb4")
        made.in_shop(*ORDERS)
        made.in_crm(*CUSTOMERS)
        made.in_till(*PAYMENTS)
        (tmp_path / "many.py").write_text(declared(made))
        yield made


def test_the_document_is_true_and_a_source_that_is_cut_off_stops_no_other(world: World, full: bool) -> None:
    for words in statements("Run"):
        world.run(*words)
    (question,) = statements("Ask across sources")
    printed = code(DOCUMENT, "Ask across sources", "text")
    answered = [line.rstrip() for line in world.run(*question).splitlines()]
    assert answered == printed.splitlines()
    assert world.of_reports("SELECT id, name, since::text FROM crm.customers ORDER BY id") == [
        (10, "Ada Lovelace", "2024-02-29"),
        (20, "Alan Turing", None),
    ]
    assert world.of_reports("SELECT id, paid_at::text FROM till.payments ORDER BY id") == [
        (1, "2026-03-01 10:00:00"),
        (2, None),
    ]
    assert [str(total) for (total,) in world.of_legacy("SELECT total FROM orders ORDER BY id")] == [
        *("30.25", "10.25", "12.25")
    ]
    cut_off(world)
    if full:
        the_others_are_told_and_validated(world)
    sensors_of_the_others_tick(world)
    back_again(world)
    if full:
        refused(world)


def cut_off(world: World) -> None:
    """The shop is down: changes of the others arrive everywhere."""
    world.in_shop("INSERT INTO orders VALUES (4, 20, 1.00)")
    world.shop.stop()
    world.in_crm("UPDATE customers SET name = 'A. Turing' WHERE id = 20")
    world.in_till("INSERT INTO payments VALUES (3, 3, 12.25, NULL)")
    assert "shop" in world.run("capture", "shop", code=1)
    world.run("capture", "crm")
    world.run("capture", "till")
    said = world.run("load", "--all", code=1)
    assert "customers r000000: 2 rows" in said
    assert "payments r000000: 3 rows" in said
    assert "Failed." in said
    world.run("project")
    assert world.of_reports("SELECT name FROM crm.customers WHERE id = 20") == [("A. Turing",)]
    assert world.of_reports("SELECT count(*) FROM till.payments") == [(3,)]


def the_others_are_told_and_validated(world: World) -> None:
    said = world.run("validate", code=1)
    equal = [" ".join(line.split()[:-9]) for line in said.splitlines() if " equal " in line]
    assert f"event store crm.{world.sales}.customers equal" in equal
    assert "event store till.main.payments equal" in equal
    assert "shop_copy shop.public.orders equal" in equal
    assert not [line for line in equal if line.startswith("event store shop")]
    assert "Failed." in said
    assert "shop" in world.run("status", code=3)
    assert "3" in world.run("query", "SELECT count(*) FROM now.orders")


def sensors_of_the_others_tick(world: World) -> None:
    definitions = build_definitions(world.catalog())
    ticked = {}
    with dg.DagsterInstance.ephemeral() as instance, pytest.MonkeyPatch.context() as environment:
        environment.chdir(world.folder)
        for name, value in SECRETS.items():
            environment.setenv(name, value)
        for source in ("shop", "crm", "till"):
            sensor = definitions.resolve_sensor_def(f"{source}_offsets")
            with dg.build_sensor_context(
                instance=instance, resources=definitions.resources, definitions=definitions
            ) as context:
                try:
                    ticked[source] = len(sensor.evaluate_tick(context).run_requests or [])
                except dg.DagsterError:
                    ticked[source] = -1
    assert ticked == {"shop": -1, "crm": 1, "till": 1}


def back_again(world: World) -> None:
    """It catches up from where it was."""
    world.shop.start()
    world.in_shop("UPDATE orders SET total = 2 WHERE id = 4")
    world.run("capture", "shop")
    world.run("project")
    assert [str(total) for (total,) in world.of_legacy("SELECT total FROM orders WHERE id = 4")] == ["2.00"]
    world.run("validate")


def refused(world: World) -> None:
    """A login that is refused is as good as a server that is down."""
    module = world.folder / "many.py"
    module.write_text(module.read_text().replace('user="postgres",\n', 'user="nobody_here",\n'))
    world.in_till("DELETE FROM payments WHERE id = 3")
    assert "Failed." in world.run("capture", "shop", code=1)
    world.run("capture", "till")
    world.run("project")
    assert world.of_reports("SELECT count(*) FROM till.payments") == [(2,)]
