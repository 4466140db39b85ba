"""The ledger of a source: one line for each time that capture became durable everywhere.

A Delta table beside the source's logs. Three app transactions ride on each line: `ledger`
counts the lines, which makes two recorders from one state conflict and lets `last` notice
that somebody else recorded; `ledger/epoch` and `ledger/<epoch>` hold the newest position,
so that the file with the newest line is found without reading history.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable, Transaction

from replication_assets.core.positions import Position
from replication_assets.errors import CommitConflict, StoreError
from replication_assets.event_store.columns import arrow_schema
from replication_assets.event_store.commit import commit
from replication_assets.event_store.compaction import compact
from replication_assets.event_store.files import active_files, dataset
from replication_assets.event_store.kept_table import KeptTable
from replication_assets.event_store.parts import PartWriter
from replication_assets.event_store.storage import Place
from replication_assets.failpoints import reach
from replication_assets.ports import CaptureMark, SourceIdentity

LEDGER = "ledger"
EPOCH_TRANSACTION = "ledger/epoch"

EPOCH = "_epoch"
COMMIT = "_commit_position"
SEQUENCE = "_sequence"
UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        pa.field(EPOCH, pa.int32()),
        pa.field(COMMIT, pa.int64()),
        # The number of the line. Named as a log's third position column, so that the list
        # of files gives its bounds in the same way.
        pa.field(SEQUENCE, pa.int64()),
        pa.field("system_id", pa.string()),
        pa.field("timeline", pa.int64()),
        pa.field("committed_at", UTC_MICROSECONDS),
        pa.field("recorded_at", UTC_MICROSECONDS),
    ]
)
LINES_PER_COMPACTION = 64


@dataclass(frozen=True, slots=True)
class _Head:
    """How many lines there are, and the position of the newest."""

    lines: int
    epoch: int
    commit: int


class DeltaLedger:
    """See `ports.Ledger`. One instance belongs to one capture: it remembers what it saw."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._kept = KeptTable(place, SCHEMA)
        self._seen: _Head | None = None
        self._looked = False

    def __repr__(self) -> str:
        return f"DeltaLedger({self._place.uri!r})"

    def last(self) -> CaptureMark | None:
        table = self._kept.newest()
        head = _head(table) if table is not None else None
        mark = self._line(table, head) if table is not None and head is not None else None
        self._seen, self._looked = head, True
        return mark

    def record(self, mark: CaptureMark) -> None:
        table = self._kept.ensure()
        if not self._looked:
            self._seen, self._looked = _head(table), True
        seen = self._seen
        if _head(table) != seen:
            raise self._conflict()
        self._check(mark, seen)
        line = _Head((seen.lines if seen else 0) + 1, mark.epoch, mark.commit)
        self._commit(table, mark, line, seen)
        self._seen = line
        reach("ledger.written")
        if line.lines % LINES_PER_COMPACTION == 0:
            compact(self._place)

    def position_at(self, time: dt.datetime) -> Position | None:
        if time.tzinfo is None:
            raise StoreError("the time has no zone", where=self._place.where, fix="give an aware datetime")
        table = self._kept.newest()
        if table is None:
            return None
        with self._place.errors():
            at_or_before = pc.field("committed_at") <= pa.scalar(time, UTC_MICROSECONDS)
            lines = self._lines(table).to_table(columns=[EPOCH, COMMIT], filter=at_or_before)
            if not lines.num_rows:
                return None
            epoch = pc.max(lines[EPOCH])
            commits = lines.filter(pc.equal(lines[EPOCH], epoch))[COMMIT]
            return Position(epoch.as_py(), pc.max(commits).as_py()).end_of_commit()

    def compact(self) -> int:
        """Rewrite small files; `record` does so by itself now and then. Returns files removed."""
        return compact(self._place) if self._place.exists() else 0

    def _lines(self, table: DeltaTable) -> ds.Dataset:
        return dataset(self._place, active_files(table), arrow_schema(table))

    def _line(self, table: DeltaTable, head: _Head) -> CaptureMark:
        with self._place.errors():
            newest = [file for file in active_files(table) if file.high.sequence >= head.lines]
            lines = dataset(self._place, newest, arrow_schema(table))
            row = lines.to_table(filter=pc.field(SEQUENCE) == head.lines).to_pylist()[0]
        return CaptureMark(
            row[EPOCH],
            row[COMMIT],
            SourceIdentity(row["system_id"], row["timeline"]),
            row["committed_at"],
            row["recorded_at"],
        )

    def _check(self, mark: CaptureMark, seen: _Head | None) -> None:
        if any(time is not None and time.tzinfo is None for time in (mark.committed_at, mark.recorded_at)):
            fix = "give aware datetimes"
            raise StoreError("a time of the mark has no zone", where=self._place.where, fix=fix)
        if seen is not None and (mark.epoch, mark.commit) < (seen.epoch, seen.commit):
            raise StoreError(
                f"capture cannot go back from {seen.epoch}/{seen.commit} to {mark.epoch}/{mark.commit}",
                where=self._place.where,
                fix="a source whose log starts anew needs a higher epoch",
            )

    def _commit(self, table: DeltaTable, mark: CaptureMark, line: _Head, seen: _Head | None) -> None:
        with self._place.errors():
            files = self._place.filesystem()
            part = PartWriter(self._place, files, (), SCHEMA)
            part.write(_row(mark, line))
            written = part.finish()
        reach("ledger.file_finished")
        moved = [
            Transaction(LEDGER, line.lines),
            Transaction(EPOCH_TRANSACTION, line.epoch),
            Transaction(f"{LEDGER}/{line.epoch}", line.commit),
        ]
        try:
            commit(self._place, table, [written.added()], moved, lambda newest: _head(newest) == seen)
        except CommitConflict as exc:
            with self._place.errors():
                files.delete_file(written.path)
            raise self._conflict() from exc

    def _conflict(self) -> CommitConflict:
        return CommitConflict(
            "another capture recorded how far it came",
            where=self._place.where,
            fix="stop one of the two captures; this one reads the ledger again when it starts anew",
        )


def _head(table: DeltaTable) -> _Head | None:
    lines = table.transaction_version(LEDGER)
    epoch = table.transaction_version(EPOCH_TRANSACTION)
    if lines is None or epoch is None:
        return None
    return _Head(lines, epoch, table.transaction_version(f"{LEDGER}/{epoch}") or 0)


def _row(mark: CaptureMark, line: _Head) -> pa.Table:
    values = [
        mark.epoch,
        mark.commit,
        line.lines,
        mark.identity.system_id,
        mark.identity.timeline,
        mark.committed_at,
        mark.recorded_at,
    ]
    arrays = [pa.array([value], column.type) for value, column in zip(values, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
