"""The DuckDB engine that folds run on, and the few SQL phrases that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from replication_assets.core.datasets import met
from replication_assets.core.events import COMMIT_POSITION, EPOCH, SEQUENCE
from replication_assets.core.positions import Position

_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Spill:
    """What one fold may use: memory in MiB before it spills to `folder`, and threads. Without a folder
    DuckDB spills to `.tmp` in the working directory."""

    memory_mib: int = 384
    threads: int = 2
    folder: str | None = None


NO_SPILL = Spill(folder="")
"""For rows that must not be written anywhere: what memory does not hold is an error."""


_idle: dict[Spill, list[duckdb.DuckDBPyConnection]] = {}
"""Engines that wait for the next ones with the same limits: opening one takes 25 ms, which was half of the
time of a small range. One that may hold rows for which a folder was chosen is not kept, nor one that
failed."""
_MOST_IDLE = 4
"""As many as ranges are brought forward side by side; a digest reads, in an engine, what another folds."""


@contextmanager
def engine(spill: Spill) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of one's own with the limits of `spill`; its temporary tables end with the block.

    An error of the project that it met while it read a log leaves the block as itself.
    """
    idle = _idle.setdefault(spill, [])
    instance = _taken(idle) or _open(spill)
    keep = False
    try:
        with closing(instance.cursor()) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            # It would be written between the lines of whoever runs us.
            connection.execute("SET enable_progress_bar = false")
            # One that is set for a connection holds for all that its engine ever has.
            connection.execute("RESET disabled_optimizers")
            connection.execute(f"SET threads = {spill.threads}")
            yield connection
            # Threads that end give back what they kept for themselves, a third of what was used. That of
            # the only thread would stay.
            connection.execute("SET threads = 1")
        keep = spill.folder is None and spill.threads > 1
    except duckdb.Error as error:
        known = met(str(error))
        if known is None:
            raise
        raise known from None
    finally:
        if keep and len(idle) < _MOST_IDLE:
            idle.append(instance)
        else:
            instance.close()


def _taken(idle: list[duckdb.DuckDBPyConnection]) -> duckdb.DuckDBPyConnection | None:
    """Another thread may be faster."""
    try:
        return idle.pop()
    except IndexError:
        return None


def _open(spill: Spill) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        config={
            "memory_limit": f"{spill.memory_mib}MiB",
            "threads": spill.threads,
            "preserve_insertion_order": False,
            **({"temp_directory": spill.folder} if spill.folder is not None else {}),
        }
    )


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
    return f"struct_pack(e := {alias}.{EPOCH}, c := {alias}.{COMMIT_POSITION}, s := {alias}.{SEQUENCE})"


def newer(position: Position, alias: str = "e") -> str:
    """SQL condition: an event is newer than a position. Scalar comparisons only, so that a
    scan can skip files and row groups by it."""
    epoch, commit, sequence = (f"{alias}.{name}" for name in (EPOCH, COMMIT_POSITION, SEQUENCE))
    within = (
        f"{commit} > {position.commit} OR ({commit} = {position.commit} AND {sequence} > {position.sequence})"
    )
    return f"({epoch} > {position.epoch} OR ({epoch} = {position.epoch} AND ({within})))"


def older(position: Position, alias: str = "e") -> str:
    """SQL condition: an event is older than a position."""
    epoch, commit, sequence = (f"{alias}.{name}" for name in (EPOCH, COMMIT_POSITION, SEQUENCE))
    within = (
        f"{commit} < {position.commit} OR ({commit} = {position.commit} AND {sequence} < {position.sequence})"
    )
    return f"({epoch} < {position.epoch} OR ({epoch} = {position.epoch} AND ({within})))"


def figures(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The one row of a query of aggregates. Fetched to its end, so that the connection is free."""
    return tuple(connection.execute(query).fetchall()[0])


def stream(connection: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Batches of a query in exactly `schema`; a value that does not fit raises, never bends."""
    for batch in connection.sql(query).to_arrow_reader(_BATCH_ROWS):
        if batch.num_rows:
            yield batch.cast(schema)
