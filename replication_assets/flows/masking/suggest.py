"""Suggest: a policy is proposed for tables of the event store, and never applied by itself.

Names and types come from the recorded structures, the rest from a sample of stored rows. The sample
stays in this process: a proposal says which share of it looked like what.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.dataset as ds

from replication_assets.core.events import OP
from replication_assets.core.masking.suggestions import TableProposal, suggest
from replication_assets.core.schema import TableId
from replication_assets.errors import NotLoaded
from replication_assets.flows.read import ranges_of
from replication_assets.ports import EventStore, LogSnapshot

SAMPLE_ROWS = 1000


def suggest_policy(
    store: EventStore, tables: Sequence[TableId], *, sample_rows: int = SAMPLE_ROWS
) -> tuple[TableProposal, ...]:
    """A proposal for each table; columns that refer to another of them get its rule.

    Raises:
        NotLoaded: a table is not in the store, or was never looked at; all of them are named.
    """
    structures = {table: store.structures(table).last() for table in tables}
    missing = [str(table) for table, structure in structures.items() if structure is None]
    if missing:
        raise NotLoaded(
            f"nothing is known of {', '.join(missing)}",
            where="mask suggest",
            fix="set the source up and load these tables first",
        )
    known = [structure for structure in structures.values() if structure is not None]
    return tuple(
        suggest(structure, _sample(store, structure.table, sample_rows), known) for structure in known
    )


def _sample(store: EventStore, table: TableId, rows: int) -> pa.RecordBatch | None:
    """Up to so many stored rows of a table, from all of its ranges; None if there are none."""
    log = store.log(table)
    if not log.exists():
        return None
    snapshot = log.snapshot()
    ranges = ranges_of(snapshot)
    parts = [_head(snapshot, each.key, max(1, rows // len(ranges))) for each in ranges]
    found = pa.concat_tables(parts).combine_chunks() if parts else None
    batches = found.to_batches() if found is not None else []
    return batches[0] if batches else None


def _head(snapshot: LogSnapshot, id_range: str, rows: int) -> pa.Table:
    images = ds.field(OP).isin(["R", "I", "U"])
    return snapshot.events(id_range).head(rows, columns=list(snapshot.schema.names), filter=images)
