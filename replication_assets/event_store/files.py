"""The active files of one version of a table: counting them, choosing among them, reading them.

Arrow datasets are built here from the log's own list, so that the guarantees attached to
each file are exactly those that `parts` wrote, and a lost file is told by its name.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from replication_assets.core.datasets import SafeDataset
from replication_assets.core.events import COMMIT_POSITION, EPOCH, EVENT_DATE, ID_RANGE, SEQUENCE
from replication_assets.core.positions import INT64_MAX, Position
from replication_assets.event_store.parts import Partition
from replication_assets.event_store.storage import Place

PARTITION = "partition."
"""How delta-rs names partition columns in its list of files."""


@dataclass(frozen=True, slots=True)
class ActiveFile:
    """A file of the log with the partition and the bounds of the positions in it."""

    path: str
    size: int
    rows: int
    partition: Partition
    low: Position
    high: Position

    @property
    def id_range(self) -> str | None:
        return dict(self.partition).get(ID_RANGE)

    @property
    def event_date(self) -> dt.date | None:
        text = dict(self.partition).get(EVENT_DATE)
        return dt.date.fromisoformat(text) if text is not None else None

    def may_follow(self, position: Position) -> bool:
        """Whether a row after `position` can be in it. The bounds are per column, so the
        greatest of each makes a position at or above every row's."""
        return self.high > position


UNKNOWN_LOW = Position(0, 0)
UNKNOWN_HIGH = Position(2**31 - 1, INT64_MAX, INT64_MAX)


def active_files(table: DeltaTable) -> list[ActiveFile]:
    """Files of the version that is open."""
    listed = pa.table(table.get_add_actions(flatten=True))
    columns = listed.column_names
    partitioned = [name for name in columns if name.startswith(PARTITION)]
    paths = [unquote(path) for path in listed["path"].to_pylist()]
    values = [[_text(value) for value in listed[name].to_pylist()] for name in partitioned]
    names = [name.removeprefix(PARTITION) for name in partitioned]
    partitions: list[Partition] = [
        tuple(zip(names, row, strict=True))
        for row in (zip(*values, strict=True) if values else [()] * listed.num_rows)
    ]
    lows = _bounds(listed, "min", UNKNOWN_LOW)
    highs = _bounds(listed, "max", UNKNOWN_HIGH)
    sizes, rows = listed["size_bytes"].to_pylist(), listed["num_records"].to_pylist()
    return [ActiveFile(*parts) for parts in zip(paths, sizes, rows, partitions, lows, highs, strict=True)]


def dataset(place: Place, files: Sequence[ActiveFile], schema: pa.Schema) -> SafeDataset:
    """Rows of `files` in their order, with `schema`; columns that a file lacks are null."""
    sizes = {file.path: file.size for file in files}
    filesystem = place.reading(sizes)
    parquet = ds.ParquetFileFormat(
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True)
    )
    fragments = [
        parquet.make_fragment(
            file.path,
            filesystem=filesystem,
            partition_expression=_guarantee(file, schema),
            file_size=file.size,
        )
        for file in files
    ]
    return SafeDataset(fragments, schema, parquet, filesystem).with_sizes(sizes)


def _guarantee(file: ActiveFile, schema: pa.Schema) -> pc.Expression:
    """What is true of every row of the file. Arrow fills the partition columns from it."""
    found = pc.scalar(True)
    for name, value in file.partition:
        field = pc.field(name)
        known = pa.scalar(value, pa.string()).cast(schema.field(name).type)
        found = found & (field.is_null() if value is None else field == known)
    if file.high is not UNKNOWN_HIGH and EPOCH in schema.names:
        found = found & (pc.field(EPOCH) >= file.low.epoch) & (pc.field(EPOCH) <= file.high.epoch)
        found = found & (pc.field(COMMIT_POSITION) >= file.low.commit)
        found = found & (pc.field(COMMIT_POSITION) <= file.high.commit)
    return found


def _text(value: str | dt.date | None) -> str | None:
    return value.isoformat() if isinstance(value, dt.date) else value


def _bounds(listed: pa.Table, which: str, unknown: Position) -> list[Position]:
    names = [f"{which}.{column}" for column in (EPOCH, COMMIT_POSITION, SEQUENCE)]
    if not set(names) <= set(listed.column_names):
        return [unknown] * listed.num_rows
    triples = zip(*(listed[name].to_pylist() for name in names), strict=True)
    return [unknown if None in triple else Position(*triple) for triple in triples]
