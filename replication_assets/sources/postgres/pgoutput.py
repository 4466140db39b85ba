"""pgoutput protocol version 1: what the messages of a piece of the change stream are.

Formats: PostgreSQL documentation, "Logical Replication Message Formats". Only committed
transactions arrive, whole and in commit order. A piece (`Frames`) may begin and end inside a
transaction; the transaction that is open at its end is handed to the next piece
(`OpenTransaction`).

Row messages are only located here, all of them at once; their values are the business of
`tuples` and `row_events`. Messages that there are few of (Relation, Truncate) are parsed one by
one. A message type that is not listed is refused: what is not understood is never skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from replication_assets.core.schema import TableId
from replication_assets.errors import DecodeError

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

HEADER = 25
"""Bytes of XLogData before the payload: 'w', start and end of WAL, clock of the server."""

BEGIN, COMMIT, RELATION = ord("B"), ord("C"), ord("R")
INSERT, UPDATE, DELETE, TRUNCATE = ord("I"), ord("U"), ord("D"), ord("T")
_IGNORED = (ord("Y"), ord("O"), ord("M"))
"""Type (the catalog tells more), origin, and logical message (not asked for, not a row)."""
KNOWN_MESSAGES = frozenset((BEGIN, COMMIT, RELATION, INSERT, UPDATE, DELETE, TRUNCATE, *_IGNORED))

POSTGRES_EPOCH_MICROS = 946_684_800_000_000
"""2000-01-01 UTC, where PostgreSQL's clock begins, in microseconds of the Unix clock."""

SPARE = bytes(32)
"""Ends every piece, so that reading a fixed number of bytes never leaves it."""


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A column as a Relation message lists it; `in_identity` if old tuples carry it."""

    name: str
    type_oid: int
    typmod: int
    in_identity: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table (or leaf partition) as it was when the next rows were written.

    `replica_identity` is `d` (primary key), `i` (another unique index), `f` (the whole row) or
    `n` (nothing: inserts only).
    """

    oid: int
    schema: str
    name: str
    replica_identity: str
    columns: tuple[RelationColumn, ...]

    def is_called(self, table: TableId) -> bool:
        return (self.schema, self.name) == (table.schema, table.name)

    @classmethod
    def parse(cls, payload: bytes) -> Relation:
        (oid,) = struct.unpack_from(">I", payload, 1)
        schema, at = _text(payload, 5)
        name, at = _text(payload, at)
        identity, count = struct.unpack_from(">ch", payload, at)
        at += 3
        columns = []
        for _ in range(count):
            flags = payload[at]
            column, at = _text(payload, at + 1)
            type_oid, typmod = struct.unpack_from(">Ii", payload, at)
            at += 8
            columns.append(RelationColumn(column, type_oid, typmod, bool(flags & 1)))
        # An empty namespace stands for pg_catalog.
        return cls(oid, schema or "pg_catalog", name, identity.decode(), tuple(columns))


def _text(payload: bytes, at: int) -> tuple[str, int]:
    end = payload.index(b"\0", at)
    return payload[at:end].decode(), end + 1


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction of which more is to come: `rows` were counted in it so far."""

    commit: int
    committed_at: int
    """Microseconds of the Unix clock."""
    xid: int
    rows: int


@dataclass(frozen=True, slots=True)
class Truncation:
    """One TRUNCATE: relation ids in the server's order, and the sequence of the first."""

    message: int
    relations: tuple[int, ...]
    first_sequence: int


class Frames:
    """The messages of one piece of the stream, and the transaction and sequence of each.

    `piece` holds whole XLogData messages back to back, then `SPARE`; `ends` is where each one
    ends. It is not copied, and must stay as it is. Arrays are indexed by message. `commit`,
    `committed_at` and `xid` are those of the message's transaction. `sequence` counts the rows of
    the transaction up to and including the message, whatever table they are of, and every relation
    of a TRUNCATE as one.
    """

    def __init__(self, piece: bytes | bytearray, ends: list[int], carried: OpenTransaction | None) -> None:
        self.data = piece
        self.length = len(piece) - len(SPARE)
        if ends[-1] != self.length:
            raise ValueError("a piece is its messages and SPARE")
        self.bytes: Bytes = np.frombuffer(self.data, dtype=np.uint8)
        self._words = np.ndarray((len(self.data) - 3,), dtype=">i4", buffer=self.data, strides=(1,))
        self._longs = np.ndarray((len(self.data) - 7,), dtype=">i8", buffer=self.data, strides=(1,))
        self.ends: Ints = np.array(ends, dtype=np.int64)
        self.starts: Ints = np.concatenate([[0], self.ends[:-1]]).astype(np.int64) + HEADER
        self.types: Bytes = self.bytes[self.starts]
        self._carried = carried
        self._refuse_unknown()
        self._number()

    def int32(self, at: Ints) -> Ints:
        """Big-endian integers at byte offsets."""
        return self._words[at].astype(np.int64)

    def of_type(self, *types: int) -> Ints:
        """Messages of these types, ascending."""
        return np.flatnonzero(np.isin(self.types, types))

    @cached_property
    def relation_ids(self) -> Ints:
        """Relation id of each message, where it is a row or Relation message."""
        return self.int32(self.starts + 1) & 0xFFFFFFFF

    def relations(self) -> Iterator[tuple[int, Relation]]:
        """Relation messages with the message that they are."""
        for message in self.of_type(RELATION):
            yield int(message), Relation.parse(self._payload(message))

    def truncations(self) -> Iterator[Truncation]:
        for message in self.of_type(TRUNCATE):
            payload = self._payload(message)
            (count,) = struct.unpack_from(">I", payload, 1)
            oids = struct.unpack_from(f">{count}I", payload, 6)
            yield Truncation(int(message), oids, int(self.sequence[message]) - count + 1)

    def open_transaction(self) -> OpenTransaction | None:
        """The transaction that the piece ends in, None between transactions."""
        bounds = self.of_type(BEGIN, COMMIT)
        is_open = self.types[bounds[-1]] == BEGIN if len(bounds) else self._carried is not None
        if not is_open:
            return None
        return OpenTransaction(
            int(self.commit[-1]), int(self.committed_at[-1]), int(self.xid[-1]), int(self.sequence[-1])
        )

    def _payload(self, message: int | np.intp) -> bytes:
        return bytes(self.data[self.starts[message] : self.ends[message]])

    def _refuse_unknown(self) -> None:
        for kind in np.unique(self.types):
            if int(kind) not in KNOWN_MESSAGES:
                raise DecodeError(
                    f"message type {chr(kind)!r} is not of pgoutput protocol version 1",
                    fix="report it with the server's version; nothing was advanced",
                )

    def _number(self) -> None:
        weights = np.isin(self.types, (INSERT, UPDATE, DELETE)).astype(np.int64)
        truncates = self.of_type(TRUNCATE)
        weights[truncates] = self.int32(self.starts[truncates] + 1)
        counted = np.cumsum(weights)
        begins = self.of_type(BEGIN)
        at = self.starts[begins]
        first = self._carried or OpenTransaction(0, 0, 0, 0)
        # Slot 0 stands for the transaction carried in, slot n + 1 for the n-th BEGIN.
        slot = np.searchsorted(begins, np.arange(len(self.types)), side="right")
        counted_before = np.concatenate([[-first.rows], counted[begins]])
        self.sequence: Ints = counted - counted_before[slot]
        self.commit: Ints = _prepend(first.commit, self._longs[at + 1])[slot]
        clocks = self._longs[at + 9].astype(np.int64) + POSTGRES_EPOCH_MICROS
        self.committed_at: Ints = _prepend(first.committed_at, clocks)[slot]
        self.xid: Ints = _prepend(first.xid, self.int32(at + 17) & 0xFFFFFFFF)[slot]
        if self._carried is None and np.any(weights[slot == 0]):
            raise DecodeError("a row message stands outside of any transaction")


def _prepend(first: int, rest: npt.NDArray[np.int64]) -> Ints:
    return np.concatenate([np.array([first], dtype=np.int64), rest.astype(np.int64)])
