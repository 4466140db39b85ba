"""Reads files once before anything is told of them: they are whole, and what repeats is known.

A torn file, a row of another shape, or a file that is not as large as it was listed stops here. Rows of
small files are kept for the second reading, large ones are read again.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

import duckdb
import numpy as np
import pyarrow as pa

from replication_assets.core.landed.events import LandedRows
from replication_assets.core.landed.names import LandedFile
from replication_assets.core.landed.repeats import NO_HASHES, Hashes, row_hashes
from replication_assets.core.schema import TableId
from replication_assets.errors import DecodeError
from replication_assets.sources.landed.csv_rows import table_rows, transaction_rows
from replication_assets.sources.landed.layout import FileLayout, Name
from replication_assets.sources.landed.parquet_rows import parquet_rows
from replication_assets.sources.landed.place import FileReader

SMALL_BYTES = 16 * 2**20
"""Files up to this size are fetched whole, with one request."""
KEPT_BYTES = 64 * 2**20
"""Rows of a file are kept until they are this large in memory."""


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file that is whole. `rows` are counted over all its tables; `hashes` are of each table's rows, in
    their order; `kept` are the rows themselves, None of a large file."""

    file: LandedFile
    rows: int
    hashes: Mapping[Name, Hashes]
    kept: tuple[LandedRows, ...] | None


class RowReader:
    """Reads rows of files, of the tables of a stream. One thread."""

    def __init__(self, reader: FileReader, layout: FileLayout, tables: Mapping[Name, TableId]) -> None:
        self._reader, self._layout, self._tables = reader, layout, tables
        self._connection = duckdb.connect(config={"threads": 1})

    def close(self) -> None:
        self._connection.close()

    def where(self, file: LandedFile) -> str:
        return self._reader.where(file.path)

    def rows(self, file: LandedFile) -> Iterator[LandedRows]:
        """Raises DecodeError if the file is torn, or is not what was declared."""
        where = self.where(file)
        if file.format == "parquet":
            with self._opener(file)() as opened:
                yield from parquet_rows(opened, file, self._layout, where)
        elif file.table is not None:
            yield from table_rows(self._opener(file), file, self._layout, where)
        else:
            widths = {name: len(self._layout.declared(name)) for name in self._tables}
            yield from transaction_rows(self._opener(file), widths, self._layout, where)

    def checked(self, file: LandedFile) -> CheckedFile:
        """Reads the whole file. Raises as `rows`."""
        found: dict[Name, list[Hashes]] = {}
        kept: list[LandedRows] | None = []
        count = size = 0
        for rows in self.rows(file):
            found.setdefault(rows.table, []).append(self.hashes(rows))
            count += len(rows.numbers)
            size += sum(each.nbytes for each in rows.values.values())
            if size > KEPT_BYTES:
                kept = None
            elif kept is not None:
                kept.append(rows)
        hashes = {name: np.concatenate(each) if each else NO_HASHES for name, each in found.items()}
        return CheckedFile(file, count, hashes, None if kept is None else tuple(kept))

    def hashes(self, rows: LandedRows) -> Hashes:
        """Of all that a row says: operation, time and values."""
        values = [_plain(rows.values[name]) for name in sorted(rows.values)]
        return row_hashes(self._connection, [rows.ops, *([rows.at] if rows.at is not None else []), *values])

    def key_hashes(self, batch: pa.RecordBatch, key: tuple[str, ...]) -> Hashes:
        return row_hashes(self._connection, [batch.column(name) for name in key])

    def _opener(self, file: LandedFile) -> Callable[[], IO[bytes]]:
        if file.size > SMALL_BYTES and file.format == "csv":
            return lambda: self._reader.stream(file.path, gzip=file.gzip)
        if file.size > SMALL_BYTES:
            return lambda: self._reader.file(file.path)
        with self._reader.file(file.path) as opened:
            raw = opened.read()
        if len(raw) != file.size:
            raise DecodeError(
                "the file changed while it was read",
                where=self.where(file),
                fix="have files written under another name, and renamed when they are whole",
            )
        if file.gzip:
            return lambda: pa.CompressedInputStream(pa.BufferReader(raw), "gzip")
        return lambda: io.BytesIO(raw)


def _plain(values: pa.Array) -> pa.Array:
    """Types that DuckDB lacks, as text."""
    return values.cast(pa.string()) if pa.types.is_decimal256(values.type) else values
