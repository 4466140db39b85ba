"""Facts that are told line by line, in a Delta table of their own: cutovers, structures, audits.

The app transaction `facts` counts the lines, which makes two recorders from one state conflict:
the one that comes second has not seen what the first did, and must not act on it. Lines are few,
so they are never compacted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Transaction

from replication_assets.core.events import COMMIT_POSITION, EPOCH, SEQUENCE
from replication_assets.errors import CommitConflict, StoreCorrupt, StoreError
from replication_assets.event_store.commit import commit
from replication_assets.event_store.files import ActiveFile, active_files
from replication_assets.event_store.kept_table import KeptTable
from replication_assets.event_store.parts import PartWriter
from replication_assets.event_store.storage import Place

FACTS = "facts"
UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

NUMBER = (
    # Named as a log's position columns, whose bounds every file states; the third is the number
    # of the line, from 1, the others are constant.
    pa.field(EPOCH, pa.int32()),
    pa.field(COMMIT_POSITION, pa.int64()),
    pa.field(SEQUENCE, pa.int64()),
)


class NumberedLines:
    """The lines at `place`, in a `schema` that begins with `NUMBER`. One thread."""

    def __init__(self, place: Place, schema: pa.Schema) -> None:
        self._place = place
        self._schema = schema
        self._kept = KeptTable(place, self._schema)

    def count(self) -> int:
        """How many lines there are now."""
        table = self._kept.newest()
        return _count(table) if table is not None else 0

    def read(self, after: int = 0) -> list[dict[str, Any]]:
        """Lines with a greater number than `after`, oldest first.

        Raises:
            StoreCorrupt: they are not as many as were told.
        """
        table = self._kept.newest()
        if table is None:
            return []
        with self._place.errors():
            files = [file for file in active_files(table) if file.high.sequence > after]
            rows: list[dict[str, Any]] = self._lines(files).sort_by(SEQUENCE).to_pylist()
        # A file that was compacted holds older ones too.
        lines = [line for line in rows if line[SEQUENCE] > after]
        if [line[SEQUENCE] for line in lines] != list(range(after + 1, _count(table) + 1)):
            raise StoreCorrupt(
                f"{_count(table)} lines were told, and others are there",
                where=self._place.where,
                fix="find out who wrote to the table; restore its folder from a copy",
            )
        return lines

    def append(self, values: Sequence[object], after: int) -> None:
        """Tell the line after number `after`: a value for each field after `NUMBER`.

        Raises:
            CommitConflict: somebody else told it meanwhile.
        """
        if any(isinstance(value, dt.datetime) and value.tzinfo is None for value in values):
            raise StoreError("a time has no zone", where=self._place.where, fix="give an aware datetime")
        table = self._kept.ensure()
        if _count(table) != after:
            raise self._conflict()
        with self._place.errors():
            files = self._place.filesystem()
            part = PartWriter(self._place, files, (), self._schema)
            part.write(self._row([0, 0, after + 1, *values]))
            written = part.finish()
        counted = [Transaction(FACTS, after + 1)]
        try:
            commit(self._place, table, [written.added()], counted, lambda newest: _count(newest) == after)
        except CommitConflict as exc:
            with self._place.errors():
                files.delete_file(written.path)
            raise self._conflict() from exc

    def _lines(self, files: Sequence[ActiveFile]) -> pa.Table:
        # File by file in this thread. A command that ends at once after a read in Arrow's own
        # threads can abort in one that has yet to let go of a file.
        filesystem = self._place.reading({file.path: file.size for file in files})
        parts = []
        for each in files:
            with filesystem.open_input_file(each.path) as file:
                parts.append(pq.ParquetFile(file).read(use_threads=False).cast(self._schema))
        return pa.concat_tables(parts) if parts else self._schema.empty_table()

    def _row(self, values: Sequence[object]) -> pa.Table:
        arrays = [pa.array([value], column.type) for value, column in zip(values, self._schema, strict=True)]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _conflict(self) -> CommitConflict:
        return CommitConflict(
            "somebody else told the next line meanwhile",
            where=self._place.where,
            fix="read it, and decide again",
        )


def _count(table: DeltaTable) -> int:
    return table.transaction_version(FACTS) or 0
