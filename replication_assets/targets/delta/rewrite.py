"""A range's files after some changes: what is written anew, what is left alone.

Only files that hold a touched row are rewritten, and now and then the small ones together,
so that the cost of a change follows what it touches and the number of files stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import COMMIT_POSITION, EPOCH, OVERFLOW, POSITION
from replication_assets.core.positions import INT32_MAX, INT64_MAX
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import Spill
from replication_assets.core.unchanged import fill_unchanged, is_partial, refuse_without_stored_row
from replication_assets.errors import TargetError
from replication_assets.targets.delta.location import Location
from replication_assets.targets.delta.matching import Matches, Numbers, match_content, match_keys
from replication_assets.targets.delta.parts import BATCH_ROWS, KeySpan, RangeWriter, scan
from replication_assets.targets.delta.snapshot import DataFile, Newest

SMALL_BYTES = 32 << 20
SMALL_FILES = 16
"""Files below `SMALL_BYTES` that a range may have; beyond, a commit merges them all."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The files of one range and where its new ones go. Methods return the files to remove."""

    location: Location
    id_range: str
    schema: TableSchema
    files: tuple[DataFile, ...]
    columns: tuple[str, ...]
    writer: RangeWriter
    spill: Spill

    @property
    def where(self) -> str:
        return self.location.where(self.id_range)

    def append(self, upserts: pa.Table) -> set[str]:
        """Add rows and look at none."""
        merged = crowded(self.files)
        self._copy(merged)
        self._write(upserts)
        return {file.path for file in merged}

    def replace_keys(self, upserts: pa.Table, deletes: pa.Table) -> set[str]:
        """Rows of changed keys go, upserts come. A change no newer than the stored row is dropped."""
        key = self.schema.key
        identity = [*key, *POSITION]
        changes = pa.concat_tables([upserts.select(identity), deletes.select(identity)])
        stored_keys = scan(self.location, self.files, identity, self._span(changes))
        matches = match_keys(changes, stored_keys, key, self.spill, self.where)
        if len(np.unique(matches.change)) < len(matches.change):
            raise TargetError("the range holds a key twice", where=self.where, fix="replace the range")
        kept = np.ones(changes.num_rows, np.bool_)
        kept[matches.stale] = False
        kept = kept[: upserts.num_rows]
        found = np.zeros(changes.num_rows, np.bool_)
        found[matches.change] = True
        partial = is_partial(upserts) & kept
        refuse_without_stored_row(
            upserts.filter(pa.array(partial)), found[: upserts.num_rows][partial], self.where
        )
        wanted = np.zeros(changes.num_rows, np.bool_)
        wanted[: upserts.num_rows] = partial
        removed, stored, owners = self._take_out(matches, wanted)
        self._write(upserts.filter(pa.array(kept & ~partial)))
        if stored is not None:
            self._write(fill_unchanged(upserts.take(pa.array(owners)), stored, self.schema))
        return removed

    def replace_whatever_is_there(self, rows: pa.Table, gone: pa.Table) -> set[str]:
        """Rows of all given keys go, however new and however many; `rows` come."""
        key = self.schema.key
        changes = pa.concat_tables([rows.select(key), gone.select(key)])
        for name, beyond in zip(POSITION, (INT32_MAX, INT64_MAX, INT64_MAX), strict=True):
            at = pa.repeat(pa.scalar(beyond, rows.schema.field(name).type), changes.num_rows)
            changes = changes.append_column(rows.schema.field(name), at)
        stored_keys = scan(self.location, self.files, [*key, *POSITION], self._span(changes))
        matches = match_keys(changes, stored_keys, key, self.spill, self.where)
        removed, _, _ = self._take_out(matches, np.zeros(changes.num_rows, np.bool_))
        self._write(rows)
        return removed

    def replace_content(self, upserts: pa.Table, deletes: pa.Table) -> set[str]:
        """Each delete takes one equal row away, of the new ones first."""
        none = np.zeros(upserts.num_rows, np.bool_)
        partial = is_partial(upserts)
        refuse_without_stored_row(upserts.filter(pa.array(partial)), none[partial], self.where)
        if deletes.num_rows == 0:
            return self.append(upserts)
        content = [*self.schema.names, OVERFLOW]
        # The new rows are "file" 0: a row that came and went costs no rewrite.
        new = ((0, first, batch) for first, batch in _numbered(upserts))
        stored = ((n + 1, first, batch) for n, first, batch in scan(self.location, self.files, content))
        matches = match_content(deletes, chain(new, stored), self.schema, self.spill, self.where)
        gone, _ = matches.rows_of(0)
        left = ~none
        left[gone] = False
        of_files = matches.file > 0
        moved = Matches(
            matches.file[of_files] - 1, matches.row[of_files], matches.change[of_files], matches.stale
        )
        removed, _, _ = self._take_out(moved, np.zeros(deletes.num_rows, np.bool_))
        self._write(upserts.filter(pa.array(left)))
        return removed

    def _span(self, changes: pa.Table) -> KeySpan | None:
        """Where the changed keys lie, if they are integers."""
        column = self.schema.key[0]
        first = changes[column]
        if not pa.types.is_integer(first.type) or first.null_count or changes.num_rows == 0:
            return None
        bounds = pc.min_max(first)
        return KeySpan(column, bounds["min"].as_py(), bounds["max"].as_py())

    def _take_out(
        self, matches: Matches, wanted: np.typing.NDArray[np.bool_]
    ) -> tuple[set[str], pa.Table | None, Numbers]:
        """Copy the touched files but for the matched rows.

        Returns the paths of all files copied, and the matched rows whose change is `wanted`
        with the number of that change.
        """
        touched = [int(n) for n in np.unique(matches.file)]
        rewritten = {self.files[n].path for n in touched}
        merged = crowded([file for file in self.files if file.path not in rewritten])
        taken: list[pa.RecordBatch] = []
        owners: list[Numbers] = [np.empty(0, np.int64)]
        for n in touched:
            rows, changes = matches.rows_of(n)
            for _, first, batch in scan(self.location, [self.files[n]], self.columns):
                low, high = np.searchsorted(rows, [first, first + batch.num_rows])
                gone, by = rows[low:high] - first, changes[low:high]
                stays = np.ones(batch.num_rows, np.bool_)
                stays[gone] = False
                self.writer.write(batch.filter(pa.array(stays)) if len(gone) else batch)
                if wanted[by].any():
                    taken.append(batch.take(pa.array(gone[wanted[by]])))
                    owners.append(by[wanted[by]])
        self._copy(merged)
        stored = (
            pa.concat_tables([pa.Table.from_batches([b]) for b in taken], promote_options="default")
            if taken
            else None
        )
        return rewritten | {file.path for file in merged}, stored, np.concatenate(owners)

    def _copy(self, files: Sequence[DataFile]) -> None:
        for _, _, batch in scan(self.location, files, self.columns):
            self.writer.write(batch)

    def _write(self, rows: pa.Table) -> None:
        for batch in rows.to_batches(BATCH_ROWS):
            self.writer.write(batch)


def crowded(files: Sequence[DataFile]) -> list[DataFile]:
    """The small files, where adding one more would make them too many; else none."""
    small = [file for file in files if file.size < SMALL_BYTES]
    return small if len(small) >= SMALL_FILES else []


def may_be_appended(newest: Newest, upserts: pa.Table) -> bool:
    """Whether every upsert is newer than every stored row, none of which is beyond `newest`.

    An insert as old as a stored row may be that very row, come a second time.
    """
    if upserts.num_rows == 0:
        return True
    oldest = (pc.min(upserts[EPOCH]).as_py(), pc.min(upserts[COMMIT_POSITION]).as_py())
    return bool(newest < oldest)


def _numbered(table: pa.Table) -> Iterator[tuple[int, pa.RecordBatch]]:
    first = 0
    for batch in table.to_batches(BATCH_ROWS):
        yield first, batch
        first += batch.num_rows
