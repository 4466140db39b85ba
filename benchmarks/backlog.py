"""A backlog of row changes in a slot, which any number of paths may read from its beginning.

60 % updates, 30 % inserts and 10 % deletes, 100 rows a transaction, over `order_events` with its
whole payload of 300 bytes. The slot that keeps it is read by nobody: each path is given a copy.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import psycopg

from benchmarks.postgres_sample import DATABASE, catalog, prepared, session
from replication_assets.catalog import Catalog, EventStoreConfig, PostgresSourceConfig
from replication_assets.demo.postgres_server import PostgresServer

TABLE = "order_events"
PUBLICATIONS = "replication_assets,replication_assets_append"
"""Of `postgres_sample.catalog`."""
INSERTS = 30
PER_TRANSACTION = 100
_STRIDE = 7919
"""A prime: updates go round the whole table, and none meets a row twice in one transaction."""

WORK = f"""
CREATE PROCEDURE work(first bigint, last bigint, base bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR t IN first .. last LOOP
        UPDATE order_events SET version = version + 1, created_at = clock_timestamp()
        WHERE id = ANY (ARRAY(SELECT 1 + (t * 60 + k) * {_STRIDE} % base FROM generate_series(1, 60) k));
        INSERT INTO order_events
        SELECT base + t * {INSERTS} + k, gen_random_uuid(), now(), k, gen_random_uuid(), now(),
               (SELECT event_data FROM order_events WHERE id = 1 + (t + k) % base)
        FROM generate_series(1, {INSERTS}) k;
        DELETE FROM order_events
        WHERE id > base + (t - 1) * {INSERTS} AND id <= base + (t - 1) * {INSERTS} + 10;
        COMMIT;
    END LOOP;
END $$
"""
"""Transactions `first` to `last` over a table of ids 1 to `base` and `INSERTS` more."""
_numbers = count()


@dataclass(frozen=True, slots=True)
class Backlog:
    """`rows` changes after the place of `template`'s slot, up to log position `end`."""

    dsn: str
    server: int
    """The server's process."""
    template: Catalog
    rows: int
    end: int

    def slot(self) -> str:
        """A slot of one's own, at the beginning."""
        name = f"copy_{next(_numbers)}"
        kept = _source(self.template).slot
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", [kept, name])
        return name

    def copy(self, folder: Path) -> Catalog:
        """A catalog with a slot and an event store of its own, at the beginning."""
        slot = self.slot()
        root = folder / slot
        shutil.copytree(self.template.event_store.root, root)
        source = replace(_source(self.template), slot=slot)
        return replace(self.template, event_store=EventStoreConfig(root=str(root)), sources=(source,))

    def drop(self, slot: str) -> None:
        """So that the server need not keep the log for it."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SELECT pg_drop_replication_slot(%s)", [slot])


def begin(server: PostgresServer, home: Path, slot: str) -> Catalog:
    """The place from which a backlog is kept: a prepared catalog with this slot."""
    chosen = catalog(server, home / slot, TABLE)
    chosen = replace(chosen, sources=(replace(_source(chosen), slot=slot),))
    prepared(chosen)
    return chosen


def end(server: PostgresServer, template: Catalog, rows: int) -> Backlog:
    """The `rows` changes that were made since `begin`."""
    with session(server) as connection:
        found = connection.execute(b"SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    assert found is not None
    pid = int((server.data_dir / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0])
    return Backlog(server.dsn(DATABASE), pid, template, rows, int(found[0]))


def _source(chosen: Catalog) -> PostgresSourceConfig:
    (source,) = chosen.sources
    assert isinstance(source, PostgresSourceConfig)
    return source


def slot_of(chosen: Catalog) -> str:
    name = _source(chosen).slot
    assert name is not None
    return name
