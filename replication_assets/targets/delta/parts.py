"""Parquet files of a range: written in a stream, read back in a stream.

Files are written before the commit that makes them visible. The log is told their row count
and no bounds of columns. As soon as one column has bounds, `DeltaTable.to_pyarrow_dataset`
(deltalake 1.6) takes every column without bounds for empty, and a filter on it silently
returns nothing. Bounds are in the footers, where row groups are skipped by them.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, RemoveAction

from replication_assets.core.events import COMMIT_POSITION, EPOCH, ID_RANGE
from replication_assets.core.positions import INT32_MAX, INT64_MAX
from replication_assets.errors import TargetError
from replication_assets.targets.delta.location import Location, storage_errors
from replication_assets.targets.delta.snapshot import DataFile, Newest

ROW_GROUP_BYTES = 16 << 20
"""Arrow memory that is gathered before it is encoded: the writer's memory bound."""
ROW_GROUP_ROWS = 131_072
FILE_BYTES = 512 << 20
"""Arrow memory after which a new file begins: some 100 MB of zstd, the unit of a rewrite."""
BATCH_ROWS = 65_536

NOTHING: Newest = (0, 0)
"""Sorts before every position: a commit position of 0 is before any log."""


class RangeWriter:
    """New files of one range, invisible until committed. One thread; `abort` deletes them."""

    def __init__(self, location: Location, id_range: str, schema: pa.Schema) -> None:
        self._location = location
        self._id_range = id_range
        self._schema = schema
        self._gathered: list[pa.RecordBatch] = []
        self._bytes = 0
        self._rows = 0
        self._file_bytes = 0
        self._path = ""
        self._writer: pq.ParquetWriter | None = None
        self._footers: list[pq.FileMetaData] = []
        self._written: list[tuple[str, pq.FileMetaData]] = []
        self._paths: list[str] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows of the stored schema; columns that the batch lacks are null."""
        if batch.num_rows == 0:
            return
        self._gathered.append(conform(batch, self._schema, self._location.where(self._id_range)))
        self._bytes += batch.nbytes
        self._rows += batch.num_rows
        if self._bytes >= ROW_GROUP_BYTES or self._rows >= ROW_GROUP_ROWS:
            self._encode()

    def finish(self) -> list[DataFile]:
        """Close the last file; what was written, ready to be committed."""
        self._encode()
        self._close()
        with storage_errors(self._location.where(self._id_range), "reading sizes of written files"):
            infos = self._location.files.get_file_info([path for path, _ in self._written])
        return [
            DataFile(path, info.size, footer.num_rows)
            for (path, footer), info in zip(self._written, infos, strict=True)
        ]

    def newest(self) -> Newest:
        """Bounds the (epoch, commit) of the rows in finished files."""
        return _newest((footer for _, footer in self._written), self._schema)

    def abort(self, keep: Collection[str] = ()) -> None:
        """Delete what was written, but for the paths in `keep`. Idempotent."""
        if self._writer is not None:
            # A file that cannot even be closed is deleted all the same.
            with suppress(OSError, RuntimeError, pa.ArrowException):
                self._writer.close()
            self._writer = None
        delete_files(self._location, [path for path in self._paths if path not in keep])
        self._paths = []

    def _encode(self) -> None:
        if not self._gathered:
            return
        rows = pa.Table.from_batches(self._gathered, self._schema)
        with storage_errors(self._location.where(self._id_range), "writing a file"):
            if self._writer is None:
                self._open()
            assert self._writer is not None
            self._writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        self._file_bytes += self._bytes
        self._gathered, self._bytes, self._rows = [], 0, 0
        if self._file_bytes >= FILE_BYTES:
            self._close()

    def _open(self) -> None:
        folder = self._location.folder(self._id_range)
        self._path = f"{folder}/part-{uuid.uuid4().hex}.zstd.parquet"
        if self._location.local:
            self._location.files.create_dir(folder, recursive=True)
        self._footers = []
        self._paths.append(self._path)
        self._writer = pq.ParquetWriter(
            self._path,
            self._schema,
            filesystem=self._location.files,
            compression="zstd",
            metadata_collector=self._footers,
        )

    def _close(self) -> None:
        if self._writer is None:
            return
        with storage_errors(self._location.where(self._id_range), "closing a file"):
            self._writer.close()
        self._writer = None
        self._file_bytes = 0
        self._written.append((self._path, self._footers[0]))


def conform(batch: pa.RecordBatch, schema: pa.Schema, where: str) -> pa.RecordBatch:
    """The batch in exactly `schema`: missing columns are null, another type is refused."""
    columns = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            columns.append(pa.nulls(batch.num_rows, field.type))
        elif batch.schema.field(index).type == field.type:
            columns.append(batch.column(index))
        else:
            arriving = batch.schema.field(index).type
            raise TargetError(
                f"column {field.name!r} arrives as {arriving}, the table has {field.type}",
                where=where,
                fix="pass rows of core.fold.row_schema",
            )
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _newest(footers: Iterable[pq.FileMetaData], schema: pa.Schema) -> Newest:
    """Greatest epoch and greatest commit position of any row; `NOTHING` of no rows."""
    groups = [footer.row_group(i) for footer in footers for i in range(footer.num_row_groups)]
    spans = [(span(group, schema, EPOCH), span(group, schema, COMMIT_POSITION)) for group in groups]
    return (
        max((epochs[1] if epochs else INT32_MAX for epochs, _ in spans), default=NOTHING[0]),
        max((commits[1] if commits else INT64_MAX for _, commits in spans), default=NOTHING[1]),
    )


def span(group: pq.RowGroupMetaData, schema: pa.Schema, column: str) -> tuple[int, int] | None:
    """Least and greatest value of an integer column in a row group; None if it has nulls or
    does not tell."""
    index = schema.get_field_index(column)
    # Statistics are by leaf: nested columns with several leaves would shift the index.
    if index < 0 or group.num_columns != len(schema):
        return None
    found = group.column(index).statistics
    if found is None or not found.has_min_max or found.null_count:
        return None
    return found.min, found.max


def add_action(file: DataFile, id_range: str) -> AddAction:
    now = time.time_ns() // 1_000_000
    stats = json.dumps({"numRecords": file.rows})
    return AddAction(file.path, file.size, {ID_RANGE: id_range}, now, True, stats)


def remove_action(file: DataFile, id_range: str) -> RemoveAction:
    now = time.time_ns() // 1_000_000
    # The log percent-encodes paths, and deltalake encodes what it is given once more.
    path = unquote(file.path)
    return RemoveAction(path, True, now, size=file.size, partition_values={ID_RANGE: id_range})


def delete_files(location: Location, paths: Iterable[str]) -> None:
    """Delete files that no commit refers to; those already gone are fine."""
    for path in paths:
        with storage_errors(location.where(), "deleting an uncommitted file"), suppress(FileNotFoundError):
            location.files.delete_file(path)


@dataclass(frozen=True, slots=True)
class KeySpan:
    """Keys from `low` to `high` of an integer column, of which a scan is in search."""

    column: str
    low: int
    high: int

    def may_be_in(self, group: pq.RowGroupMetaData, schema: pa.Schema) -> bool:
        held = span(group, schema, self.column)
        return held is None or (held[0] <= self.high and self.low <= held[1])


def scan(
    location: Location, files: Sequence[DataFile], columns: Sequence[str], wanted: KeySpan | None = None
) -> Iterator[tuple[int, int, pa.RecordBatch]]:
    """Batches of the files as (index of the file, row number of the first row, rows).

    Files are read one after the other, in row order; row groups that cannot hold a key of
    `wanted` are skipped. Columns that a file lacks are left out.
    """
    for number, file in enumerate(files):
        with storage_errors(location.where(), f"reading {file.path}"), _opened(location, file) as parquet:
            schema = parquet.schema_arrow
            held = [name for name in columns if name in schema.names]
            first = 0
            for i in range(parquet.num_row_groups):
                group = parquet.metadata.row_group(i)
                if wanted is None or wanted.may_be_in(group, schema):
                    start = first
                    for batch in parquet.iter_batches(BATCH_ROWS, row_groups=[i], columns=held):
                        # A dot in a name reads as a path: selecting `a` also returns `a.b`.
                        yield number, start, batch.select(held)
                        start += batch.num_rows
                first += group.num_rows


def _opened(location: Location, file: DataFile) -> pq.ParquetFile:
    source = location.files.open_input_file(file.path)
    return pq.ParquetFile(source, pre_buffer=not location.local)
