"""The wide table of an engine, loaded, captured and projected into every target there is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from replication_assets.catalog import (
    ByCount,
    Catalog,
    DeltaProjection,
    DynamoDbProjection,
    EventStoreConfig,
    MySqlTarget,
    PostgresTarget,
    SqliteTarget,
    SqlProjection,
    Table,
)
from replication_assets.declarations import Projection
from replication_assets.flows.project import project_range
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refusals import handling_of
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.e2e.system import System
from replication_assets_tests.mysql_servers import MariaDbServer, fresh_prefix
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database
from replication_assets_tests.types import copies, items
from replication_assets_tests.types.meanings import Meanings
from replication_assets_tests.types.sources import MariaDbTypes, PostgresTypes, Source, SqliteTypes

SOURCES = ("postgresql", "postgresql-triggers", "mariadb", "sqlite", "sqlite-strict")
TARGETS = ("delta", "postgresql", "mariadb", "sqlite")
INTO = "copied"


@dataclass
class Copied:
    source: Source
    servers: Servers
    system: System
    readers: Mapping[str, Callable[[], Meanings]]

    def found(self, target: str) -> Meanings:
        return self.readers[target]()

    @property
    def items(self) -> tuple[DynamoDbServer, str]:
        (served,) = (each for each in self.system.catalog.projections if isinstance(each, DynamoDbProjection))
        return self.servers.dynamodb, served.items[0].into

    def refused(self) -> set[tuple[int, str]]:
        """Rows and columns that DynamoDB's dead letters tell of."""
        letters = self.system.store.dead_letters("dynamodb", self.source.table)
        return {
            (int(json.loads(letter["key"])["id"]), letter["column"])
            for id_range in self.system.store.log(self.source.table).snapshot().range_keys()
            for letter in letters.open_rows(id_range).to_pylist()
        }

    def project(self) -> None:
        snapshot = self.system.store.log(self.source.table).snapshot()
        for projection in self.system.catalog.projections:
            target = self.system.replication.target(projection, self.source.table)
            handling = handling_of(self.system.store, projection, self.source.table)
            for id_range in ranges_of(snapshot):
                project_range(snapshot, self.source.table, target, id_range, handling=handling)


@dataclass
class Servers:
    """Where copies go. PostgreSQL and MariaDB are those of the source, where it is one of them: they can
    compare what came back themselves."""

    postgres: FreshDatabase
    mariadb: MariaDbServer
    prefix: str
    dynamodb: DynamoDbServer
    folder: Path

    @property
    def in_postgres(self) -> str:
        return f"{INTO}.types"

    @property
    def in_mariadb(self) -> str:
        return f"`{self.prefix}{INTO}`.types"

    @property
    def in_sqlite(self) -> Path:
        return self.folder / "copies" / f"{INTO}.db"

    def projections(self, source: Source) -> tuple[Projection, ...]:
        server = self.postgres.server
        postgres = PostgresTarget(
            host="127.0.0.1",
            port=server.port,
            database=self.postgres.name,
            user="postgres",
            sslmode="disable",
        )
        mariadb = MySqlTarget(
            host=self.mariadb.host, port=self.mariadb.port, user=self.mariadb.user, prefix=self.prefix
        )
        tables = ["app.*"]
        return (
            DeltaProjection("delta", tables=tables, root=str(self.folder / "lake")),
            SqlProjection("postgresql", tables=tables, target=postgres, into=INTO),
            SqlProjection("mariadb", tables=tables, target=mariadb, into=INTO),
            SqlProjection(
                "sqlite", tables=tables, target=SqliteTarget(str(self.folder / "copies")), into=INTO
            ),
            items.projection(self.dynamodb, source.table, source.columns),
        )

    def readers(self, source: Source) -> Mapping[str, Callable[[], Meanings]]:
        columns = source.columns
        lake = self.folder / "lake" / "app" / f"{source.table.schema}.{source.table.name}"
        return {
            "delta": lambda: copies.in_delta(str(lake), columns),
            "postgresql": lambda: copies.in_postgres(self.postgres.dsn, self.in_postgres, columns),
            "mariadb": lambda: copies.in_mariadb(self.mariadb, self.in_mariadb, columns),
            "sqlite": lambda: copies.in_sqlite(self.in_sqlite, columns),
        }


@pytest.fixture(scope="module", params=SOURCES)
def copied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copied]:
    """Made once for all tests of a module; nothing is changed by them."""
    name: str = request.param
    folder = tmp_path_factory.mktemp("types")
    mariadb: MariaDbServer = request.getfixturevalue("mariadb_with_binlog")
    dynamodb: DynamoDbServer = request.getfixturevalue("dynamodb_local")
    # The distribution's server has XML.
    xml = name == "postgresql-triggers"
    server = request.getfixturevalue("postgres_15" if xml else "postgres_18")
    with ExitStack() as opened:
        environment = opened.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("TEST_AWS_KEY", dynamodb.access_key)
        environment.setenv("TEST_AWS_SECRET", dynamodb.secret_key)
        database = opened.enter_context(fresh_database(server))
        prefix = opened.enter_context(fresh_prefix(mariadb)).prefix
        servers = Servers(database, mariadb, prefix, dynamodb, folder)
        source = _source(name, servers, xml=xml)
        made = _copied(source, servers, folder)
        yield made
        made.system.source.teardown()


def _source(name: str, servers: Servers, *, xml: bool) -> Source:
    if name.startswith("postgresql"):
        return PostgresTypes.on(servers.postgres, "triggers" if xml else "log", xml=xml)
    if name == "mariadb":
        database = f"{servers.prefix}app"
        with closing(servers.mariadb.connect()) as session, session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")
        return MariaDbTypes.on(servers.mariadb, database)
    return SqliteTypes.at(servers.folder / "app.db", strict=name == "sqlite-strict")


def _copied(source: Source, servers: Servers, folder: Path) -> Copied:
    source.begin()
    catalog = Catalog(
        event_store=EventStoreConfig(root=str(folder / "event_store")),
        sources=(source.config,),
        tables=(Table(str(source.table), id_ranges=ByCount(2)),),
        # Not validated: a projection into the database of the source itself is refused, and is what lets
        # the engine compare here.
        projections=servers.projections(source),
    )
    system = System(catalog, "")
    made = Copied(source, servers, system, servers.readers(source))
    system.prepare()
    system.load_all()
    made.project()
    source.change()
    system.capture()
    made.project()
    return made
