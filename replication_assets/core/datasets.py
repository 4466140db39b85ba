"""Arrow datasets over files that are opened by Python code, made safe to read from an engine.

`Scanner.to_reader` of pyarrow (26 and before) starts the scan while it holds the interpreter's
lock. The scan's own threads then open files; where that is Python code (a `PyFileSystem`, as
delta-rs's storage is), they wait for that lock with one of Arrow's mutexes in hand that
`to_reader` waits for: a deadlock, seen with a dozen small files. `Scanner.to_batches` starts
the scan without the lock and reads the same batches, so the reader is made from it.

A scan of Arrow's own reads ahead of whoever takes its batches, by hundreds of megabytes of wide
rows. Files that are known to be large are read row group by row group in its stead.

An engine turns an error of the scan into words of its own. Errors of the project are remembered,
so that they can be told from those words (`met`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from replication_assets.errors import ReplicationError

_MET: deque[ReplicationError] = deque(maxlen=32)


def met(words: str) -> ReplicationError | None:
    """The error of a scan that an engine speaks of, if it is one of the project's."""
    return next((error for error in reversed(_MET) if str(error) in words), None)


SCANNED_BYTES = 8 << 20
"""Of files that Arrow scans at once, as they are stored; decoded they are several times as much."""
BATCH_ROWS = 16_384
"""Rows of a batch of a large file."""
LITTLE_AHEAD = {"batch_readahead": 2, "fragment_readahead": 1}
"""Options of a scan that bounds its memory itself, with a batch size that goes with them: Arrow would read
16 batches of 131,072 rows ahead, which was 300 MiB of wide rows."""


class SafeDataset(ds.FileSystemDataset):  # type: ignore[misc]
    """A dataset whose scanners can be read by DuckDB, Polars and others without a deadlock."""

    _sizes: Mapping[str, int] = {}

    @classmethod
    def of(cls, dataset: ds.FileSystemDataset) -> SafeDataset:
        """The same files with the same guarantees."""
        return cls(list(dataset.get_fragments()), dataset.schema, dataset.format, dataset.filesystem)

    def with_sizes(self, sizes: Mapping[str, int]) -> Self:
        """Bytes by path of Parquet files: what is read takes memory for a part of them then."""
        self._sizes = sizes
        return self

    def scanner(self, *arguments: Any, **options: Any) -> Any:
        """As in pyarrow; the result has a `to_reader` that starts without the lock."""
        scanner = super().scanner(*arguments, **options)
        if arguments or sum(self._sizes.values()) <= SCANNED_BYTES:
            return _Scanner(scanner, scanner.to_batches)
        return _Scanner(scanner, lambda: self._in_pieces(options))

    def pieces(self, wanted: pc.Expression | None) -> Iterator[ds.Dataset]:
        """The dataset in parts of bounded size, always in the same order; files and row groups that
        `wanted` rules out are left out."""
        for fragments in self._pieces(wanted):
            yield ds.FileSystemDataset(fragments, self.schema, self.format, self.filesystem)

    def _in_pieces(self, options: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
        options = {"batch_size": BATCH_ROWS, **options}
        for piece in self.pieces(options.get("filter")):
            yield from piece.scanner(**options).to_batches()

    def _pieces(self, wanted: pc.Expression | None) -> Iterator[list[ds.Fragment]]:
        """Small files together, and large ones by their row groups."""
        together: list[ds.Fragment] = []
        size = 0
        for fragment in self.get_fragments(wanted):
            own = self._sizes.get(fragment.path, 0)
            if together and size + own > SCANNED_BYTES:
                yield together
                together, size = [], 0
            if own > SCANNED_BYTES:
                yield from ([group] for group in fragment.split_by_row_group(wanted, self.schema))
            else:
                together.append(fragment)
                size += own
        if together:
            yield together


def pieces(rows: ds.Dataset, wanted: pc.Expression | None) -> Iterator[ds.Dataset]:
    """The pieces of a dataset; one that is in memory anyway is a single one."""
    return rows.pieces(wanted) if isinstance(rows, SafeDataset) else iter([rows])


class _Scanner:
    """A `pyarrow.dataset.Scanner` in all but `to_reader`. The class is closed to inheritance."""

    def __init__(self, scanner: ds.Scanner, batches: Callable[[], Iterator[pa.RecordBatch]]) -> None:
        self._scanner = scanner
        self._batches = batches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scanner, name)

    def to_reader(self) -> pa.RecordBatchReader:
        schema = self._scanner.projected_schema
        return pa.RecordBatchReader.from_batches(schema, remembered(self._batches()))


def remembered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches for an engine: an error of the project on the way is one that `met` knows."""
    try:
        yield from batches
    except ReplicationError as error:
        _MET.append(error)
        raise
