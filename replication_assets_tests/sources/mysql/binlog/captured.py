"""What a capture of a table yields, for tests to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.events import OP
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.ports import ChangeChunk
from replication_assets.sources.mysql import MySqlSource
from replication_assets_tests.sources.mysql.conftest import Database

Tables = Sequence[tuple[TableId, TableSchema]]


@dataclass
class Captured:
    """Chunks of a read that reached its end."""

    chunks: list[ChangeChunk] = field(default_factory=list)

    def rows(self, table: TableId | None = None) -> list[dict[str, Any]]:
        """Events without their nulls."""
        return [
            {name: value for name, value in row.items() if value is not None}
            for chunk in self.chunks
            for batch in chunk.batches
            if table is None or batch.table == table
            for row in batch.rows.to_pylist()
        ]

    def operations(self) -> str:
        return "".join(row[OP] for row in self.rows())

    @property
    def table(self) -> pa.Table:
        return pa.Table.from_batches([batch.rows for chunk in self.chunks for batch in chunk.batches])

    @property
    def schema_changes(self) -> list[tuple[TableId, TableSchema, SchemaChanged]]:
        return [change for chunk in self.chunks for change in chunk.schema_changes]

    @property
    def reasons(self) -> list[str]:
        return [change.reason for _, _, change in self.schema_changes if change.reload]

    @property
    def truncated(self) -> list[TableId]:
        return [each[0] for chunk in self.chunks for each in chunk.truncated]

    @property
    def through(self) -> int:
        return max(chunk.through for chunk in self.chunks if chunk.through is not None)


def capture(source: MySqlSource, tables: Tables, after: int, upto: int | None = None) -> Captured:
    """Everything after a position, until the log's end of now."""
    end = source.status().head if upto is None else upto
    found = Captured()
    with source.changes(tables, epoch=1, after=after, upto=end, stop=lambda: False) as stream:
        for chunk in stream:
            found.chunks.append(chunk)
    return found


@dataclass
class Watched:
    """Tables of a database, and the position from which `read` reads them."""

    source: MySqlSource
    tables: Tables
    start: int

    def read(self) -> Captured:
        """Everything since the last read."""
        found = capture(self.source, self.tables, self.start)
        if found.chunks:
            self.start = found.through
        return found


def watch(database: Database, *names: str, **settings: Any) -> Watched:
    source = database.source(**settings)
    tables = [(database.table(name), source.reflect(database.table(name))) for name in names or ("t",)]
    return Watched(source, tables, source.setup(tables).start)


@contextmanager
def global_setting(database: Database, name: str, value: str) -> Iterator[None]:
    """A setting of the server, put back at the end."""
    with database.session() as session, session.cursor() as cursor:
        cursor.execute(f"SELECT @@global.{name}")
        (before,) = cursor.fetchone() or (None,)
        cursor.execute(f"SET GLOBAL {name} = {value}")
        try:
            yield
        finally:
            cursor.execute(f"SET GLOBAL {name} = %s", (before,))
