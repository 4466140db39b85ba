"""The DuckDB engine that folds run on, and the few SQL phrases that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from replication_assets.core.events import COMMIT_POSITION, EPOCH, SEQUENCE
from replication_assets.core.positions import Position

_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Spill:
    """What one fold may use: memory in MiB before it spills to `folder`, and threads."""

    memory_mib: int = 384
    threads: int = 2
    folder: str | None = None


@contextmanager
def engine(spill: Spill) -> Iterator[duckdb.DuckDBPyConnection]:
    """A private DuckDB with the limits of `spill`; its temporary tables end with the block."""
    connection = duckdb.connect(
        config={
            "memory_limit": f"{spill.memory_mib}MiB",
            "threads": spill.threads,
            "preserve_insertion_order": False,
            **({"temp_directory": spill.folder} if spill.folder else {}),
        }
    )
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def quoted(name: str) -> str:
    """A column name as a DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a DuckDB literal."""
    return "'" + text.replace("'", "''") + "'"


def same_key(key: Sequence[str], left: str, right: str) -> str:
    """SQL condition: two aliases speak of the same key, NULL equal to NULL."""
    return " AND ".join(f"{left}.{quoted(name)} IS NOT DISTINCT FROM {right}.{quoted(name)}" for name in key)


def position_of(alias: str = "e") -> str:
    """SQL for an event's position as one comparable value."""
    return f"row({alias}.{EPOCH}, {alias}.{COMMIT_POSITION}, {alias}.{SEQUENCE})"


def position_literal(position: Position) -> str:
    """SQL for a known position, comparable with `position_of`."""
    return f"row({position.epoch}::INTEGER, {position.commit}::BIGINT, {position.sequence}::BIGINT)"


def stream(connection: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Batches of a query in exactly `schema`; a value that does not fit raises, never bends."""
    for batch in connection.sql(query).to_arrow_reader(_BATCH_ROWS):
        if batch.num_rows:
            yield batch.cast(schema)
