"""`DeltaTarget`: one table of a projection, kept in a Delta table partitioned by id range.

Owns the order of things: read the range, write files, commit them with the checkpoint, or
leave nothing. Refuses to change a range that is not what its checkpoint speaks of; such a
range is filled anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pa_fs
from deltalake import DeltaTable

from replication_assets.core.arriving import after, require_changes, require_columns
from replication_assets.core.changes import RangeChanges
from replication_assets.core.datasets import SafeDataset
from replication_assets.core.events import ID_RANGE, UNCHANGED
from replication_assets.core.fold import row_schema
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.sql import Spill
from replication_assets.errors import TargetError
from replication_assets.ports import RangeCheckpoint, Refuse, TargetNeeds, refuse_loudly
from replication_assets.targets.delta.columns import (
    ensure_table,
    file_columns,
    overwrite,
    refuse_colliding,
    table_columns,
)
from replication_assets.targets.delta.commit import RangeCommit, commit, moved
from replication_assets.targets.delta.damage import read_rows
from replication_assets.targets.delta.location import locate, storage_errors
from replication_assets.targets.delta.parts import RangeWriter
from replication_assets.targets.delta.rewrite import Rewrite, may_be_appended
from replication_assets.targets.delta.snapshot import (
    RangeSnapshot,
    Registers,
    files_are_there,
    has_deletion_vectors,
    read_range,
)
from replication_assets.targets.delta.view import DeltaView, image

KEEP_REPLACED = dt.timedelta(days=7)
"""Age at which replaced files go: readers of older versions have that long to finish."""


class DeltaTarget:
    """A `ProjectionTarget` on the Delta table at `<root>/<called.folder>`, else `<root>/<table.folder>`.

    Processes may work on different ranges at once. Of two on one range, one wins and the
    other raises CommitConflict and leaves no files.
    """

    def __init__(
        self,
        root: str,
        table: TableId,
        storage_options: Mapping[str, str] | None = None,
        *,
        called: TableId | None = None,
        spill: Spill | None = None,
    ) -> None:
        self._location = locate(root, table, storage_options, called)
        self._spill = spill or Spill()

    def __repr__(self) -> str:
        return f"DeltaTarget({self._location.uri!r})"

    # --- the port ---

    @property
    def needs(self) -> TargetNeeds:
        """Nothing: values that did not change are copied from the rows that have them. And
        nothing is refused: every stored type is one that Delta has."""
        return TargetNeeds()

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        """As the port says. Edits of any kind show, by the names, sizes and counts of files."""
        if (table := self._location.open_own()) is None:
            return None
        snapshot = read_range(self._location, table, id_range)
        checkpoint = snapshot.checkpoint()
        if checkpoint is None or has_deletion_vectors(table):
            return None
        return checkpoint if files_are_there(self._location, snapshot.files, id_range) else None

    def replace(
        self,
        id_range: str,
        schema: TableSchema,
        rows: Iterable[pa.RecordBatch],
        baseline: int,
        position: Position,
        *,
        refuse: Refuse = refuse_loudly,  # noqa: ARG002
    ) -> RangeCheckpoint:
        """As the port says. Rows are streamed; files of other ranges are not touched."""
        table = ensure_table(self._location, schema)
        if has_deletion_vectors(table):
            raise TargetError(
                "another writer put deletion vectors on the table, which cannot be replaced range by range",
                where=self._location.where(id_range),
                fix="reset the projection and fill every range: replication-assets project --reset",
            )
        before = read_range(self._location, table, id_range)
        wanted = row_schema(schema).names
        with self._writer(table, id_range) as writer:
            for batch in rows:
                require_columns(self._location.where(id_range), batch.schema.names, wanted)
                writer.write(batch)
            added = writer.finish()
            checkpoint = RangeCheckpoint(baseline, position, sum(file.rows for file in added))
            intended = Registers.of(checkpoint, added, writer.newest())
            change = RangeCommit(id_range, before.registers, intended, added, lambda _: True)
            commit(self._location, table, change)
        return checkpoint

    def apply(
        self,
        id_range: str,
        schema: TableSchema,
        changes: RangeChanges,
        baseline: int,
        position: Position,
        *,
        refuse: Refuse = refuse_loudly,  # noqa: ARG002
    ) -> RangeCheckpoint:
        """As the port says.

        Changes at or before the checkpoint are in the range already and are passed over, so
        that overlapping changes are safe also for a table without key.

        Raises:
            TargetError: the range has no valid checkpoint of this baseline.
            NeedsReload: a change needs a stored row that is not there.
        """
        table, before = self._require_filled(id_range)
        reached, registers = self._require_checkpoint(id_range, before, baseline)
        if position <= reached.position:
            return reached
        require_changes(self._location.where(id_range), schema, changes, position)
        table = ensure_table(self._location, schema, table)
        upserts, deletes = (after(rows, reached.position) for rows in (changes.upserts, changes.deletes))
        appends = changes.insert_only and may_be_appended(registers.newest, upserts)
        with self._writer(table, id_range) as writer:
            columns = tuple(file_columns(table).names)
            rewrite = Rewrite(self._location, id_range, schema, before.files, columns, writer, self._spill)
            removed = _rewritten(rewrite, upserts, deletes, appends)
            to = RangeCheckpoint(baseline, position, 0)
            return self._commit(table, id_range, before, registers, to, writer, removed)

    def figures(self) -> Mapping[str, float]:
        """Nothing: a commit is one write."""
        return {}

    def identity(self, schema: TableSchema) -> tuple[str, ...]:
        return schema.key

    def image(self, schema: TableSchema, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return image(schema, rows)

    def identities(self, schema: TableSchema, rows: pa.RecordBatch) -> pa.RecordBatch:
        return rows.select(list(schema.key))

    def view(self, schema: TableSchema) -> DeltaView:
        """One version of the table, whoever wrote it."""
        return DeltaView(self._location, self._location.open_own(), schema)

    def repair(
        self,
        id_range: str,
        schema: TableSchema,
        rows: pa.Table,
        gone: pa.Table,
        checkpoint: RangeCheckpoint,
        *,
        refuse: Refuse = refuse_loudly,  # noqa: ARG002
    ) -> None:
        """As the port says, in one commit. A range that somebody edited is not repaired row by
        row: its checkpoint says nothing of rows that nobody compared."""
        if not schema.key:
            raise TargetError(
                "rows without a key cannot be told apart",
                where=self._location.where(id_range),
                fix="replace the range",
            )
        table, before = self._require_filled(id_range)
        reached, registers = self._require_checkpoint(id_range, before, checkpoint.baseline)
        if reached.position != checkpoint.position:
            raise moved(self._location, id_range)
        require_columns(self._location.where(id_range), rows.column_names, row_schema(schema).names)
        table = ensure_table(self._location, schema, table)
        with self._writer(table, id_range) as writer:
            columns = tuple(file_columns(table).names)
            rewrite = Rewrite(self._location, id_range, schema, before.files, columns, writer, self._spill)
            removed = rewrite.replace_whatever_is_there(rows, gone)
            self._commit(table, id_range, before, registers, reached, writer, removed)

    # --- readers and upkeep ---

    def dataset(self) -> ds.Dataset:
        """The current version, for Arrow and DuckDB. Raises TargetError if there is no table."""
        table = self._require_table()
        with storage_errors(self._location.where(), "opening the dataset"):
            return SafeDataset.of(table.to_pyarrow_dataset())

    def read(self) -> Iterator[pa.RecordBatch]:
        """See `ports.ProjectionTarget`: one version of the table, batch by batch."""
        yield from read_rows(self._location, self._require_table())

    def rows(self, id_range: str | None = None) -> pa.Table:
        """Rows of one range or all, in memory, without the partition column."""
        dataset = self.dataset()
        columns = [name for name in dataset.schema.names if name != ID_RANGE]
        chosen = None if id_range is None else pc.field(ID_RANGE) == id_range
        with storage_errors(self._location.where(id_range), "reading rows"):
            return dataset.to_table(columns=columns, filter=chosen)

    def reset(self, schema: TableSchema) -> None:
        """Empty the table and give it the columns of `schema`, in one commit.

        For a retyped column. Every range that had rows then has no checkpoint.
        """
        columns = table_columns(schema)
        refuse_colliding(self._location, columns.names)
        self._location.require_own(self._location.open())
        with storage_errors(self._location.where(), "resetting the table"):
            overwrite(self._location, columns)

    def drop(self) -> None:
        """Delete all files of the table, of all versions. Idempotent."""
        with storage_errors(self._location.where(), "deleting the table"):
            everything = pa_fs.FileSelector("", recursive=True, allow_not_found=True)
            for info in self._location.files.get_file_info(everything):
                if info.is_file:
                    self._location.files.delete_file(info.path)

    def vacuum(self, older_than: dt.timedelta = KEEP_REPLACED) -> int:
        """Delete files that were replaced, or written and never committed, that long ago.

        Files of a `replace` that is still running count as never committed: `older_than`
        must be longer than the longest of them. Returns the number of files deleted, 0 if
        there is no table.
        """
        if (table := self._location.open_own()) is None:
            return 0
        hours = int(older_than.total_seconds() // 3600)
        with storage_errors(self._location.where(), "deleting replaced files"):
            return len(
                table.vacuum(
                    retention_hours=hours, dry_run=False, enforce_retention_duration=False, full=True
                )
            )

    def tidy(self, older_than: dt.timedelta) -> Iterator[str]:
        """As the port says."""
        if deleted := self.vacuum(older_than):
            yield f"{deleted:,} replaced files deleted"

    # --- steps ---

    def _require_table(self) -> DeltaTable:
        table = self._location.open()
        if table is None:
            raise TargetError("there is no table", where=self._location.where(), fix="fill a range first")
        self._location.require_own(table)
        return table

    def _require_filled(self, id_range: str) -> tuple[DeltaTable, RangeSnapshot]:
        table = self._location.open_own()
        if table is None or has_deletion_vectors(table):
            raise self._unfilled(id_range)
        return table, read_range(self._location, table, id_range)

    def _require_checkpoint(
        self, id_range: str, before: RangeSnapshot, baseline: int
    ) -> tuple[RangeCheckpoint, Registers]:
        reached = before.checkpoint()
        if reached is None or before.registers is None:
            raise self._unfilled(id_range)
        if reached.baseline != baseline:
            raise TargetError(
                "the rows of the range start from other loads than the changes do",
                where=self._location.where(id_range),
                fix="replace the range",
            )
        return reached, before.registers

    def _unfilled(self, id_range: str) -> TargetError:
        return TargetError(
            "the range was never filled, or was edited or emptied since",
            where=self._location.where(id_range),
            fix="replace the range",
        )

    def _commit(
        self,
        table: DeltaTable,
        id_range: str,
        before: RangeSnapshot,
        registers: Registers,
        reached: RangeCheckpoint,
        writer: RangeWriter,
        removed: set[str],
    ) -> RangeCheckpoint:
        """Commit what was written in place of `removed` files, with the checkpoint `reached`
        and the rows that there are then."""
        added = writer.finish()
        files = [*(file for file in before.files if file.path not in removed), *added]
        checkpoint = replace(reached, rows=sum(file.rows for file in files))
        newest = max(registers.newest, writer.newest())
        intended = Registers.of(checkpoint, files, newest)
        change = RangeCommit(id_range, registers, intended, added, lambda f: f.path in removed)
        commit(self._location, table, change)
        return checkpoint

    @contextmanager
    def _writer(self, table: DeltaTable, id_range: str) -> Iterator[RangeWriter]:
        """A writer whose files are deleted on any failure, unless a commit refers to them."""
        writer = RangeWriter(self._location, id_range, file_columns(table))
        try:
            yield writer
        except BaseException:
            self._discard(writer, id_range)
            raise

    def _discard(self, writer: RangeWriter, id_range: str) -> None:
        # The answer to a commit may have been lost, so the log is asked which files it has.
        # Where it cannot be read, or they cannot be deleted, they are left for vacuum.
        with suppress(TargetError):
            table = self._location.open()
            active = () if table is None else read_range(self._location, table, id_range).files
            writer.abort(keep={file.path for file in active})


def _rewritten(rewrite: Rewrite, upserts: pa.Table, deletes: pa.Table, appends: bool) -> set[str]:
    if not rewrite.schema.key:
        return rewrite.replace_content(upserts, deletes)
    if appends and deletes.num_rows == 0 and upserts[UNCHANGED].null_count == upserts.num_rows:
        return rewrite.append(upserts)
    return rewrite.replace_keys(upserts, deletes)
