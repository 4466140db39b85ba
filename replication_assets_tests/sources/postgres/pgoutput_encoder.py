"""pgoutput messages as a server would write them, from plain values: the decoder's counterpart.

A tuple is a list of `str`, `None` (SQL NULL) or `UNSENT` (unchanged large value).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

UNSENT: Final = object()
Tuple = Sequence[object]


def wal_data(payload: bytes) -> bytes:
    """XLogData around a payload."""
    return struct.pack(">cQQq", b"w", 1, 2, 3) + payload


def begin(commit: int, clock: int, xid: int) -> bytes:
    return struct.pack(">cQqI", b"B", commit, clock, xid)


def commit(at: int, clock: int) -> bytes:
    return struct.pack(">cBQQq", b"C", 0, at, at + 48, clock)


def relation(
    oid: int, schema: str, name: str, identity: str, columns: Sequence[tuple[str, int, bool]]
) -> bytes:
    """Columns are (name, type oid, part of the identity)."""
    parts = [struct.pack(">cI", b"R", oid), _text(schema), _text(name)]
    parts.append(struct.pack(">ch", identity.encode(), len(columns)))
    for column, type_oid, in_identity in columns:
        parts += [bytes([in_identity]), _text(column), struct.pack(">Ii", type_oid, -1)]
    return b"".join(parts)


def insert(oid: int, new: Tuple) -> bytes:
    return struct.pack(">cI", b"I", oid) + b"N" + _tuple(new)


def update(oid: int, new: Tuple, *, old: Tuple | None = None, old_kind: str = "K") -> bytes:
    before = b"" if old is None else old_kind.encode() + _tuple(old)
    return struct.pack(">cI", b"U", oid) + before + b"N" + _tuple(new)


def delete(oid: int, old: Tuple, old_kind: str = "K") -> bytes:
    return struct.pack(">cI", b"D", oid) + old_kind.encode() + _tuple(old)


def truncate(*oids: int) -> bytes:
    return struct.pack(f">cIB{len(oids)}I", b"T", len(oids), 0, *oids)


def _text(text: str) -> bytes:
    return text.encode() + b"\0"


def _tuple(values: Tuple) -> bytes:
    parts = [struct.pack(">h", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif value is UNSENT:
            parts.append(b"u")
        else:
            data = str(value).encode()
            parts.append(struct.pack(">ci", b"t", len(data)) + data)
    return b"".join(parts)
