"""A piece of the binary log: rows of our tables and statements, with their transactions.

Rows stand in `data` as the events hold them, back to back: per event the images of its rows and
nothing else. `index` has `FIELDS` numbers per event; everything is decoded a piece at a time.
"""

from __future__ import annotations

import datetime as dt
from array import array
from dataclasses import dataclass, field

from replication_assets.sources.mysql.binlog.events import Query
from replication_assets.sources.mysql.binlog.table_map import TableMap

START, END, OPERATION, SHAPE, TRANSACTION, LOG_POS = range(6)
FIELDS = 6
"""Columns of `index`: bytes of `data` from START to END; number of the shape and of the transaction in
their lists; where the event ends in its file, or within a compressed transaction."""

SPARE = bytes(64)
"""Ends `data`, so that reading the bytes of a decimal, the longest of fixed length, never leaves it."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """`commit` is the place of its first event (`log_places`), `number` that of its GTID."""

    commit: int
    committed_at: int
    """Microseconds of the Unix clock."""
    number: int | None

    @property
    def time(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=self.committed_at)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that is no row change, and how many row events of the piece precede it."""

    query: Query
    transaction: Transaction
    log_pos: int
    after: int


@dataclass(slots=True)
class Piece:
    """`through` and `committed_at` are as in `ports.ChangeChunk`."""

    data: bytearray = field(default_factory=bytearray)
    index: array[int] = field(default_factory=lambda: array("q"))
    shapes: list[TableMap] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    through: int | None = None
    committed_at: dt.datetime | None = None

    @property
    def events(self) -> int:
        return len(self.index) // FIELDS
