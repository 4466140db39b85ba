"""Places in a binlog as commit positions: `file number << 32 | offset`.

A transaction's commit position is the offset of its first event (GTID, or BEGIN where there is none)
in its file: a transaction lies in one file, offsets rise within it, and the numbers of files rise.
The end of a transaction is the start of the next, so the place where a snapshot stands is a commit
position too: everything below it is in the snapshot.

Offsets have 32 bits in the binlog's own headers; a file that grows beyond is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from replication_assets.errors import SourceNotReady

_FILE = re.compile(r"(?P<base>.+)\.(?P<number>\d+)")
_OFFSET_BITS = 32
_MAX_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LogPlace:
    """A byte of a binlog file, which is called by the server's base name and its number."""

    base: str
    number: int
    offset: int

    @classmethod
    def of(cls, file: str, offset: int) -> LogPlace:
        """From what the server says (`binlog.000007`, 4711).

        Raises:
            SourceNotReady: no position can be made of it.
        """
        found = _FILE.fullmatch(file)
        if found is None or not 0 < int(found["number"]) <= _MAX_NUMBER:
            raise SourceNotReady(f"{file!r} is no numbered binlog file")
        if not 0 <= offset < 1 << _OFFSET_BITS:
            raise SourceNotReady(
                f"binlog file {file!r} is longer than 4 GiB, which its own headers cannot tell",
                fix="smaller transactions, or SET GLOBAL max_binlog_size = 1073741824; FLUSH BINARY LOGS",
            )
        return cls(found["base"], int(found["number"]), offset)

    @classmethod
    def at(cls, commit: int, base: str) -> LogPlace:
        """The place of a commit position in files of this base name."""
        return cls(base, commit >> _OFFSET_BITS, commit & (1 << _OFFSET_BITS) - 1)

    @property
    def file(self) -> str:
        """The file's name: numbers have six digits, or as many as they need."""
        return f"{self.base}.{self.number:06d}"

    @property
    def commit(self) -> int:
        return self.number << _OFFSET_BITS | self.offset
