"""A folder that DMS lands files in, and a source over it: what is captured, as events and rows."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from replication_assets.core.envelopes.types import spelled_column
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.event_store import DeltaEventStore
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.sources.landed.layout import FileLayout
from replication_assets.sources.landed.place import LandingPlace
from replication_assets.sources.landed.source import LandedSource

WIDGETS, GADGETS = TableId("lake", "shop", "widgets"), TableId("lake", "shop", "gadgets")
COLUMNS = ("id bigint", "name text")
FIRST = "20261121-1030000000"
SECOND = "20261121-1031000000"
THIRD = "20261121-1032000000"
Event = tuple[Any, ...]


@dataclass
class Landing:
    folder: Path
    columns: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {"shop.widgets": COLUMNS, "shop.gadgets": COLUMNS}
    )
    settings: dict[str, Any] = field(default_factory=dict)
    after: int = 0
    schemas: dict[TableId, TableSchema] = field(default_factory=dict)
    clock: int = 1_700_000_000

    @property
    def root(self) -> Path:
        return self.folder / "landed"

    @property
    def source(self) -> LandedSource:
        """Made anew, as by another process."""
        columns = {table: tuple(map(spelled_column, each)) for table, each in self.columns.items()}
        journal = DeltaEventStore(str(self.folder / "store")).offsets("lake")
        return LandedSource(
            "lake", LandingPlace(str(self.root)), FileLayout(columns, **self.settings), journal
        )

    def land(self, path: str, text: str | bytes) -> Path:
        """A whole file, under `shop/widgets` unless the path has folders; each later than the one before."""
        file = self.root / (path if "/" in path else f"shop/widgets/{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        raw = text.encode() if isinstance(text, str) else text
        file.write_bytes(gzip.compress(raw) if path.endswith(".gz") else raw)
        self.clock += 1
        os.utime(file, (self.clock, self.clock))
        return file

    def land_parquet(self, path: str, rows: pa.Table) -> Path:
        file = self.land(path, b"")
        pq.write_table(rows, file)
        return file

    def setup(self, *tables: TableId) -> Landing:
        self.root.mkdir(exist_ok=True)
        self.schemas = {table: self.source.reflect(table, key=["id"]) for table in tables or (WIDGETS,)}
        self.after = self.source.setup(list(self.schemas.items())).start
        return self

    @contextmanager
    def stream(
        self, *, upto: int | None = None, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[ChangeStream]:
        tables = list(self.schemas.items())
        with self.source.changes(tables, epoch=3, after=self.after, upto=upto, stop=stop) as stream:
            yield stream

    def drain(self, *, durable: bool = True) -> list[ChangeChunk]:
        """All that has landed; durable, unless the process died before."""
        with self.stream(upto=self.source.status().head) as stream:
            chunks = list(stream)
        for table, schema, _ in (each for chunk in chunks for each in chunk.schema_changes):
            if durable:
                self.schemas[table] = schema
        if durable and chunks:
            assert chunks[-1].through is not None
            self.after = chunks[-1].through
        return chunks


def events(chunks: Sequence[ChangeChunk], *columns: str, table: TableId = WIDGETS) -> list[Event]:
    """Events in the order of their positions, which is that in which they were told."""
    batches = [batch for chunk in chunks for batch in chunk.batches if batch.table == table]
    rows = [row for batch in batches for row in batch.rows.to_pylist()]
    positions = [(row["_epoch"], row["_commit_position"], row["_sequence"]) for row in rows]
    assert positions == sorted(positions)
    assert len(set(positions)) == len(positions)
    return [tuple(row[name] for name in columns or ("_op", "id", "name")) for row in rows]


def rows_of(found: Sequence[Event]) -> dict[int, str]:
    """What events make of an empty table."""
    rows: dict[int, str] = {}
    for op, key, name in found:
        if op == "D":
            rows.pop(key, None)
        else:
            rows[key] = name
    return rows
