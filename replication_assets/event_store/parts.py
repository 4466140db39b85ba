"""Parquet files of one Delta partition, and what the log says of each.

Delta trusts whatever statistics a file is registered with, and prunes by them: a wrong
minimum loses rows silently. So they come from the file's own footer, and only for types
whose text form in the log is exact: integers, and strings short enough to be whole.
"""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from replication_assets.event_store.storage import Place

TARGET_BYTES = 128 << 20
"""Compressed size at which a file is full."""
ROW_GROUP_ROWS = 128 * 1024
ROW_GROUP_BYTES = 16 << 20
"""Uncompressed Arrow bytes: a reader holds at least one row group of each file it reads."""
LONGEST_TEXT_BOUND = 64

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"

Partition = tuple[tuple[str, str | None], ...]
"""Delta's partition values, in the order of the partition columns; dates as ISO text."""


def partition_of(id_range: str, event_date: dt.date | None) -> Partition:
    date = event_date.isoformat() if event_date is not None else None
    return (("_id_range", id_range), ("_event_date", date))


def new_path(partition: Partition) -> str:
    """A path that no other writer has, under the folders that Hive readers expect."""
    folders = [f"{name}={HIVE_NULL if value is None else quote(value, safe='')}" for name, value in partition]
    return "/".join([*folders, f"part-{uuid.uuid4().hex}.zstd.parquet"])


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A finished file that no commit speaks of yet."""

    path: str
    partition: Partition
    size: int
    rows: int
    stats: str

    def added(self, *, data_change: bool = True) -> AddAction:
        now = int(time.time() * 1000)
        return AddAction(self.path, self.size, dict(self.partition), now, data_change, self.stats)


class PartWriter:
    """One open Parquet file. `bounded` names the columns that get minimum and maximum."""

    def __init__(
        self,
        place: Place,
        files: pafs.FileSystem,
        partition: Partition,
        schema: pa.Schema,
        bounded: frozenset[str],
    ) -> None:
        self.path = new_path(partition)
        self.schema = schema
        self.rows = 0
        self._partition = partition
        self._bounded = bounded
        self._footers: list[pq.FileMetaData] = []
        place.prepare_folder(self.path)
        self._sink = files.open_output_stream(self.path)
        # The Arrow schema is left out of the footer: the log holds it, and it would be most
        # of a small file. zstd halves the bytes of snappy and costs no more time here.
        self._writer = pq.ParquetWriter(
            self._sink,
            schema,
            compression="zstd",
            store_schema=False,
            metadata_collector=self._footers,
        )

    @property
    def size(self) -> int:
        return int(self._sink.tell())

    def write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        self.rows += rows.num_rows

    def finish(self) -> WrittenPart:
        self._writer.close()
        size = self.size
        self._sink.close()
        stats = _stats(self._footers[0], self._bounded)
        return WrittenPart(self.path, self._partition, size, self.rows, stats)

    def close(self) -> None:
        """Let go of the file without finishing it."""
        self._writer.close()
        self._sink.close()


def bounded_columns(schema: pa.Schema, names: frozenset[str]) -> frozenset[str]:
    """Those of `names` whose minimum and maximum can stand in the log."""
    return frozenset(
        field.name
        for field in schema
        if field.name in names and (pa.types.is_integer(field.type) or pa.types.is_string(field.type))
    )


def _stats(footer: pq.FileMetaData, bounded: frozenset[str]) -> str:
    low: dict[str, int | str] = {}
    high: dict[str, int | str] = {}
    nulls: dict[str, int] = {}
    for name, index in _leaves(footer, bounded).items():
        groups = [footer.row_group(i).column(index).statistics for i in range(footer.num_row_groups)]
        if any(group is None or not group.has_null_count for group in groups):
            continue
        nulls[name] = sum(group.null_count for group in groups)
        valued = [group for group in groups if group.num_values > 0]
        if valued and all(_exact(group) for group in valued):
            low[name] = min(group.min for group in valued)
            high[name] = max(group.max for group in valued)
    return json.dumps(
        {"numRecords": footer.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls},
        separators=(",", ":"),
    )


def _exact(group: pq.Statistics) -> bool:
    if not group.has_min_max:
        return False
    bounds = (group.min, group.max)
    return all(
        isinstance(bound, int) or (isinstance(bound, str) and len(bound.encode()) <= LONGEST_TEXT_BOUND)
        for bound in bounds
    )


def _leaves(footer: pq.FileMetaData, bounded: frozenset[str]) -> Mapping[str, int]:
    """Index of each bounded column. A dotted name that a nested leaf has too is left out."""
    paths = [footer.schema.column(index).path for index in range(footer.num_columns)]
    times = Counter(paths)
    return {path: index for index, path in enumerate(paths) if path in bounded and times[path] == 1}
