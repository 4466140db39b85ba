"""A small shop on a real database, its definitions, and a Dagster instance to run them on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from replication_assets.catalog import (
    ByWidth,
    Catalog,
    DeltaProjection,
    EventDate,
    EventStoreConfig,
    PostgresSourceConfig,
    Table,
)
from replication_assets.core.schema import TableId
from replication_assets.defs.build import build_definitions
from replication_assets.replication import Replication
from replication_assets_tests.postgres_servers import FreshDatabase

ITEMS = TableId("shop", "public", "items")
NOTES = TableId("shop", "public", "notes")
TODAY = dt.datetime.now(dt.UTC).date()

SCHEMA = """
CREATE TABLE items (id bigint PRIMARY KEY, name text);
INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 250) g;
CREATE TABLE notes (id bigint PRIMARY KEY, written date NOT NULL, body text);
CREATE TABLE readings (taken timestamptz PRIMARY KEY, value float8);
INSERT INTO readings VALUES (now(), 1.5);
INSERT INTO notes SELECT g, date '2026-01-15' + (g % 3) * 31, 'note' FROM generate_series(1, 90) g;
"""


@dataclass
class Graph:
    """Definitions over a live database. `run` and `materialize` return a successful result."""

    catalog: Catalog
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    dsn: str

    @property
    def replication(self) -> Replication:
        return Replication(self.catalog)

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement)

    def run(self, job: str, **options: Any) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(job).execute_in_process(instance=self.instance, **options)

    def materialize(
        self, key: Sequence[str], first: str, last: str | None = None, **options: Any
    ) -> dg.ExecuteInProcessResult:
        """Materialize one partition, or the rectangle between two as a backfill run would."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        tags = options.pop("tags", {})
        if last is not None:
            tags |= {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        else:
            options["partition_key"] = first
        return job.execute_in_process(
            instance=self.instance, asset_selection=[dg.AssetKey(key)], tags=tags, **options
        )

    def materialized(self, key: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Newest metadata of each materialized partition."""
        found: dict[str, dict[str, Any]] = {}
        records = self.instance.fetch_materializations(dg.AssetKey(key), limit=1000).records
        for record in reversed(records):
            event = record.asset_materialization
            assert event is not None
            found[event.partition or ""] = {name: value.value for name, value in event.metadata.items()}
        return found


@pytest.fixture
def graph(database: FreshDatabase, tmp_path: Path) -> Iterator[Graph]:
    catalog = Catalog(
        event_store=EventStoreConfig(root=str(tmp_path / "event_store")),
        sources=(
            PostgresSourceConfig(
                "shop",
                host="127.0.0.1",
                port=database.server.port,
                database=database.name,
                user="postgres",
                sslmode="disable",
                slot=f"slot_{database.name}",
            ),
        ),
        tables=(
            Table("shop.public.items", id_ranges=ByWidth(100)),
            Table("shop.public.readings", group="lab"),
            Table(
                "shop.public.notes",
                event_date=EventDate(column="written", granularity="month", start=dt.date(2026, 1, 1)),
            ),
        ),
        projections=(DeltaProjection("lake", tables=("shop.*",), root=str(tmp_path / "lake")),),
    )
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(SCHEMA)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(catalog, build_definitions(catalog), instance, database.dsn)
        Replication(catalog).source("shop").teardown()


@pytest.fixture
def ready(graph: Graph) -> Graph:
    """The same, set up: slot, logs and id ranges exist, nothing is loaded."""
    graph.run("shop_setup")
    return graph
