"""The source that benchmarks read: a PostgreSQL server of its own with two tables.

`order_events` is narrow and append-heavy, with a document of about 300 bytes; `orders` has 20
columns of mixed types. The server has memory enough to hold both, so that its disk is not what is
measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from replication_assets.catalog import ByCount, Catalog, EventStoreConfig, PostgresSourceConfig, Table
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.prepare import ReplicatedTable, open_table, prepare
from replication_assets.replication import Replication

DATABASE = "shop"
SOURCE = "shop"
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "autovacuum": "off"}

ORDER_EVENTS = """
CREATE TABLE order_events (
    id bigint PRIMARY KEY,
    aggregate_id uuid NOT NULL,
    event_timestamp timestamptz NOT NULL,
    version integer NOT NULL,
    conversation_id uuid,
    created_at timestamptz NOT NULL,
    event_data text NOT NULL)
"""
ORDER_EVENTS_ROWS = """
INSERT INTO order_events
SELECT i, gen_random_uuid(), timestamptz '2024-01-01' + i * interval '10 s', i % 50, gen_random_uuid(),
       timestamptz '2024-01-01' + i * interval '10 s',
       '{"type":"OrderPlaced","order":' || i || ',"payload":"'
       || (SELECT string_agg(md5((i * 7 + k)::text), '') FROM generate_series(1, 7) k) || '","source":"web"}'
FROM generate_series(%s::bigint, %s::bigint) i
"""
ORDERS = """
CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    status text NOT NULL,
    total numeric(12,2) NOT NULL,
    tax numeric(12,4),
    currency char(3) NOT NULL,
    placed_at timestamptz NOT NULL,
    paid_at timestamptz,
    shipped_on date,
    is_gift boolean NOT NULL,
    weight double precision,
    discount real,
    items integer NOT NULL,
    note text,
    token uuid,
    email text,
    country varchar(2),
    attributes jsonb,
    channel smallint,
    updated_at timestamp)
"""
ORDERS_ROWS = """
INSERT INTO orders
SELECT i, i % 100000, (array['new', 'paid', 'shipped', 'done'])[1 + i % 4], (i % 100000) / 100.0,
       (i % 7919) / 10000.0, 'EUR', timestamptz '2024-01-01' + i * interval '10 s',
       CASE WHEN i % 3 = 0 THEN timestamptz '2024-01-02' + i * interval '10 s' END,
       date '2024-01-01' + (i % 700)::integer, i % 5 = 0, i * 0.37, i % 13, i % 9,
       'note ' || md5(i::text), gen_random_uuid(), 'person' || i || '@mail.example', 'NL',
       jsonb_build_object('number', i, 'hash', md5(i::text)), i % 7,
       timestamp '2024-01-01' + i * interval '7 s'
FROM generate_series(%s::bigint, %s::bigint) i
"""
TABLES = {"order_events": (ORDER_EVENTS, ORDER_EVENTS_ROWS), "orders": (ORDERS, ORDERS_ROWS)}


@contextmanager
def sample_server(home: Path, settings: dict[str, str] | None = None) -> Iterator[PostgresServer]:
    """A server with an empty database `shop`, gone at the end."""
    server = PostgresServer(home / "postgres", settings={**SETTINGS, **(settings or {})}, durable=False)
    try:
        with server:
            server.create_database(DATABASE)
            yield server
    finally:
        server.destroy()


def session(server: PostgresServer) -> psycopg.Connection[Any]:
    return psycopg.connect(server.dsn(DATABASE), autocommit=True)


def fill(server: PostgresServer, table: str, rows: int, first: int = 1) -> None:
    """`rows` rows with ids from `first` on; creates the table if it is not there."""
    schema, insert = TABLES[table]
    with session(server) as connection:
        connection.execute(schema.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1).encode())
        connection.execute(insert.replace(" % ", " %% ").encode(), [first, first + rows - 1])
        connection.execute(f"VACUUM ANALYZE {table}".encode())


def catalog(server: PostgresServer, root: Path, *tables: str, id_ranges: int = 2) -> Catalog:
    """The tables of the database, with an event store below `root`."""
    return Catalog(
        event_store=EventStoreConfig(root=str(root / "event_store")),
        sources=(
            PostgresSourceConfig(
                SOURCE,
                host="127.0.0.1",
                port=server.port,
                database=DATABASE,
                user="postgres",
                sslmode="disable",
                slot="replication_assets",
                publication="replication_assets",
            ),
        ),
        tables=tuple(
            Table(f"{SOURCE}.public.{name}", id_ranges=ByCount(id_ranges)) for name in (tables or TABLES)
        ),
    ).validate()


def prepared(chosen: Catalog) -> tuple[ReplicatedTable, ...]:
    """Make slot, publication and logs; the tables, opened."""
    replication = Replication(chosen)
    return prepare(replication.source(SOURCE), replication.store(), chosen.tables)


def opened(chosen: Catalog) -> list[ReplicatedTable]:
    """The prepared tables, in the catalog's order."""
    replication = Replication(chosen)
    source, store = replication.source(SOURCE), replication.store()
    return [open_table(source, store, table) for table in chosen.tables]
