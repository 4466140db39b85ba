"""What one version of the table says of one id range: its files and its checkpoint.

The checkpoint is a set of registers, app transactions of the very commit that changed the
data. Two of them speak of the data itself: `rows`, how many the range holds, and `files`, a
fingerprint of the names of its files. An emptied, restored or edited range no longer agrees
with them, also where the edit kept the number of rows; another tool's OPTIMIZE counts as an
edit, as its rows cannot be told from edited ones without reading everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from itertools import starmap
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.transaction import Transaction

from replication_assets.core.events import ID_RANGE
from replication_assets.core.positions import Position
from replication_assets.errors import TargetError
from replication_assets.ports import RangeCheckpoint
from replication_assets.targets.delta.location import Location, storage_errors


@dataclass(frozen=True, slots=True)
class DataFile:
    """An active file of a range."""

    path: str
    size: int
    rows: int


Newest = tuple[int, int]
"""An (epoch, commit) that no row's is greater than."""


def fingerprint(files: Iterable[DataFile]) -> int:
    """63 bits that change with the set of file names."""
    names = "\n".join(sorted(file.path for file in files))
    return int.from_bytes(hashlib.blake2b(names.encode(), digest_size=8).digest()) >> 1


@dataclass(frozen=True, slots=True)
class Registers:
    """The int64 registers of one range, named as the fields are.

    `newest_epoch` and `newest_commit` bound the positions of the rows; those of a load can be
    beyond the checkpoint, which is how far the changes are applied.
    """

    baseline: int
    epoch: int
    commit: int
    sequence: int
    rows: int
    files: int
    newest_epoch: int
    newest_commit: int

    @classmethod
    def of(cls, checkpoint: RangeCheckpoint, files: Iterable[DataFile], newest: Newest) -> Registers:
        at = checkpoint.position
        names = fingerprint(files)
        return cls(checkpoint.baseline, at.epoch, at.commit, at.sequence, checkpoint.rows, names, *newest)

    @property
    def newest(self) -> Newest:
        return self.newest_epoch, self.newest_commit

    @classmethod
    def read(cls, table: DeltaTable, id_range: str) -> Registers | None:
        found = []
        for register in fields(cls):
            value = table.transaction_version(f"{register.name}/{id_range}")
            if value is None:
                return None
            found.append(value)
        return cls(*found)

    def transactions(self, id_range: str) -> list[Transaction]:
        names = (register.name for register in fields(self))
        return [Transaction(f"{n}/{id_range}", v) for n, v in zip(names, astuple(self), strict=True)]

    def checkpoint(self) -> RangeCheckpoint:
        return RangeCheckpoint(self.baseline, Position(self.epoch, self.commit, self.sequence), self.rows)


@dataclass(frozen=True, slots=True)
class RangeSnapshot:
    """One range in one version of the table."""

    registers: Registers | None
    files: tuple[DataFile, ...]

    def checkpoint(self) -> RangeCheckpoint | None:
        """None if the range was never filled, or its files are not those that were committed."""
        if self.registers is None or self.registers.files != fingerprint(self.files):
            return None
        if self.registers.rows != sum(file.rows for file in self.files):
            return None
        return self.registers.checkpoint()


def read_range(location: Location, table: DeltaTable, id_range: str) -> RangeSnapshot:
    """The range in this version. Raises TargetError if the table is not one of ours."""
    with storage_errors(location.where(id_range), "reading the log"):
        if table.metadata().partition_columns != [ID_RANGE]:
            raise TargetError(
                f"the table there is not partitioned by {ID_RANGE} alone, so it is no projection of ours",
                where=location.where(),
                fix="choose another root, or remove that table",
            )
        return RangeSnapshot(Registers.read(table, id_range), active_files(table, id_range))


def active_files(table: DeltaTable, id_range: str) -> tuple[DataFile, ...]:
    actions = pa.table(table.get_add_actions(flatten=True))
    if actions.num_rows == 0:
        return ()
    own = actions.filter(pc.equal(actions[f"partition.{ID_RANGE}"], id_range))
    # A file without a row count is not ours; -1 makes the sum disagree.
    counts = pc.fill_null(own["num_records"], -1)
    columns = (own["path"], own["size_bytes"], counts)
    return tuple(starmap(DataFile, zip(*(column.to_pylist() for column in columns), strict=True)))


def has_deletion_vectors(table: DeltaTable) -> bool:
    """Whether another writer marked rows deleted without rewriting their file. Rows hidden
    that way do not show in names or counts of files."""
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return False
    try:
        return bool(pa.table(table.deletion_vectors()).num_rows)
    except DeltaError:
        # Its file cannot be read: there is one, which is all that is asked.
        return True


def files_are_there(location: Location, files: Iterable[DataFile], id_range: str) -> bool:
    """Whether each file exists with the size that the log states. One listing per folder."""
    wanted = {file.path: file.size for file in files}
    with storage_errors(location.where(id_range), "listing files"):
        for folder in {str(PurePosixPath(path).parent) for path in wanted}:
            for info in location.files.get_file_info(pa_fs.FileSelector(folder, allow_not_found=True)):
                if wanted.get(info.path) == info.size:
                    del wanted[info.path]
    return not wanted
