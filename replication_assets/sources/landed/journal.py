"""What was read of a landing place: every file once, at the commit position that the journal says.

The journal has one line for each block of files, told before any of it is stored. So a capture that
died reads the same files again, at the same positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from replication_assets.core.landed.names import LandedFile, landed_file, next_commit
from replication_assets.errors import DecodeError
from replication_assets.ports.offsets import BlockEnd
from replication_assets.sources.landed.place import Found, LandingPlace

START = 0
"""Commit position before the first file."""

Wanted = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that was read, at its commit position."""

    file: LandedFile
    commit: int


@dataclass(frozen=True, slots=True)
class Landing:
    """Which files there are for some tables."""

    place: LandingPlace
    cdc_path: str | None
    is_wanted: Wanted

    def known(self, ends: Sequence[BlockEnd]) -> dict[str, ReadFile]:
        """Files of these blocks by their path, in the order in which they were read."""
        found = {path: values for end in ends for path, values in end.offsets.items()}
        known = {}
        for path, (commit, size, modified) in sorted(found.items(), key=lambda each: each[1]):
            file = self._file(Found(path, size, modified))
            if file is not None:
                known[path] = ReadFile(file, commit)
        return known

    def waiting(self, known: Mapping[str, ReadFile]) -> list[LandedFile]:
        """Files that were not read yet, in their order.

        Raises:
            DecodeError: a file that was read is another one now.
            SourceNotReady: a file cannot be placed.
        """
        waiting = []
        for found in self.place.listing():
            before = known.get(found.path)
            if before is not None:
                _require_same(before.file, found, self.place.root)
            elif (file := self._file(found)) is not None:
                waiting.append(file)
        return sorted(waiting, key=lambda file: (*file.order, file.path))

    def _file(self, found: Found) -> LandedFile | None:
        return landed_file(
            found.path, found.size, found.modified, is_wanted=self.is_wanted, cdc_path=self.cdc_path
        )


def _require_same(before: LandedFile, now: Found, root: str) -> None:
    if (before.size, before.modified) != (now.size, now.modified):
        raise DecodeError(
            "the file was written again after it was read",
            where=f"{root.rstrip('/')}/{now.path}",
            fix="recover the source: a new epoch reads every file that is there from the beginning",
        )


def placed(after: int, files: Iterable[LandedFile]) -> list[ReadFile]:
    """Files that are read after a commit position, with their own."""
    found = []
    for file in files:
        after = next_commit(after, file)
        found.append(ReadFile(file, after))
    return found


def block_end(before: BlockEnd, files: Sequence[ReadFile]) -> BlockEnd:
    offsets = {each.file.path: (each.commit, each.file.size, each.file.modified) for each in files}
    return replace(before, commit=files[-1].commit, offsets=offsets)


def later_files(file: LandedFile, name: tuple[str, str], read: Iterable[ReadFile]) -> list[ReadFile]:
    """Files of a table that were read although they come after this one, in their order."""
    found = [each for each in read if each.file.table in (name, None) and each.file.order > file.order]
    return sorted(found, key=lambda each: each.file.order)
