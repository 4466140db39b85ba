"""Rows by their number in a scan: found by a few narrow columns, fetched whole afterwards.

A scan of the same files gives the same rows in the same order, so the number of a row is its
address. Whoever chooses among many wide rows reads the columns that decide, and then only the
pieces that hold chosen rows; the others are never decoded. Fetched rows go from file to consumer
within Arrow, so that no value can change on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from replication_assets.core.datasets import BATCH_ROWS, pieces, remembered
from replication_assets.errors import StoreCorrupt

NUMBER = "~number"
Numbers = npt.NDArray[np.int64]

NARROW_ROWS = 65_536
"""Rows of a batch of a few narrow columns."""


class NumberedRows:
    """The rows of a dataset, but for those of files and row groups that `wanted` rules out.

    `wanted` chooses pieces, never rows: what is not wanted can still be among them.
    """

    def __init__(self, rows: ds.Dataset, wanted: pc.Expression | None, where: str) -> None:
        self._rows = rows
        self._wanted = wanted
        self._where = where
        self._ends: list[int] = []
        """Numbers at which pieces end, known once they were read."""

    def reader(self, columns: Sequence[str]) -> pa.RecordBatchReader:
        """All rows: these columns and the `NUMBER`, for an engine to choose by."""
        fields = [pa.field(name, self._rows.schema.field(name).type) for name in columns]
        schema = pa.schema([*fields, pa.field(NUMBER, pa.int64())])
        return pa.RecordBatchReader.from_batches(schema, remembered(self._numbered(columns, schema)))

    def fetch(
        self, chosen: Callable[[int, int], Numbers], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """Rows whose numbers `chosen(first, end)` names, each once. A reader was read to its end before.

        Raises:
            StoreCorrupt: a file holds other rows than it did.
        """
        first = 0
        for end, piece in zip(self._ends, pieces(self._rows, self._wanted), strict=True):
            numbers = np.sort(chosen(first, end)) - first
            if len(numbers):
                yield from self._taken(piece, columns, numbers, end - first)
            first = end

    def _numbered(self, columns: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        number, ends = 0, []
        for piece in pieces(self._rows, self._wanted):
            for batch in piece.scanner(columns=list(columns), batch_size=NARROW_ROWS).to_batches():
                numbers = pa.array(np.arange(number, number + batch.num_rows))
                yield pa.RecordBatch.from_arrays([*batch.columns, numbers], schema=schema)
                number += batch.num_rows
            ends.append(number)
        self._ends = ends

    def _taken(
        self, piece: ds.Dataset, columns: Sequence[str], numbers: Numbers, count: int
    ) -> Iterator[pa.RecordBatch]:
        first = 0
        for batch in piece.scanner(columns=list(columns), batch_size=BATCH_ROWS).to_batches():
            low, high = np.searchsorted(numbers, [first, first + batch.num_rows])
            if high - low == batch.num_rows:
                yield batch
            elif high > low:
                yield batch.take(pa.array(numbers[low:high] - first))
            first += batch.num_rows
        if first != count:
            raise StoreCorrupt(
                f"files held {count} rows when they were looked through and {first} when they were read",
                where=self._where,
                fix="somebody writes into files of the log, which never change: restore them from a copy",
            )
