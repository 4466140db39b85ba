"""Log sequence numbers as positions.

An LSN is ten bytes: number of the virtual log file (4), block in it (4), slot in that (2). The commit
position is `file << 32 | block`; the sequence is `slot << 47 | rank`, where the rank of a change is its
place among the changes of its table in its transaction, from 1. All 80 bits are kept, in two numbers that
order as the LSN does. Several transactions may end in one block and then share a commit position.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from replication_assets.errors import DecodeError
from replication_assets.sources.sqlserver.statements.names import hexadecimal

LSN_BYTES = 10
SLOT_SHIFT = 47
MOST_RANK = (1 << SLOT_SHIFT) - 1
_LAST_SLOT = b"\xff\xff"

Ints = npt.NDArray[np.int64]


def commit_of(lsn: bytes) -> int:
    """The commit position. Raises DecodeError: it is outside 63 bits, or no LSN."""
    if len(lsn) != LSN_BYTES or lsn[0] > 0x7F:
        raise DecodeError("a log sequence number is not one of ten bytes below 2**79")
    return int.from_bytes(lsn[:8], "big")


def slot_of(lsn: bytes) -> int:
    return int.from_bytes(lsn[8:], "big")


def last_of(commit: int) -> str:
    """The greatest LSN of a commit position, as a constant."""
    return hexadecimal(commit.to_bytes(8, "big") + _LAST_SLOT)


def sequences(slots: Ints, ranks: Ints) -> Ints:
    """Raises DecodeError: a transaction of more changes than the rank has room for."""
    if len(ranks) and (int(ranks.max()) > MOST_RANK or int(ranks.min()) < 1):
        raise DecodeError("a transaction has more changes than can be numbered")
    found: Ints = (slots << SLOT_SHIFT) | ranks
    return found
