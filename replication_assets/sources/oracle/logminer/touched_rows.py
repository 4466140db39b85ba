"""What one transaction did to a table with large objects: which keys it touched, and how often rows came and
went.

The redo of a row does not carry its large objects, and their pieces do not always say which row they belong
to. So nothing is put together from them: statements tell which keys to look at, and the rows of these keys
are read again as of the SCN of the commit (`rereading`). What is stored of a row is then what a load at that
SCN stores.

Whether there was a row before follows from whether there is one after, and from what came and went between:

    before = after - entered + left

An insert enters its key, a delete leaves it, an update of the key does both, all else does neither. A sum
other than 0 or 1 says that the log and the table disagree, and nothing is told but that a load is needed. So
it is with a key that was changed in place and has no row, unless the transaction took changes of the table
back: what a rollback to a savepoint undid of rows and large objects is not matched one by one, their keys
are looked at all the same.

| before | after | told |
|---|---|---|
| 0 | 1 | `I` with the row as it is after the transaction |
| 1 | 1 | `U` with the row after; in `_before` what it was, unless something was taken back |
| 1 | 0 | `D` with the row before, without its large objects |
| 0 | 0 | nothing |

Each at the last change that put the row there, or else at the last that took it away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.sources.oracle.logminer.images import Misfit, is_told_as
from replication_assets.sources.oracle.logminer.locators import parse_piece
from replication_assets.sources.oracle.logminer.log_rows import (
    DELETE,
    DML,
    INSERT,
    LOB_CODES,
    SELECT_LOB_LOCATOR,
    UPDATE,
)
from replication_assets.sources.oracle.logminer.redo_text import Image, Redo, parse_redo
from replication_assets.sources.oracle.logminer.row_keys import RowKey, key_of
from replication_assets.sources.oracle.logminer.transactions import Change
from replication_assets.sources.oracle.types import is_large

MAX_KEYS = 200_000
"""Of one table and transaction: each takes some hundred bytes of memory."""
_NOT_EXECUTABLE = 2
_CODES = {"I": INSERT, "U": UPDATE, "D": DELETE}
Told: TypeAlias = Literal["I", "U", "D"]


@dataclass(slots=True)
class Touched:
    """What happened at one key. `sequence` is where it is told. `old` is the row before the transaction,
    without
    large objects; None where no statement tells it."""

    sequence: int
    placed: bool = False
    entered: int = 0
    left: int = 0
    old: Image | None = None
    newcomers: set[str] = field(default_factory=set)
    """Addresses of rows that entered: statements about them do not tell what was there before."""


class TouchedRows:
    """Keys of one table that one transaction touched. `taken_back`: it took some of its changes back."""

    def __init__(
        self, table: TableId, schema: TableSchema, *, taken_back: bool, max_keys: int = MAX_KEYS
    ) -> None:
        self._table, self.schema = table, schema
        self.taken_back, self._max_keys = taken_back, max_keys
        self._columns = {column.name: column for column in schema.columns}
        self._large = frozenset(column.name for column in schema.columns if is_large(column))
        self._keys: dict[RowKey, Touched] = {}
        self._located: RowKey | None = None

    def add(self, change: Change, sequence: int) -> None:
        """Take a change in.

        Raises:
            NotUnderstood: its text is not of a known form.
            Misfit: it does not say which row it changed, or is of another definition of the table.
        """
        if change.code in LOB_CODES:
            self._write(change, sequence)
            return
        self._located = None
        if change.code not in DML or change.status == _NOT_EXECUTABLE:
            raise Misfit("LogMiner does not support it, or could not put it together")
        redo = parse_redo(change.redo)
        self._check(redo.new, redo.old)
        if _CODES[redo.operation] != change.code:
            raise Misfit("its text is of another operation")
        self._change(redo, change.row_id, sequence)

    def in_order(self) -> Iterator[tuple[RowKey, Touched]]:
        """Keys by the place at which they are told, those that rows only left first."""
        yield from sorted(self._keys.items(), key=lambda each: (each[1].sequence, each[1].placed))

    def told(self, touched: Touched, after: int) -> Told | None:
        """What is told of a key that has `after` rows as of the commit.

        Raises:
            Misfit: the log and the table disagree.
        """
        before = after - touched.entered + touched.left
        if after not in (0, 1) or before not in (0, 1):
            raise Misfit(f"its key has {after} rows as of the commit, which do not follow from the log")
        if before == after == 0 and not touched.entered and not self.taken_back:
            raise Misfit("its row is not there as of the commit, and the log does not tell where it went")
        if before and not after and touched.old is None:
            raise Misfit("the log does not tell what row was deleted")
        if before:
            return "U" if after else "D"
        return "I" if after else None

    def _write(self, change: Change, sequence: int) -> None:
        if change.code == SELECT_LOB_LOCATOR and not change.redo.strip():
            # It selects what its text does not tell: what goes on with it is of an unknown row.
            self._located = None
            return
        found = parse_piece(change.redo)
        if found is None:
            if self._located is None or change.code == SELECT_LOB_LOCATOR:
                raise Misfit("a piece of a large object was written of a row that the log does not name")
            self._touch(self._located, sequence)
            return
        if (found.owner, found.table) != (self._table.schema, self._table.name):
            raise Misfit("a large object of another table was selected")
        self._check({}, found.row)
        self._located = key_of(found.row, self.schema)
        self._touch(self._located, sequence)

    def _check(self, new: Image, old: Image) -> None:
        """Values of large objects are passed through anything: they are not used."""
        for image in (new, old):
            for name, value in image.items():
                if name in self._large or name in self.schema.not_replicated:
                    continue
                column = self._columns.get(name)
                if column is None:
                    raise Misfit("it names columns that the table does not have")
                if not is_told_as(value, column):
                    raise Misfit(f"column {name} is told as another type")

    def _change(self, redo: Redo, row_id: str, sequence: int) -> None:
        came = key_of({**redo.old, **redo.new}, self.schema) if redo.operation != "D" else None
        went = key_of(redo.old, self.schema) if redo.operation != "I" else None
        if went is not None:
            touched = self._touch(went, sequence) if went == came else self._leave(went, sequence)
            self._remember(touched, redo, row_id, stays=went == came)
        if came is not None and came != went:
            touched = self._touch(came, sequence)
            touched.entered += 1
            touched.newcomers.add(row_id)

    def _touch(self, key: RowKey, sequence: int) -> Touched:
        touched = self._at(key, sequence)
        touched.sequence, touched.placed = sequence, True
        return touched

    def _leave(self, key: RowKey, sequence: int) -> Touched:
        touched = self._at(key, sequence)
        touched.left += 1
        if not touched.placed:
            touched.sequence = sequence
        return touched

    def _at(self, key: RowKey, sequence: int) -> Touched:
        touched = self._keys.get(key)
        if touched is None:
            if len(self._keys) >= self._max_keys:
                raise Misfit(f"its transaction changed more than {self._max_keys} rows of the table")
            touched = self._keys[key] = Touched(sequence)
        return touched

    def _remember(self, touched: Touched, redo: Redo, row_id: str, *, stays: bool) -> None:
        """The row that was there before: what the first statement about it says, or where some of them were
        taken back, the one that took it away."""
        is_whole = set(self._columns) - self._large <= set(redo.old)
        if not is_whole or row_id in touched.newcomers:
            return
        if touched.old is None or (self.taken_back and not stays):
            touched.old = {name: value for name, value in redo.old.items() if name not in self._large}
