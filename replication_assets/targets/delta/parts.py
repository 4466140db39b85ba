"""Parquet files of a range: written in a stream, read back in a stream.

Files are written before the commit that makes them visible. Their statistics are read from
the footer that was written, never computed beside it: wrong ones make readers skip rows.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, RemoveAction

from replication_assets.core.events import COMMIT_POSITION, EPOCH, ID_RANGE
from replication_assets.errors import TargetError
from replication_assets.targets.delta.location import Location, storage_errors
from replication_assets.targets.delta.snapshot import DataFile

ROW_GROUP_BYTES = 16 << 20
"""Arrow memory that is gathered before it is encoded: the writer's memory bound."""
ROW_GROUP_ROWS = 131_072
FILE_BYTES = 512 << 20
"""Arrow memory after which a new file begins: some 100 MB of zstd, the unit of a rewrite."""
BATCH_ROWS = 65_536


class RangeWriter:
    """New files of one range, invisible until committed. One thread; `abort` deletes them."""

    def __init__(self, location: Location, id_range: str, schema: pa.Schema, key: str | None) -> None:
        self._location = location
        self._id_range = id_range
        self._schema = schema
        self._key = key
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
            _described(path, info.size, footer, self._schema, self._key)
            for (path, footer), info in zip(self._written, infos, strict=True)
        ]

    def abort(self, keep: Collection[str] = ()) -> None:
        """Delete what was written, but for the paths in `keep`. Idempotent."""
        if self._writer is not None:
            # A file that cannot even be closed is deleted all the same.
            with suppress(OSError, pa.ArrowException):
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


def _described(path: str, size: int, footer: pq.FileMetaData, schema: pa.Schema, key: str | None) -> DataFile:
    epochs, commits = span(footer, schema, EPOCH), span(footer, schema, COMMIT_POSITION)
    newest = (epochs[1], commits[1]) if epochs and commits else None
    return DataFile(path, size, footer.num_rows, newest, span(footer, schema, key) if key else None)


def span(footer: pq.FileMetaData, schema: pa.Schema, column: str) -> tuple[int, int] | None:
    """Least and greatest value of an integer column; None if some row group does not say."""
    index = schema.get_field_index(column)
    if index < 0 or footer.num_columns != len(schema):
        return None
    found = [footer.row_group(i).column(index).statistics for i in range(footer.num_row_groups)]
    if not found or any(s is None or not s.has_min_max for s in found):
        return None
    return min(s.min for s in found), max(s.max for s in found)


def add_action(file: DataFile, id_range: str, key: str | None) -> AddAction:
    """The log's entry of a new file, with the statistics that prune by position and key."""
    stats: dict[str, object] = {"numRecords": file.rows}
    low: dict[str, int] = {}
    high: dict[str, int] = {}
    if file.newest is not None:
        high[EPOCH], high[COMMIT_POSITION] = file.newest
    if key is not None and file.keys is not None:
        low[key], high[key] = file.keys
    stats |= {"minValues": low, "maxValues": high, "nullCount": {}}
    now = time.time_ns() // 1_000_000
    return AddAction(file.path, file.size, {ID_RANGE: id_range}, now, True, json.dumps(stats))


def remove_action(file: DataFile, id_range: str) -> RemoveAction:
    now = time.time_ns() // 1_000_000
    return RemoveAction(file.path, True, now, size=file.size, partition_values={ID_RANGE: id_range})


def delete_files(location: Location, paths: Iterable[str]) -> None:
    """Delete files that no commit refers to; those already gone are fine."""
    for path in paths:
        with storage_errors(location.where(), "deleting an uncommitted file"), suppress(FileNotFoundError):
            location.files.delete_file(path)


def scan(
    location: Location, files: Sequence[DataFile], columns: Sequence[str]
) -> Iterator[tuple[int, int, pa.RecordBatch]]:
    """Batches of the files as (index of the file, row number of the first row, rows).

    Files are read one after the other, in row order. Columns that a file lacks are left out.
    """
    for number, file in enumerate(files):
        with storage_errors(location.where(), f"reading {file.path}"), _opened(location, file) as parquet:
            names = parquet.schema_arrow.names
            wanted = [name for name in columns if name in names]
            first = 0
            for batch in parquet.iter_batches(BATCH_ROWS, columns=wanted):
                # A dot in a name reads as a path: selecting `a` also returns `a.b`.
                yield number, first, batch.select(wanted)
                first += batch.num_rows


def _opened(location: Location, file: DataFile) -> pq.ParquetFile:
    source = location.files.open_input_file(file.path)
    return pq.ParquetFile(source, pre_buffer=not location.local)
