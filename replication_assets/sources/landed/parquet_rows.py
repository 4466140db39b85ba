"""Rows of a Parquet file, with the types that DMS wrote. A file without its end is torn, and told so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from replication_assets.core.landed.events import LandedRows
from replication_assets.core.landed.names import LandedFile
from replication_assets.errors import DecodeError
from replication_assets.sources.landed.csv_rows import OP
from replication_assets.sources.landed.layout import FileLayout

BATCH_ROWS = 50_000


def parquet_rows(opened: IO[bytes], file: LandedFile, layout: FileLayout, where: str) -> Iterator[LandedRows]:
    """Rows of a file of one table, some at a time.

    Raises:
        DecodeError: the file is torn.
    """
    assert file.table is not None
    number = 0
    try:
        for batch in pq.ParquetFile(opened).iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            yield _rows(batch, number, file, layout, where)
            number += batch.num_rows
    except (pa.ArrowException, OSError):
        # Its text may quote what a page holds.
        raise DecodeError(
            "the file is torn: it is no whole Parquet file",
            where=where,
            fix="have it written again; the capture goes on from it, and nothing after it was read",
        ) from None


def parquet_schema(opened: IO[bytes], where: str) -> pa.Schema:
    """Its columns. Raises as `parquet_rows`."""
    try:
        return pq.ParquetFile(opened).schema_arrow
    except (pa.ArrowException, OSError):
        raise DecodeError("the file is torn: it is no whole Parquet file", where=where) from None


def _rows(batch: pa.RecordBatch, number: int, file: LandedFile, layout: FileLayout, where: str) -> LandedRows:
    assert file.table is not None
    count, names = batch.num_rows, batch.schema.names
    ops = batch.column(OP).cast(pa.string()) if OP in names else pa.repeat(pa.scalar("I"), count)
    if not pc.all(pc.fill_null(pc.is_in(ops, pa.array(["I", "U", "D"])), False), min_count=0).as_py():
        raise DecodeError(f"its column {OP!r} has another letter than I, U and D", where=where)
    stamp = layout.timestamp_column
    at = _stamps(batch.column(stamp), where) if stamp is not None and stamp in names else None
    values = {name: batch.column(name) for name in names if name not in (OP, stamp)}
    return LandedRows(file.table, np.arange(number, number + count), ops, at, values)


def _stamps(values: pa.Array, where: str) -> pa.TimestampArray:
    """Commit times in UTC: DMS writes them as text, or as times without a zone."""
    try:
        if not pa.types.is_timestamp(values.type):
            values = values.cast(pa.string()).cast(pa.timestamp("us"))
        return (
            values.cast(pa.timestamp("us", tz=values.type.tz))
            .cast(pa.int64())
            .cast(pa.timestamp("us", tz="UTC"))
        )
    except pa.ArrowInvalid:
        raise DecodeError("its timestamp column has a value that is no time", where=where) from None
