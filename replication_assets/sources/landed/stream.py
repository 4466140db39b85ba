"""The change stream of a landing place: files in blocks, told to the journal before anybody sees them.

Files are looked for by listing, so one that arrives late is seen like any other. Two captures of one
place are told apart by the journal: the one that tells a block second is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from replication_assets.core.landed.names import LandedFile
from replication_assets.core.landed.repeats import NO_HASHES, Hashes, repeated_rows
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SlotLost, SourceNotReady
from replication_assets.failpoints import reach
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.ports.offsets import BlockEnd, OffsetJournal
from replication_assets.sources.landed.checking import CheckedFile, RowReader
from replication_assets.sources.landed.decoding import Decoder, Delivery
from replication_assets.sources.landed.journal import (
    Landing,
    ReadFile,
    block_end,
    later_files,
    placed,
)
from replication_assets.sources.landed.layout import Name

Tables = Sequence[tuple[TableId, TableSchema]]

BLOCK_FILES = 64
BLOCK_BYTES = 32 * 2**20
"""Of files as they lie there; one larger than this is a block of its own."""
LOOK_SECONDS = 1.0
"""How often an idle stream lists the files."""
REMEMBERED_ROWS = 100_000
"""How many rows back a restart of DMS may go for its repeated rows to be found."""
REMEMBERED_FILES = 32


@dataclass(frozen=True, slots=True)
class Reading:
    """What a stream reads."""

    name: str
    landing: Landing
    journal: OffsetJournal
    tables: Tables


@contextmanager
def open_changes(
    reading: Reading,
    reader: RowReader,
    decoder: Decoder,
    *,
    after: int,
    upto: int | None,
    stop: Callable[[], bool],
) -> Iterator[ChangeStream]:
    """The stream after commit position `after`; see `ports.ChangeSource.changes`.

    Raises:
        SlotLost: the journal does not know the position.
        SourceNotReady: a table is not captured.
    """
    last = reading.journal.last()
    ends = reading.journal.since(after) if last is not None else ()
    if last is None or not ends:
        raise SlotLost(
            f"the journal of landed files does not know position {after}",
            where=reading.name,
            fix="recover the source, which reads every file from the beginning in a new epoch",
        )
    left_out = {str(table) for table, _ in reading.tables} - set(ends[-1].tables)
    if left_out:
        raise SourceNotReady(
            f"{', '.join(sorted(left_out))} is not captured yet",
            where=reading.name,
            fix="set the capture up again",
        )
    known = reading.landing.known(reading.journal.since(last.start))
    try:
        yield LandedChanges(reading, reader, decoder, known, ends, upto, stop)
    finally:
        reader.close()


class LandedChanges:
    """A `ports.ChangeStream`. Iterate it once, in one thread."""

    def __init__(
        self,
        reading: Reading,
        reader: RowReader,
        decoder: Decoder,
        known: dict[str, ReadFile],
        ends: tuple[BlockEnd, ...],
        upto: int | None,
        stop: Callable[[], bool],
    ) -> None:
        self._reading, self._reader, self._decoder = reading, reader, decoder
        self._end, self._told = ends[0], ends[1:]
        self._read = [each for each in known.values() if each.commit <= self._end.commit]
        self._known = known
        self._upto, self._stop = upto, stop
        self._remembered: dict[Name, Hashes] = {}

    def __iter__(self) -> Iterator[ChangeChunk]:
        for end in self._told:
            again = [each for path in end.offsets if (each := self._known.get(path)) is not None]
            again = [each for each in again if each.commit > self._end.commit]
            yield from self._deliver(self._checked(again), end)
        spoke = time.monotonic()
        while not self._stop():
            if self._upto is not None and self._end.commit >= self._upto:
                return
            waiting = self._reading.landing.waiting(self._known)
            if waiting:
                yield from self._tell(_block(waiting))
                spoke = time.monotonic()
            elif self._upto is not None:
                return
            else:
                time.sleep(min(LOOK_SECONDS, 0.2))
                if time.monotonic() - spoke >= LOOK_SECONDS:
                    spoke = time.monotonic()
                    yield ChangeChunk((), (), (), self._end.commit, None)

    def acknowledge(self, commit: int) -> None:
        """Nothing: files stay where they are, and the journal knows what was read."""

    def _tell(self, files: Sequence[LandedFile]) -> Iterator[ChangeChunk]:
        checked = self._checked(placed(self._end.commit, files))
        reach("landed.files_read")
        end = block_end(self._end, [each for each, _ in checked])
        self._reading.journal.append(end)
        reach("landed.files_told")
        self._known |= {each.file.path: each for each, _ in checked}
        yield from self._deliver(checked, end)

    def _checked(self, files: Sequence[ReadFile]) -> list[tuple[ReadFile, CheckedFile]]:
        return [(each, self._reader.checked(each.file)) for each in sorted(files, key=lambda f: f.commit)]

    def _deliver(
        self, checked: Sequence[tuple[ReadFile, CheckedFile]], end: BlockEnd
    ) -> Iterator[ChangeChunk]:
        later = [self._later(each, found) for each, found in checked]
        repeated = self._repeated(checked, later)
        for number, (each, found) in enumerate(checked):
            yield from self._decoder.chunks(Delivery(found, each.commit, repeated[number], later[number]))
            self._read.append(each)
        self._end = end
        yield ChangeChunk((), (), (), end.commit, None)

    def _later(self, each: ReadFile, checked: CheckedFile) -> dict[Name, list[ReadFile]]:
        """Files of a block are in order: what is later was read before the block."""
        return {name: later_files(each.file, name, self._read) for name in checked.hashes}

    def _repeated(
        self,
        checked: Sequence[tuple[ReadFile, CheckedFile]],
        later: Sequence[dict[Name, list[ReadFile]]],
    ) -> list[dict[Name, int]]:
        """Of each file, how many first rows of a table were read before. A late file repeats nothing."""
        repeated: list[dict[Name, int]] = [{} for _ in checked]
        for name in {name for _, found in checked for name in found.hashes}:
            numbers = [
                number
                for number, (each, found) in enumerate(checked)
                if name in found.hashes and not each.file.is_load and not later[number][name]
            ]
            if not numbers:
                continue
            if name not in self._remembered:
                self._remembered[name] = self._history(name)
            hashes = [checked[number][1].hashes[name] for number in numbers]
            found_rows = repeated_rows(self._remembered[name], hashes, REMEMBERED_ROWS)
            for number, count in zip(numbers, found_rows, strict=True):
                repeated[number][name] = count
            rest = [each[count:] for each, count in zip(hashes, found_rows, strict=True)]
            known = np.concatenate([self._remembered[name], *rest])
            self._remembered[name] = known[-REMEMBERED_ROWS:]
        return repeated

    def _history(self, name: Name) -> Hashes:
        """The last rows of a table that were read in order. Files that are gone end it."""
        listed = {found.path for found in self._reading.landing.place.listing()}
        parts: list[Hashes] = []
        rows = 0
        for each in reversed(_in_order(name, self._read)):
            if rows >= REMEMBERED_ROWS or len(parts) >= REMEMBERED_FILES or each.file.path not in listed:
                break
            found = self._reader.checked(each.file).hashes.get(name, NO_HASHES)
            parts.insert(0, found)
            rows += len(found)
        return np.concatenate([NO_HASHES, *parts])[-REMEMBERED_ROWS:]


def _in_order(name: Name, read: Sequence[ReadFile]) -> list[ReadFile]:
    """Files of changes of a table that did not come late, in the order in which they were read."""
    found: list[ReadFile] = []
    for each in sorted(read, key=lambda file: file.commit):
        is_change = each.file.table in (name, None) and not each.file.is_load
        if is_change and (not found or each.file.order > found[-1].file.order):
            found.append(each)
    return found


def _block(files: Sequence[LandedFile]) -> list[LandedFile]:
    """As many of the first files as make a block."""
    size, block = 0, list[LandedFile]()
    for file in files[:BLOCK_FILES]:
        size += file.size
        if block and size > BLOCK_BYTES:
            break
        block.append(file)
    return block
