"""Arrow datasets over files that are opened by Python code, made safe to read from an engine.

`Scanner.to_reader` of pyarrow (26 and before) starts the scan while it holds the interpreter's
lock. The scan's own threads then open files; where that is Python code (a `PyFileSystem`, as
delta-rs's storage is), they wait for that lock with one of Arrow's mutexes in hand that
`to_reader` waits for: a deadlock, seen with a dozen small files. `Scanner.to_batches` starts
the scan without the lock and reads the same batches, so the reader is made from it.

An engine turns an error of the scan into words of its own. Errors of the project are remembered,
so that they can be told from those words (`met`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from replication_assets.errors import ReplicationError

_MET: deque[ReplicationError] = deque(maxlen=32)


def met(words: str) -> ReplicationError | None:
    """The error of a scan that an engine speaks of, if it is one of the project's."""
    return next((error for error in reversed(_MET) if str(error) in words), None)


class SafeDataset(ds.FileSystemDataset):  # type: ignore[misc]
    """A dataset whose scanners can be read by DuckDB, Polars and others without a deadlock."""

    @classmethod
    def of(cls, dataset: ds.FileSystemDataset) -> SafeDataset:
        """The same files with the same guarantees."""
        return cls(list(dataset.get_fragments()), dataset.schema, dataset.format, dataset.filesystem)

    def scanner(self, *arguments: Any, **options: Any) -> Any:
        """As in pyarrow; the result has a `to_reader` that starts without the lock."""
        return _Scanner(super().scanner(*arguments, **options))


class _Scanner:
    """A `pyarrow.dataset.Scanner` in all but `to_reader`. The class is closed to inheritance."""

    def __init__(self, scanner: ds.Scanner) -> None:
        self._scanner = scanner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scanner, name)

    def to_reader(self) -> pa.RecordBatchReader:
        schema = self._scanner.projected_schema
        return pa.RecordBatchReader.from_batches(schema, _remembered(self._scanner.to_batches()))


def _remembered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except ReplicationError as error:
        _MET.append(error)
        raise
