"""The same table on its way to DynamoDB: by micro-batches, continuously, and through a topic.

Each way has a table, a slot, an event store and items of its own, so that none meets what another left.
Items follow inline in all of them. A way is running when its rows are items and its captures wait for
changes.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from benchmarks import latency_sample as sample
from benchmarks.latency_endpoint import running_endpoint
from benchmarks.postgres_sample import SOURCE, catalog
from replication_assets.catalog import (
    ByWidth,
    Catalog,
    DynamoDbProjection,
    EnvVar,
    EventStoreConfig,
    ItemKey,
    Items,
    KafkaProjection,
    KafkaSourceConfig,
    PostgresSourceConfig,
    Table,
)
from replication_assets.catalog_loading import CATALOG_VARIABLE
from replication_assets.core.schema import TableId
from replication_assets.declarations.sources import CaptureMode
from replication_assets.demo.dagster_runs import DagsterRuns, make_instance
from replication_assets.demo.dagster_server import DagsterServer, next_free_port
from replication_assets.demo.folder import DemoFolder
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.capture import capture
from replication_assets.flows.load import load_range
from replication_assets.flows.prepare import open_table, prepare
from replication_assets.flows.publish import publisher
from replication_assets.replication import Replication

if TYPE_CHECKING:
    from replication_assets_tests.dynamodb_servers import DynamoDbServer
    from replication_assets_tests.kafka_servers import Broker

FEED = "feed"
PARTITIONS = 4
COLUMNS = ("id bigint", "number bigint", "payload text")
KEY_VARIABLE, SECRET_VARIABLE = "REPLICATION_ASSETS_LATENCY_KEY", "REPLICATION_ASSETS_LATENCY_SECRET"
_FRESH = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Servers:
    """What all ways share."""

    source: PostgresServer
    items: DynamoDbServer
    broker: Broker

    @property
    def environment(self) -> Mapping[str, str]:
        return {KEY_VARIABLE: self.items.access_key, SECRET_VARIABLE: self.items.secret_key}


@dataclass(frozen=True, slots=True)
class Running:
    """A way that waits for changes of `table`: its processes, the broker's, and its event stores. Its items
    are in a table of the same name at `items`."""

    table: str
    items: DynamoDbServer
    roots: tuple[int, ...]
    broker: tuple[int, ...]
    stores: tuple[Path, ...]


Way: TypeAlias = Callable[[Servers, Path, int], AbstractContextManager[Running]]
"""Of a folder of its own and a number of rows."""


# --- declared --------------------------------------------------------------------------------------


def _from_source(servers: Servers, root: Path, mode: CaptureMode, rows: int) -> Catalog:
    """The table at the source, in an event store below `root`, with no projection."""
    name = root.name
    chosen = catalog(servers.source, root, name)
    (source,) = chosen.sources
    assert isinstance(source, PostgresSourceConfig)
    return replace(
        chosen,
        sources=[replace(source, mode=mode, slot=name, publication=name)],
        tables=[Table(f"{SOURCE}.public.{name}", id_ranges=ByWidth(rows))],
    )


def _as_items(chosen: Catalog, servers: Servers, into: str) -> Catalog:
    (table,) = chosen.tables
    projection = DynamoDbProjection(
        "serving",
        items=[Items(str(table.id), into, partition_key=ItemKey("pk", "change#${id}"))],
        region=servers.items.region,
        endpoint_url=servers.items.endpoint_url,
        access_key_id=EnvVar(KEY_VARIABLE),
        secret_access_key=EnvVar(SECRET_VARIABLE),
        control_table=f"{into}_control",
        follow="inline",
    )
    return replace(chosen, projections=[projection]).validate()


def _into_topic(chosen: Catalog, servers: Servers) -> Catalog:
    (table,) = chosen.tables
    topic = KafkaProjection(
        FEED,
        tables=[str(table.id)],
        bootstrap_servers=servers.broker.address,
        envelope="dms",
        partitions=PARTITIONS,
        follow="inline",
        tls=False,
    )
    return replace(chosen, topics=[topic]).validate()


def _from_topic(written: Catalog, servers: Servers, root: Path) -> Catalog:
    """A second catalog: it knows the topic, and nothing of the source."""
    (topic,), (table,) = written.topics, written.tables
    source = KafkaSourceConfig(
        FEED,
        bootstrap_servers=servers.broker.address,
        topics=[topic.topic_of(SOURCE, "public", table.id.name)],
        envelope="dms",
        columns={f"public.{table.id.name}": COLUMNS},
        tls=False,
        mode="continuous",
    )
    return Catalog(
        event_store=EventStoreConfig(root=str(root / "second_store")),
        sources=[source],
        tables=[Table(f"{FEED}.public.{table.id.name}", key=["id"], id_ranges=table.id_ranges)],
    )


# --- running ---------------------------------------------------------------------------------------


@contextmanager
def continuously(servers: Servers, root: Path, rows: int) -> Iterator[Running]:
    chosen = _as_items(_from_source(servers, root, "continuous", rows), servers, root.name)
    sample.create(servers.source, rows, root.name)
    _load(chosen)
    _project(chosen, root / "dagster")
    with _captures((chosen, root / "dagster")) as roots:
        yield Running(root.name, servers.items, roots, (), _stores(chosen))


@contextmanager
def through_the_topic(servers: Servers, root: Path, rows: int) -> Iterator[Running]:
    first = _into_topic(_from_source(servers, root, "continuous", rows), servers)
    second = _as_items(_from_topic(first, servers, root), servers, root.name)
    sample.create(servers.source, rows, root.name)
    _load(first)
    (topic,), (table,) = first.topics, first.tables
    publisher(Replication(first), topic, table.id).publish()
    _project(first, root / "dagster")
    _load(second)
    _take_in(second)
    _project(second, root / "second_dagster")
    with _captures((first, root / "dagster"), (second, root / "second_dagster")) as roots:
        broker = (servers.broker.process.pid,)
        yield Running(root.name, servers.items, roots, broker, _stores(first, second))


@contextmanager
def by_micro_batches(servers: Servers, root: Path, rows: int) -> Iterator[Running]:
    """Under Dagster's own daemon: it takes half a minute to start."""
    chosen = _as_items(_from_source(servers, root, "micro-batch", rows), servers, root.name)
    sample.create(servers.source, rows, root.name)
    _load(chosen)
    folder = DemoFolder(root)
    folder.make()
    _project(chosen, folder.dagster_home)
    (root / "catalog").write_bytes(pickle.dumps(chosen))
    environment = {
        **servers.environment,
        "DAGSTER_HOME": str(folder.dagster_home),
        CATALOG_VARIABLE: f"{sample.__name__}:from_environment",
        sample.CATALOG_FILE_VARIABLE: str(root / "catalog"),
    }
    with ExitStack() as cleanup:
        daemon = DagsterServer(folder, environment, next_free_port(os.getpid() % 10_000 + 20_000))
        cleanup.callback(daemon.stop)
        daemon.wait_until_ready()
        daemon.start_sensor(f"{SOURCE}_offsets")
        yield Running(root.name, servers.items, (daemon.pid,), (), _stores(chosen))


def to_instant_items(way: Way) -> Way:
    """The same, to a DynamoDB that takes no time."""

    @contextmanager
    def started(servers: Servers, root: Path, rows: int) -> Iterator[Running]:
        with running_endpoint(servers.items.endpoint_url) as url:
            instant = replace(servers.items, endpoint_url=url)
            with way(replace(servers, items=instant), root, rows) as running:
                yield running

    return started


def _stores(*catalogs: Catalog) -> tuple[Path, ...]:
    return tuple(Path(each.event_store.root) for each in catalogs)


def _load(chosen: Catalog) -> None:
    """Make slot and logs, and load all ranges: of a topic, none has rows."""
    replication = Replication(chosen)
    (config,) = chosen.sources
    source, store = replication.source(config.name), replication.store()
    for table in prepare(source, store, chosen.tables):
        for id_range in table.loads(source.bounds(table.id, table.id_ranges.column or "").high):
            load_range(source, store, table, id_range)


def _take_in(chosen: Catalog) -> None:
    """What stands in the topic: its rows, before they are projected at once."""
    replication = Replication(chosen)
    source, store = replication.source(FEED), replication.store()
    tables = [open_table(source, store, table) for table in chosen.tables]
    capture(source, store, tables, upto=source.status().head)


def _project(chosen: Catalog, home: Path) -> None:
    """Make the captures' Dagster instance, and every item."""
    home.mkdir(parents=True, exist_ok=True)
    make_instance(home)
    (config,), (table,) = chosen.sources, chosen.tables
    runs = DagsterRuns(home, chosen)
    try:
        runs.set_up(config.name)
        if chosen.projections:
            runs.project(TableId(config.name, "public", table.id.name))
    finally:
        runs.close()


@contextmanager
def _captures(*captured: tuple[Catalog, Path]) -> Iterator[tuple[int, ...]]:
    """A continuous capture of each catalog, as Dagster runs it, in a process of its own."""
    processes = [_FRESH.Process(target=_capture, args=each) for each in captured]
    try:
        for process in processes:
            process.start()
        yield tuple(process.pid or 0 for process in processes)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _capture(chosen: Catalog, home: Path) -> None:
    """Until it is killed."""
    DagsterRuns(home, chosen).capture(chosen.sources[0].name)
