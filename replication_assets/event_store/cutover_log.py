"""The record of a cutover: one line for each step, in a Delta table of its own.

The app transaction `facts` counts the lines, which makes two recorders from one state conflict:
the one that comes second has not seen what the first did, and must not act on it. Lines are
few, one per step of an attempt, so they are never compacted.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Transaction

from replication_assets.core.cutover import CutoverFact, CutoverHistory
from replication_assets.core.events import COMMIT_POSITION, EPOCH, SEQUENCE
from replication_assets.errors import CommitConflict, StoreError
from replication_assets.event_store.commit import commit
from replication_assets.event_store.files import active_files
from replication_assets.event_store.kept_table import KeptTable
from replication_assets.event_store.parts import PartWriter
from replication_assets.event_store.storage import Place

FACTS = "facts"

SCHEMA = pa.schema(
    [
        # Named as a log's position columns, whose bounds every file states; the third is the
        # number of the line, the others are constant.
        pa.field(EPOCH, pa.int32()),
        pa.field(COMMIT_POSITION, pa.int64()),
        pa.field(SEQUENCE, pa.int64()),
        pa.field("attempt", pa.string()),
        pa.field("step", pa.string()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("body", pa.string()),
    ]
)


class DeltaCutoverLog:
    """See `ports.CutoverLog`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __repr__(self) -> str:
        return f"DeltaCutoverLog({self._place.uri!r})"

    def history(self) -> CutoverHistory:
        if not self._place.exists():
            return CutoverHistory()
        table = self._place.open()
        files = active_files(table)
        with self._place.errors():
            lines = self._lines({file.path: file.size for file in files})
        return CutoverHistory(
            tuple(
                CutoverFact(row["attempt"], row["step"], row["at"], row["body"])
                for row in lines.sort_by(SEQUENCE).to_pylist()
            )
        )

    def _lines(self, sizes: dict[str, int]) -> pa.Table:
        # File by file in this thread. A command that ends at once after a read in Arrow's own
        # threads can abort in one that has yet to let go of a file.
        filesystem = self._place.reading(sizes)
        parts = []
        for path in sizes:
            with filesystem.open_input_file(path) as file:
                parts.append(pq.ParquetFile(file).read(use_threads=False).cast(SCHEMA))
        return pa.concat_tables(parts) if parts else SCHEMA.empty_table()

    def append(self, fact: CutoverFact, after: int) -> None:
        if fact.at.tzinfo is None:
            raise StoreError("a time has no zone", where=self._place.where, fix="give an aware datetime")
        table = KeptTable(self._place, SCHEMA).ensure()
        if _count(table) != after:
            raise self._conflict()
        with self._place.errors():
            files = self._place.filesystem()
            part = PartWriter(self._place, files, (), SCHEMA)
            part.write(_row(fact, after + 1))
            written = part.finish()
        counted = [Transaction(FACTS, after + 1)]
        try:
            commit(self._place, table, [written.added()], counted, lambda newest: _count(newest) == after)
        except CommitConflict as exc:
            with self._place.errors():
                files.delete_file(written.path)
            raise self._conflict() from exc

    def _conflict(self) -> CommitConflict:
        return CommitConflict(
            "somebody else runs this cutover, or took its next step meanwhile",
            where=self._place.where,
            fix="look at its status, and start again if it is still wanted",
        )


def _count(table: DeltaTable) -> int:
    return table.transaction_version(FACTS) or 0


def _row(fact: CutoverFact, number: int) -> pa.Table:
    values = [0, 0, number, fact.attempt, fact.step, fact.at, fact.body]
    arrays = [pa.array([value], column.type) for value, column in zip(values, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
