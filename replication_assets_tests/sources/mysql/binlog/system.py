"""The whole system over one MariaDB database, held against what pymysql reads and an audit by triggers."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pymysql

from replication_assets.catalog import Catalog, DeltaProjection, EventStoreConfig, MySqlSourceConfig, Table
from replication_assets.core.events import OP
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.declarations.sources import CaptureBy
from replication_assets.flows.prepare import ReplicatedTable
from replication_assets_tests.e2e.system import SOURCE, Rows, System, differences
from replication_assets_tests.sources.mysql.conftest import Database


@dataclass(frozen=True)
class MySqlSystem(System):
    """`dsn` is the name of the database."""

    port: int = 0

    def table(self, name: str, schema: str = "") -> ReplicatedTable:
        return super().table(name, schema or self.dsn)

    def id(self, name: str) -> TableId:
        return TableId(SOURCE, self.dsn, name)

    def session(self) -> pymysql.connections.Connection:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            database=self.dsn,
            charset="utf8mb4",
            autocommit=True,
        )

    def execute(self, *statements: str) -> None:
        with closing(self.session()) as session, session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def in_source(self, table: TableId, schema: TableSchema) -> Rows:
        columns = ", ".join(f"`{name}`" for name in schema.names)
        with closing(self.session()) as session, session.cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM `{table.schema}`.`{table.name}`")
            return Counter(cursor.fetchall())


def mysql_system(
    database: Database, folder: Path, tables: Sequence[Table], capture: CaptureBy = "log"
) -> MySqlSystem:
    source = MySqlSourceConfig(
        SOURCE,
        host="127.0.0.1",
        port=database.server.port,
        user="root",
        sslmode="disable",
        capture=capture,
        load_wait_seconds=30,
    )
    catalog = Catalog(
        event_store=EventStoreConfig(root=str(folder / "event_store")),
        sources=(source,),
        tables=tables,
        projections=(DeltaProjection("lake", tables=(f"{SOURCE}.*",), root=str(folder / "lakehouse")),),
    )
    return MySqlSystem(catalog.validate(), database.name, database.server.port)


# --- audit ----------------------------------------------------------------------------------


def audit(system: MySqlSystem, table: str) -> None:
    """Keep the truth about every change of a table with columns `id` and `v` from here on."""
    system.execute(
        "CREATE TABLE audit (n BIGINT PRIMARY KEY AUTO_INCREMENT, op CHAR(1), id TEXT, v TEXT)",
        f"CREATE TRIGGER ai AFTER INSERT ON `{table}` FOR EACH ROW"
        " INSERT INTO audit (op, id, v) VALUES ('I', NEW.id, NEW.v)",
        f"CREATE TRIGGER ad AFTER DELETE ON `{table}` FOR EACH ROW"
        " INSERT INTO audit (op, id) VALUES ('D', OLD.id)",
        f"CREATE TRIGGER au AFTER UPDATE ON `{table}` FOR EACH ROW BEGIN"
        " IF OLD.id <> NEW.id THEN INSERT INTO audit (op, id) VALUES ('D', OLD.id); END IF;"
        # A row that an update leaves as it was is no change to the server either.
        " IF OLD.id <> NEW.id OR NOT (OLD.v <=> NEW.v)"
        " THEN INSERT INTO audit (op, id, v) VALUES ('U', NEW.id, NEW.v); END IF; END",
    )


def check_changes(system: MySqlSystem, table: TableId) -> None:
    """The store holds every committed change once: no more, no fewer, no other."""
    with closing(system.session()) as session, session.cursor() as cursor:
        cursor.execute("SELECT op, id, v FROM audit")
        made = Counter(cursor.fetchall())
    events = system.events(table)
    chosen = events.filter(pc.is_in(events[OP], pa.array(["I", "U", "D"])))
    stored: Counter[tuple[Any, ...]] = Counter(
        (op, str(key), None if op == "D" or v is None else str(v))
        for op, key, v in zip(*(chosen[name].to_pylist() for name in (OP, "id", "v")), strict=True)
    )
    assert sum(made.values()) > 0
    found = differences(made, stored)
    assert not found, f"{table}: {found}"


# --- writers --------------------------------------------------------------------------------


@contextmanager
def writing(system: MySqlSystem, table: str, seeds: Sequence[int] = (1, 2)) -> Iterator[None]:
    """Transactions of all kinds, some rolled back, while the block runs. Writers fall into each other's
    locks, and go on."""
    stop = threading.Event()
    threads = [threading.Thread(target=_write, args=(system, table, seed, stop)) for seed in seeds]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _write(system: MySqlSystem, table: str, seed: int, stop: threading.Event) -> None:
    chance = random.Random(seed)
    with closing(system.session()) as session, session.cursor() as cursor:
        while not stop.wait(0.002):
            with suppress(pymysql.err.Error):
                session.begin()
                for _ in range(chance.randint(1, 5)):
                    cursor.execute(_statement(table, chance))
                if chance.random() < 0.1:
                    session.rollback()
                else:
                    session.commit()


def _statement(table: str, chance: random.Random) -> str:
    key, other, value = chance.randint(1, 400), chance.randint(1, 400), chance.randint(0, 10**6)
    kinds = [
        f"INSERT IGNORE INTO `{table}` (id, v) VALUES ({key}, {value}), ({other}, {value})",
        f"UPDATE `{table}` SET v = {value} WHERE id BETWEEN {key} AND {key + 5}",
        f"UPDATE `{table}` SET v = {value} WHERE id = {key}",
        f"UPDATE `{table}` SET id = {other}, v = {value} WHERE id = {key}",
        f"DELETE FROM `{table}` WHERE id = {key}",
    ]
    return chance.choice(kinds)
