"""Suggest: a policy for tables of the event store, from their structures and a sample of stored rows.

A proposal is to be read and declared by somebody. Nothing is applied, and no sampled value is in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.controls import live_schema
from replication_assets.core.events import OP
from replication_assets.core.masking.suggestions import TableProposal, suggest
from replication_assets.core.schema import TableId
from replication_assets.core.structure import TableStructure
from replication_assets.errors import NotLoaded
from replication_assets.flows.read import ranges_of
from replication_assets.ports import EventStore, LogSnapshot


def suggest_policy(
    store: EventStore, tables: Sequence[TableId], sample_rows: int = 1000
) -> tuple[TableProposal, ...]:
    """A class and a rule for every column, with the reason, table by table.

    Raises:
        NotLoaded: the structure of a table was never recorded.
    """
    structures = {table: _structure(store, table) for table in tables}
    return tuple(
        suggest(
            structure,
            _sample(store, table, sample_rows) if sample_rows > 0 else None,
            [other for name, other in structures.items() if name != table],
        )
        for table, structure in structures.items()
    )


def _structure(store: EventStore, table: TableId) -> TableStructure:
    found = store.structures(table).last()
    if found is None:
        raise NotLoaded(
            "its structure was never recorded",
            where=str(table),
            fix=f"set up source {table.source}, or load the table: both record it",
        )
    return found


def _sample(store: EventStore, table: TableId, rows: int) -> pa.RecordBatch | None:
    """Some stored images of rows, evenly from the id ranges; None where nothing is stored."""
    if not store.log(table).exists():
        return None
    snapshot = store.log(table).snapshot()
    names = list(live_schema(snapshot.schema, snapshot.controls().schema_changes).names)
    ranges = ranges_of(snapshot)
    each = -(-rows // max(1, len(ranges)))
    parts = [part for id_range in ranges for part in _first(snapshot, id_range.key, names, each)]
    return pa.concat_batches(parts) if parts else None


def _first(snapshot: LogSnapshot, id_range: str, names: list[str], rows: int) -> list[pa.RecordBatch]:
    found: list[pa.RecordBatch] = []
    whole = pc.field(OP).isin(["R", "I", "U"])
    for batch in snapshot.events(id_range).to_batches(columns=names, filter=whole, batch_size=rows):
        found.append(batch.slice(0, rows))
        rows -= batch.num_rows
        if rows <= 0:
            break
    return found
