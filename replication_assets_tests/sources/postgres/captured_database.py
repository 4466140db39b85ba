"""A database under capture: an application's session, a slot, and the stream read so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pyarrow as pa

from replication_assets.core.events import event_schema
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.ports import ChangeChunk
from replication_assets.sources.postgres.connection import PostgresConnection, connect
from replication_assets.sources.postgres.publication import (
    CaptureNames,
    confirm_capture,
    setup_capture,
    teardown_capture,
)
from replication_assets.sources.postgres.reflection import reflect_table
from replication_assets.sources.postgres.status import read_status
from replication_assets.sources.postgres.stream import CHUNK_BYTES, open_changes
from replication_assets_tests.postgres_servers import FreshDatabase
from replication_assets_tests.sources.postgres.conftest import application

EPOCH = 3


@dataclass
class CapturedDatabase:
    """`declare` tables, then write through `sql`, then `drain`."""

    connection: PostgresConnection
    names: CaptureNames
    sql: psycopg.Connection[Any]
    tables: dict[TableId, TableSchema] = field(default_factory=dict)
    after: int = 0

    def table(self, name: str, schema: str = "public") -> TableId:
        return TableId("src", schema, name)

    def declare(self, *names: str, schema: str = "public", append_only: bool = False, **reflect: Any) -> None:
        """Reflect and publish tables; the slot is created with the first."""
        with connect(self.connection) as session:
            for name in names:
                table = self.table(name, schema)
                self.tables[table] = reflect_table(session, table, append_only=append_only, **reflect)
        start = setup_capture(self.connection, self.names, list(self.tables.items()), 20.0).start
        confirm_capture(self.connection, self.names)
        self.after = self.after or start

    @property
    def head(self) -> int:
        return read_status(self.connection, self.names.slot).head

    def stream(
        self,
        *,
        after: int | None = None,
        upto: int | None = None,
        stop: Callable[[], bool] = lambda: False,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Any:
        """`open_changes` with what is known so far."""
        return open_changes(
            self.connection, self.names, list(self.tables.items()), epoch=EPOCH,
            after=self.after if after is None else after, upto=upto, stop=stop, chunk_bytes=chunk_bytes,
        )  # fmt: skip

    def drain(self, *, chunk_bytes: int = CHUNK_BYTES, acknowledge: bool = True) -> list[ChangeChunk]:
        """Everything up to now, which is then durable as far as the server knows."""
        chunks = []
        with self.stream(upto=self.head, chunk_bytes=chunk_bytes) as changes:
            for chunk in changes:
                chunks.append(chunk)
                for table, schema, _ in chunk.schema_changes:
                    self.tables[table] = schema
                if chunk.through is not None and acknowledge:
                    self.after = chunk.through
                    changes.acknowledge(chunk.through)
        return chunks


def events_of(chunks: Sequence[ChangeChunk], table: TableId) -> list[dict[str, Any]]:
    """A table's events in the order of their positions."""
    rows: list[dict[str, Any]] = []
    for chunk in chunks:
        for batch in chunk.batches:
            if batch.table == table:
                assert batch.rows.schema.equals(event_schema(batch.schema), check_metadata=True)
                batch.rows.validate(full=True)
                rows += batch.rows.to_pylist()
    return sorted(rows, key=lambda row: (row["_commit_position"], row["_sequence"]))


def told(chunks: Sequence[ChangeChunk], table: TableId, *columns: str) -> list[tuple[Any, ...]]:
    """Operation and some columns of each event of a table."""
    return [(row["_op"], *(row[name] for name in columns)) for row in events_of(chunks, table)]


def column_of(chunks: Sequence[ChangeChunk], name: str) -> pa.ChunkedArray:
    return pa.chunked_array([batch.rows.column(name) for chunk in chunks for batch in chunk.batches])


@contextmanager
def captured(database: FreshDatabase) -> Iterator[CapturedDatabase]:
    """Capture of an empty database; nothing is left of it on the server."""
    connection = PostgresConnection.parse(database.dsn)
    names = CaptureNames.of(database.name)
    with application(connection) as sql:
        yield CapturedDatabase(connection, names, sql)
    teardown_capture(connection, names, force=True)
