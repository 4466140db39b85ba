"""What the benchmark of a refresh copies: customers with seven sensitive columns, their orders, and what
happened to them, in a PostgreSQL server of its own and in an event store on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import psycopg

from replication_assets.catalog import (
    ByCount,
    Catalog,
    ColumnPolicy,
    Environment,
    EnvironmentRefresh,
    EnvVar,
    EventStoreConfig,
    MaskingPolicy,
    Namespace,
    PostgresSourceConfig,
    PostgresTarget,
    Table,
    TablePolicy,
)
from replication_assets.core.masking.rules import (
    Address,
    DateShift,
    Email,
    IntegerId,
    Keep,
    PersonName,
    Phone,
    Rule,
)
from replication_assets.core.structure import describe_column
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.capture import FlushPolicy, capture
from replication_assets.flows.compare import source_position
from replication_assets.flows.load import load_range
from replication_assets.flows.masking.environment import set_up_environment
from replication_assets.flows.prepare import prepare
from replication_assets.replication import Replication

REFRESH = "nightly"
SOURCE = "shop"
KEY = "REPLICATION_ASSETS_BENCHMARK_MASK_KEY"
KEY_TEXT = bytes(range(32)).hex()

SCHEMA = """
CREATE TABLE customers (
    id bigint PRIMARY KEY,
    email text NOT NULL UNIQUE,
    first_name text NOT NULL,
    last_name text NOT NULL,
    phone text,
    city text NOT NULL,
    born date,
    status text NOT NULL DEFAULT 'active');
CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers,
    contact text,
    total numeric(10,2) NOT NULL,
    placed_at timestamptz NOT NULL);
CREATE INDEX orders_customer ON orders (customer_id);
CREATE TABLE order_events (
    id bigint PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES orders,
    kind text NOT NULL,
    payload text NOT NULL);
CREATE INDEX order_events_order ON order_events (order_id);
"""

ROWS = """
INSERT INTO customers
SELECT i, 'person' || i || '@mail-' || i % 50 || '.example', 'First' || i % 5000, 'Last' || i % 20000,
       '+3161' || 2000000 + i, 'City ' || i % 3000, date '1950-01-01' + (i % 20000)::integer
FROM generate_series(1, {customers}) i;
INSERT INTO orders
SELECT i, 1 + i % {customers}, 'person' || 1 + i % {customers} || '@mail-' || (1 + i % {customers}) % 50
       || '.example', (i % 100000) * 0.25, timestamptz '2020-01-01' + i * interval '3 seconds'
FROM generate_series(1, {orders}) i;
INSERT INTO order_events
SELECT i, 1 + i % {orders}, (ARRAY['placed', 'paid', 'sent'])[1 + i % 3],
       '{{"type": "OrderLineAdded", "payload": "' || repeat(md5(i::text), 8) || '"}}'
FROM generate_series(1, {events}) i;
ANALYZE;
"""

RULES: Mapping[str, Mapping[str, Rule]] = {
    "customers": {
        "id": IntegerId("customer"),
        "email": Email(),
        "first_name": PersonName("first"),
        "last_name": PersonName("last"),
        "phone": Phone(),
        "city": Address("city"),
        "born": DateShift(entity="id"),
        "status": Keep(),
    },
    "orders": {
        "id": Keep(),
        "customer_id": IntegerId("customer"),
        "contact": Email(),
        "total": Keep(),
        "placed_at": Keep(),
    },
    "order_events": {"id": Keep(), "order_id": Keep(), "kind": Keep(), "payload": Keep()},
}


def fill(server: PostgresServer, database: str, rows: int) -> Mapping[str, int]:
    """A source of so many rows; how many in which table."""
    customers = max(1, rows // 5)
    orders = max(1, 3 * rows // 10)
    counts = {"customers": customers, "orders": orders, "order_events": max(1, rows - customers - orders)}
    server.create_database(database)
    with psycopg.connect(server.dsn(database), autocommit=True) as session:
        session.execute(SCHEMA.encode())
        session.execute(
            ROWS.format(customers=customers, orders=orders, events=counts["order_events"]).encode()
        )
    return counts


def stored(server: PostgresServer, database: str, folder: Path) -> Catalog:
    """The source in an event store, and beside it an environment whose database is marked and empty."""
    os.environ[KEY] = KEY_TEXT
    catalog = _catalog(server, database, folder)
    replication = Replication(catalog)
    source, store = replication.source(SOURCE), replication.store()
    tables = prepare(source, store, catalog.tables)
    for table in tables:
        column = table.id_ranges.column
        high = source.bounds(table.id, column).high if column is not None else None
        for id_range in table.loads(high):
            load_range(source, store, table, id_range)
    reach = source_position(source, store).commit
    capture(source, store, tables, upto=reach, stop=lambda: False, policy=FlushPolicy())
    server.create_database(f"{database}_qa")
    catalog = _with_refresh(server, database, catalog)
    set_up_environment(Replication(catalog), catalog.environments[0], who="benchmark")
    return catalog


def _catalog(server: PostgresServer, database: str, folder: Path) -> Catalog:
    """Each table is one id range, which is the harder case for memory."""
    source = PostgresSourceConfig(
        SOURCE,
        host="127.0.0.1",
        port=server.port,
        database=database,
        user="postgres",
        sslmode="disable",
        slot=database,
        publication=database,
    )
    return Catalog(
        event_store=EventStoreConfig(root=str(folder / "event_store")),
        sources=(source,),
        tables=tuple(Table(f"{SOURCE}.public.{name}", id_ranges=ByCount(1)) for name in RULES),
    ).validate()


def _with_refresh(server: PostgresServer, database: str, catalog: Catalog) -> Catalog:
    target = PostgresTarget(
        host="127.0.0.1", port=server.port, database=f"{database}_qa", user="postgres", sslmode="disable"
    )
    environment = Environment("qa", target=target, mask_key=EnvVar(KEY))
    refresh = EnvironmentRefresh(REFRESH, environment="qa", policy="benchmark", tables=(f"{SOURCE}.*",))
    return Catalog(
        event_store=catalog.event_store,
        sources=catalog.sources,
        tables=catalog.tables,
        policies=(_policy(catalog),),
        environments=(environment,),
        refreshes=(refresh,),
    ).validate()


def _policy(catalog: Catalog) -> MaskingPolicy:
    store = Replication(catalog).store()
    tables = []
    for table in catalog.tables:
        structure = store.structures(table.id).last()
        assert structure is not None, f"the structure of {table.id} was not recorded"
        columns = {
            name: ColumnPolicy(
                "public" if isinstance(rule, Keep) else "pii.customer",
                rule,
                reviewed=describe_column(structure.column(name)),
                approved_by="benchmark",
            )
            for name, rule in RULES[table.id.name].items()
        }
        tables.append(TablePolicy(str(table.id), columns=columns))
    # E-mails are unique, case and all: their masks must tell them apart just so.
    namespaces = (Namespace("customer", low=1, high=2**63 - 1), Namespace("email", normalise=("nfc", "trim")))
    return MaskingPolicy("benchmark", namespaces=namespaces, tables=tables)
