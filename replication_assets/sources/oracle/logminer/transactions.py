"""Transactions put together from rows of the redo log, in the order of their commits.

The log holds every change when it is made, of transactions that end in a commit, in a rollback, or not yet.
What a rollback to a savepoint (or of a statement that failed) takes back is told by rows of their own, that
undo an earlier row of the transaction: the same table and row, the opposite operation. Commits of one SCN
are ordered by thread, place of the commit in its log, and transaction: the same each time the log is read.

Memory: texts of open transactions are kept in memory up to a bound, and beyond it those of the largest
transaction in a temporary file; of each change some 30 bytes stay in memory. A transaction of more than
`MAX_ROWS` changes is refused by name, never cut.

Tables with large objects are otherwise: what undoes a change of a row that has some may undo the large object
alone, or not show at all. There nothing but an insert or a delete is taken as undone, the transaction
remembers that it took something back, and the rows are read again (`touched_rows`). What is written into
large objects is not kept.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import IO, TypeAlias

from replication_assets.errors import DecodeError
from replication_assets.sources.oracle.logminer.locators import without_value
from replication_assets.sources.oracle.logminer.log_rows import (
    COMMIT,
    DELETE,
    INSERT,
    LOB_WRITES,
    ROLLBACK,
    SELECT_FOR_UPDATE,
    START,
    UNSUPPORTED,
    UPDATE,
    LogRow,
)

MEMORY_BYTES = 64 * 2**20
"""Of all open transactions together."""
MAX_ROWS = 20_000_000
_OPPOSITE = {DELETE: INSERT, INSERT: DELETE, UPDATE: UPDATE, UNSUPPORTED: UNSUPPORTED}
_UNKNOWN_NUMBER = "FFFFFFFF"
"""End of an XID whose sequence number the log had told before the stretch that is read."""


TableName: TypeAlias = tuple[str, str, int]
"""Owner, name and number of the object, as the log has them."""
HasLargeObjects: TypeAlias = Callable[[TableName], bool]


def _none_has(table: TableName) -> bool:  # noqa: ARG001
    return False


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the log that took effect. `row_id` is the row's address, `object` the number of its table."""

    code: int
    status: int
    owner: str
    table: str
    object: int
    row_id: str
    redo: str


class Transaction:
    """Changes of one transaction in their order."""

    def __init__(
        self, xid: str, max_rows: int = MAX_ROWS, has_large_objects: HasLargeObjects = _none_has
    ) -> None:
        self.xid = xid
        self._has_large_objects = has_large_objects
        self.taken_back: set[TableName] = set()
        """Tables with large objects of which changes were taken back."""
        self._max_rows = max_rows
        self._rows = array("q")
        self._codes = bytearray()
        self._gone = bytearray()
        self._held: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._written = 0
        self.held_bytes = 0

    def add(self, row: LogRow) -> None:
        """Keep a change, or undo one.

        Raises:
            DecodeError: what is to be undone is not there, or there are too many changes.
        """
        name = (row.owner or "", row.table or "", row.object or 0)
        large = self._has_large_objects(name)
        if row.undoes and large:
            self.taken_back.add(name)
            self._undo_large(row)
            return
        if row.undoes:
            self._undo(row)
            return
        if large and row.code in LOB_WRITES:
            row = replace(row, redo=without_value(row.redo))
        self._keep(row)

    def _keep(self, row: LogRow) -> None:
        if len(self._codes) >= self._max_rows:
            raise DecodeError(
                f"transaction {self.xid} has more than {self._max_rows} changes",
                fix="recover the source (a new epoch) after it, load again, and write in smaller ones",
            )
        record = _packed(row)
        self._rows.append(_place(row))
        self._codes.append(min(row.code, 255))
        self._gone.append(0)
        self._held.append(record)
        self.held_bytes += len(record)

    def _undo_large(self, row: LogRow) -> None:
        if row.code in (INSERT, DELETE) and not self._forget(row):
            # What came and went cannot be counted: the table is to be loaded.
            self._keep(replace(row, code=UNSUPPORTED, undoes=False, redo=""))

    def _undo(self, row: LogRow) -> None:
        if not self._forget(row):
            raise DecodeError(
                f"transaction {self.xid} takes back a change that it did not make",
                fix="nothing was advanced: recover the source and load every id range again",
            )

    def _forget(self, row: LogRow) -> bool:
        """Whether the change that a row undoes was there."""
        wanted, place = _OPPOSITE.get(row.code), _place(row)
        for number in range(len(self._codes) - 1, -1, -1):
            if self._gone[number]:
                continue
            if self._codes[number] == wanted and self._rows[number] == place:
                self._gone[number] = 1
                self._trim()
                return True
        return False

    def _trim(self) -> None:
        """Forget undone changes at the end, so that a long rollback is not looked through again and again."""
        while self._gone and self._gone[-1] and self._held:
            self.held_bytes -= len(self._held.pop())
            self._gone.pop()
            self._codes.pop()
            self._rows.pop()

    def spill(self) -> None:
        """Put what is held in memory into a file."""
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the transaction
        self._file.seek(0, 2)
        for record in self._held:
            self._file.write(len(record).to_bytes(4, "big"))
            self._file.write(record)
        self._written += len(self._held)
        self._held.clear()
        self.held_bytes = 0

    def changes(self) -> Iterator[Change]:
        """What took effect, once, in order."""
        for gone, record in zip(self._gone, self._records(), strict=True):
            if not gone:
                yield _unpacked(record)

    def _records(self) -> Iterator[bytes]:
        if self._file is not None:
            self._file.seek(0)
            for _ in range(self._written):
                yield self._file.read(int.from_bytes(self._file.read(4), "big"))
        yield from self._held

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _place(row: LogRow) -> int:
    """Which row of which table: within one process, and 61 bits are enough for one transaction."""
    return hash((row.object, row.owner, row.table, row.row_id)) >> 3


_SEPARATOR = "\0"


def _packed(row: LogRow) -> bytes:
    parts = (str(row.code), str(row.status), str(row.object or 0), row.row_id or "")
    names = (row.owner or "", row.table or "")
    # Names hold no NUL, and the statement stands last.
    return _SEPARATOR.join((*parts, *names, row.redo)).encode("utf-8", "surrogatepass")


def _unpacked(record: bytes) -> Change:
    code, status, number, row_id, owner, table, redo = record.decode("utf-8", "surrogatepass").split(
        _SEPARATOR, 6
    )
    return Change(int(code), int(status), owner, table, int(number), row_id, redo)


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction that ended in a commit at `scn`. `committed_at` is by the server's clock.

    `whole` is None where its beginning lies before the first row that was read.
    """

    scn: int
    thread: int
    rs_id: str
    xid: str
    committed_at: int
    whole: Transaction | None

    @property
    def order(self) -> tuple[int, str, str]:
        return self.thread, self.rs_id, self.xid


class Assembler:
    """Open transactions between the rows that were read and the next ones."""

    def __init__(
        self,
        memory_bytes: int = MEMORY_BYTES,
        max_rows: int = MAX_ROWS,
        has_large_objects: HasLargeObjects = _none_has,
    ) -> None:
        self._open: dict[str, Transaction] = {}
        self._has_large_objects = has_large_objects
        self._memory, self._max_rows = memory_bytes, max_rows
        self._held = 0

    def committed(self, rows: Iterable[LogRow]) -> Iterator[list[Committed]]:
        """Commits of one SCN after the other, all of an SCN together and in their order."""
        group: list[Committed] = []
        for row in rows:
            if group and row.scn > group[0].scn:
                yield sorted(group, key=lambda each: each.order)
                group = []
            ended = self._take(row)
            if ended is not None:
                group.append(ended)
        if group:
            yield sorted(group, key=lambda each: each.order)

    def _take(self, row: LogRow) -> Committed | None:
        if row.code == START:
            # A second start of the same name: the rows are read again.
            self._drop(row.xid)
            self._open[row.xid] = Transaction(row.xid, self._max_rows, self._has_large_objects)
            return None
        if row.code == ROLLBACK:
            self._drop(row.xid)
            return None
        if row.code == COMMIT:
            found = self._open.pop(row.xid, None)
            self._held -= found.held_bytes if found is not None else 0
            return Committed(row.scn, row.thread, row.rs_id, row.xid, row.written, found)
        if row.code != SELECT_FOR_UPDATE:
            self._add(row)
        return None

    def _add(self, row: LogRow) -> None:
        found = self._open.get(row.xid)
        if found is None and row.xid.endswith(_UNKNOWN_NUMBER):
            slot = row.xid[: -len(_UNKNOWN_NUMBER)]
            found = next((each for xid, each in self._open.items() if xid.startswith(slot)), None)
        if found is None:
            # It began before the first row that was read: it is read whole when it commits.
            return
        before = found.held_bytes
        found.add(row)
        self._held += found.held_bytes - before
        if self._held > self._memory:
            largest = max(self._open.values(), key=lambda each: each.held_bytes)
            self._held -= largest.held_bytes
            largest.spill()

    def _drop(self, xid: str) -> None:
        found = self._open.pop(xid, None)
        if found is not None:
            self._held -= found.held_bytes
            found.close()

    def close(self) -> None:
        for xid in list(self._open):
            self._drop(xid)


def one_transaction(
    rows: Iterable[LogRow], xid: str, has_large_objects: HasLargeObjects = _none_has
) -> Transaction | None:
    """A transaction from rows of it alone; None if the first of them is not its beginning."""
    found: Transaction | None = None
    for row in rows:
        if row.xid != xid:
            continue
        if row.code == START:
            found = Transaction(xid, has_large_objects=has_large_objects)
        elif found is None:
            return None
        elif row.code not in (COMMIT, ROLLBACK, SELECT_FOR_UPDATE):
            found.add(row)
            if found.held_bytes > MEMORY_BYTES:
                found.spill()
    return found
