"""One version of the table, held against what its registers say of it.

The table is read as somebody left it: rows of an edited file, of a range that nobody filled and
of no range at all are shown, since a validation wants to name them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from replication_assets.core.datasets import BATCH_ROWS, LITTLE_AHEAD, SafeDataset
from replication_assets.core.events import ID_RANGE, OVERFLOW, POSITION
from replication_assets.core.fold import ROW_ENVELOPE
from replication_assets.core.schema import TableSchema
from replication_assets.ports import RangeCheckpoint
from replication_assets.ports.target import view_schema
from replication_assets.targets.delta.damage import reading
from replication_assets.targets.delta.location import Location, storage_errors
from replication_assets.targets.delta.parts import conform
from replication_assets.targets.delta.snapshot import Registers


def image_schema(schema: TableSchema) -> pa.Schema:
    """Key columns first, then the others and the odd values; the position last.

    The commit time is left out: of equal rows without key, which stand for each other, the
    target may hold another one's.
    """
    columns = schema.arrow_schema()
    rest = [field for field in columns if field.name not in schema.key]
    position = [ROW_ENVELOPE.field(name) for name in POSITION]
    return pa.schema(
        [*(columns.field(name) for name in schema.key), *rest, ROW_ENVELOPE.field(OVERFLOW), *position]
    )


def image(schema: TableSchema, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows as they are: the target holds every value in the type that it was stored in."""
    wanted = image_schema(schema)
    for batch in rows:
        yield pa.RecordBatch.from_arrays([batch.column(name) for name in wanted.names], schema=wanted)


class DeltaView:
    """See `ports.TargetView`. `table` is None where nothing was ever filled."""

    def __init__(self, location: Location, table: DeltaTable | None, schema: TableSchema) -> None:
        self._location = location
        self._table = table
        self._schema = image_schema(schema)

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        if self._table is None:
            return None
        with storage_errors(self._location.where(id_range), "reading the log"):
            registers = Registers.read(self._table, id_range)
        return None if registers is None else registers.checkpoint()

    def read(self, id_ranges: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        if self._table is None:
            return
        with reading(self._location, self._table):
            dataset = SafeDataset.of(self._table.to_pyarrow_dataset())
            columns = [name for name in (*self._schema.names, ID_RANGE) if name in dataset.schema.names]
            chosen = None if id_ranges is None else pc.field(ID_RANGE).isin(list(id_ranges))
            for batch in dataset.to_batches(
                columns=columns, filter=chosen, batch_size=BATCH_ROWS, **LITTLE_AHEAD
            ):
                if batch.num_rows:
                    yield self._shown(batch)

    def _shown(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = conform(batch, self._schema, self._location.where())
        ranges = batch.column(ID_RANGE).cast(pa.string())
        deleted = pa.repeat(pa.scalar(False), batch.num_rows)
        return pa.RecordBatch.from_arrays([*rows.columns, ranges, deleted], schema=view_schema(self._schema))
