"""The source that the benchmarks of MariaDB read: a server of its own with `order_events`.

The rows are those of `postgres_sample`, in the types that MariaDB has for them. The server has
memory enough for all of them, and what it writes is not made durable: its disk is not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql

from benchmarks.postgres_sample import SOURCE
from replication_assets.catalog import ByCount, Catalog, EventStoreConfig, MySqlSourceConfig, Table

DATABASE = "shop"
TABLE = "order_events"
SETTINGS = {
    "innodb-buffer-pool-size": "1G",
    "innodb-log-file-size": "512M",
    "innodb-file-per-table": "ON",
    "innodb-stats-persistent": "ON",
    # What may be written with OUTFILE, which is held against us.
    "secure-file-priv": "",
}
ORDER_EVENTS = """
CREATE TABLE order_events (
    id bigint PRIMARY KEY,
    aggregate_id char(36) CHARACTER SET ascii NOT NULL,
    event_timestamp timestamp(6) NOT NULL DEFAULT current_timestamp(6),
    version int NOT NULL,
    conversation_id char(36) CHARACTER SET ascii,
    created_at timestamp(6) NOT NULL DEFAULT current_timestamp(6),
    event_data text CHARACTER SET utf8mb4 NOT NULL)
"""
_DOCUMENT = 'CONCAT(\'{"type":"OrderPlaced","order":\', i, \',"payload":"\', %s, \'","source":"web"}\')'
_PAYLOAD = "CONCAT(" + ", ".join(f"MD5(i * 7 + {part})" for part in range(1, 8)) + ")"
EVENT_DATA = _DOCUMENT % _PAYLOAD
"""About 300 bytes that compress little, as in `postgres_sample`; `i` is a number."""
ORDER_EVENTS_ROWS = f"""
INSERT INTO order_events
SELECT i, UUID(), FROM_UNIXTIME(1704067200 + i), i % 50, UUID(), FROM_UNIXTIME(1704067200 + i), {EVENT_DATA}
FROM (SELECT seq AS i FROM """


@dataclass(frozen=True, slots=True)
class Sample:
    """A running server; `pid` is that of its process."""

    port: int
    pid: int
    data: Path

    def session(self) -> pymysql.connections.Connection:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            database=DATABASE,
            autocommit=True,
            read_timeout=600,
        )

    def execute(self, *statements: str) -> None:
        with closing(self.session()) as session, session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def client(self, program: str) -> list[str]:
        """A program of the server's own, logged in."""
        return [program, "--no-defaults", "--host=127.0.0.1", f"--port={self.port}", "--user=root"]


@contextmanager
def sample_server() -> Iterator[Sample]:
    """A server with an empty table `order_events` in a database `shop`, gone at the end."""
    from replication_assets_tests.mysql_servers import BINLOG_SETTINGS, running_mariadb

    with running_mariadb({**BINLOG_SETTINGS, **SETTINGS}) as server:
        with closing(server.connect()) as session, session.cursor() as cursor:
            cursor.execute("SELECT @@pid_file, @@datadir")
            pid, data = map(Path, cursor.fetchone() or ("", ""))
            cursor.execute(f"CREATE DATABASE {DATABASE}")
        sample = Sample(server.port, int(pid.read_text(encoding="ascii")), data)
        sample.execute(ORDER_EVENTS)
        yield sample


def fill(sample: Sample, rows: int, first: int = 1, *, logged: bool = False) -> None:
    """`rows` rows with ids from `first` on; one transaction in the binlog, or none."""
    insert = f"{ORDER_EVENTS_ROWS}seq_{first}_to_{first + rows - 1}) numbers"
    sample.execute(f"SET SESSION sql_log_bin = {logged:d}", insert, f"ANALYZE LOCAL TABLE {TABLE}")


def catalog(sample: Sample, root: Path, id_ranges: int = 2) -> Catalog:
    """The table, with an event store below `root`."""
    source = MySqlSourceConfig(SOURCE, host="127.0.0.1", port=sample.port, user="root", sslmode="disable")
    return Catalog(
        event_store=EventStoreConfig(root=str(root / "event_store")),
        sources=(source,),
        tables=(Table(f"{SOURCE}.{DATABASE}.{TABLE}", id_ranges=ByCount(id_ranges)),),
    ).validate()
