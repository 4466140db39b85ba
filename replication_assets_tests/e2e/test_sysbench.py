"""sysbench's OLTP mix against MariaDB while its tables are loaded and captured: a lakehouse and a database
of another engine equal it, to the row."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import psycopg
import pytest
from psycopg import sql

from replication_assets.catalog import ByCount, PostgresTarget, SqlProjection, Table
from replication_assets.core.schema import TableId
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.project import project_range
from replication_assets.flows.read import ranges_of
from replication_assets.flows.validation.validate import validate_projection
from replication_assets_tests.e2e.system import SOURCE, Rows, differences, shuffled
from replication_assets_tests.e2e.workers import capturing, load_in_parallel
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database
from replication_assets_tests.sources.mysql.binlog.system import MySqlSystem, mysql_system
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.conftest import database as database
from replication_assets_tests.sysbench import TABLES, sysbench, under_load

ROWS = int(os.environ.get("E2E_SYSBENCH_ROWS", "0"))
SECONDS = int(os.environ.get("E2E_SYSBENCH_SECONDS", "0"))


@dataclass(frozen=True)
class Copied(MySqlSystem):
    """With a projection into PostgreSQL beside the lakehouse."""

    copy: str = ""

    def follow(self) -> None:
        """Bring both projections forward."""
        self.project()
        for table in self.tables():
            snapshot = self.store.log(table.id).snapshot()
            target = self.replication.target(self.catalog.projections[1], table.id)
            for id_range in ranges_of(snapshot):
                project_range(snapshot, table.id, target, id_range)

    def in_copy(self, table: TableId) -> Rows:
        """As psycopg reads the copy; character(n) without its padding."""
        query = sql.SQL("SELECT id, k, c::text, pad::text FROM {}").format(
            sql.Identifier(table.schema, table.name)
        )
        with psycopg.connect(self.copy) as session:
            return Counter(session.execute(query).fetchall())


def copied(system: MySqlSystem, into: FreshDatabase) -> Copied:
    target = PostgresTarget(
        host="127.0.0.1", database=into.name, user="postgres", port=into.server.port, sslmode="disable"
    )
    projection = SqlProjection("copy", tables=[f"{SOURCE}.*"], target=target)
    catalog = replace(system.catalog, projections=(*system.catalog.projections, projection)).validate()
    return Copied(catalog, system.dsn, system.port, into.dsn)


@pytest.mark.parametrize(
    ("rows", "seconds"), [(400, 2), pytest.param(20_000, 20, marks=pytest.mark.full)], ids=["short", "long"]
)
def test_tables_under_an_oltp_mix_are_replicated_to_the_row(
    database: Database, postgres_18: PostgresServer, tmp_path: Path, rows: int, seconds: int
) -> None:
    rows, seconds = ROWS or rows, SECONDS or seconds
    sysbench(database, "prepare", rows)
    tables = [Table(f"app.{database.name}.{name}", id_ranges=ByCount(2)) for name in TABLES]
    with fresh_database(postgres_18) as into:
        system = copied(mysql_system(database, tmp_path, tables), into)
        prepared = system.prepare()
        with under_load(database, rows, seconds), capturing(system, tmp_path):
            loads = [(table.id, each) for table in prepared for each in system.ranges(table)]
            load_in_parallel(system, shuffled(Random(3), loads))
            system.follow()
        system.finish()
        system.follow()
        for table in prepared:
            operations = set(system.events(table.id)["_op"].to_pylist())
            assert operations >= {"I", "U", "D"}
            expected = system.in_source(table.id, table.schema)
            assert differences(expected, system.in_copy(table.id)) == []
            target = system.replication.target(system.catalog.projections[1], table.id)
            assert validate_projection(system.store, target, table.id, projection="copy").mismatches == 0
