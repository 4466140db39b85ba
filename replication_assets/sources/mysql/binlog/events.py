"""Events of the binary log, version 4: their header, and those that frame transactions.

Formats: MySQL's "Replication Protocol" pages and `binlog_event.h`; MariaDB's knowledge base
("Replication Protocol", events 160 to 171). Integers are little endian.

Every type is either read, known to carry nothing of a row (`WITHOUT_ROWS`), or refused by name:
what is not understood is never skipped, whether inside of a transaction or between two.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from replication_assets.errors import DecodeError

HEADER: Final = 19
CHECKSUM_BYTES: Final = 4

QUERY, STOP, ROTATE, FORMAT_DESCRIPTION, XID = 2, 3, 4, 15, 16
TABLE_MAP, HEARTBEAT = 19, 27
WRITE_ROWS_V1, UPDATE_ROWS_V1, DELETE_ROWS_V1 = 23, 24, 25
WRITE_ROWS, UPDATE_ROWS, DELETE_ROWS = 30, 31, 32
GTID, ANONYMOUS_GTID, XA_PREPARE, TRANSACTION_PAYLOAD, HEARTBEAT_V2, GTID_TAGGED = 33, 34, 38, 40, 41, 42
MARIADB_GTID, QUERY_COMPRESSED = 162, 165

ARTIFICIAL: Final = 0x20
"""Header flag of events that the server makes up for the connection: they are in no file."""

WITHOUT_ROWS: Final = frozenset(
    {
        5,  # INTVAR, RAND and USER_VAR: variables of a statement. The statement itself is refused.
        13,
        14,
        28,  # IGNORABLE
        29,  # ROWS_QUERY: the text of the statement that wrote the rows which follow
        35,  # PREVIOUS_GTIDS
        36,  # TRANSACTION_CONTEXT and VIEW_CHANGE: of group replication
        37,
        160,  # ANNOTATE_ROWS
        161,  # BINLOG_CHECKPOINT
        163,  # GTID_LIST
        164,  # START_ENCRYPTION: of the file. What the server sends is decrypted.
    }
)
ROWS: Final = {
    # type: (operation, version, compressed)
    WRITE_ROWS_V1: (WRITE_ROWS, 1, False),
    UPDATE_ROWS_V1: (UPDATE_ROWS, 1, False),
    DELETE_ROWS_V1: (DELETE_ROWS, 1, False),
    WRITE_ROWS: (WRITE_ROWS, 2, False),
    UPDATE_ROWS: (UPDATE_ROWS, 2, False),
    DELETE_ROWS: (DELETE_ROWS, 2, False),
    166: (WRITE_ROWS, 1, True),
    167: (UPDATE_ROWS, 1, True),
    168: (DELETE_ROWS, 1, True),
    169: (WRITE_ROWS, 2, True),
    170: (UPDATE_ROWS, 2, True),
    171: (DELETE_ROWS, 2, True),
}
_REFUSED: Final = {
    1: "START_EVENT_V3",
    6: "LOAD_EVENT",
    7: "SLAVE_EVENT",
    8: "CREATE_FILE_EVENT",
    9: "APPEND_BLOCK_EVENT",
    10: "EXEC_LOAD_EVENT",
    11: "DELETE_FILE_EVENT",
    12: "NEW_LOAD_EVENT",
    17: "BEGIN_LOAD_QUERY_EVENT",
    18: "EXECUTE_LOAD_QUERY_EVENT",
    20: "PRE_GA_WRITE_ROWS_EVENT",
    21: "PRE_GA_UPDATE_ROWS_EVENT",
    22: "PRE_GA_DELETE_ROWS_EVENT",
    26: "INCIDENT_EVENT",
    39: "PARTIAL_UPDATE_ROWS_EVENT",
}
_WHY: Final = {
    26: (
        "the server lost changes before it could log them",
        "recover the source, and load every id range again",
    ),
    39: (
        "parts of JSON documents are logged instead of whole values",
        "SET GLOBAL binlog_row_value_options = '', recover the source, and load every id range again",
    ),
}
_STATEMENTS: Final = frozenset({6, 8, 9, 10, 11, 12, 17, 18})

_header = struct.Struct("<IBIIIH")


@dataclass(frozen=True, slots=True)
class Header:
    """`log_pos` is where the event ends in its file, of 32 bits; 0 where it is in none."""

    timestamp: int
    type: int
    size: int
    log_pos: int
    flags: int

    @classmethod
    def parse(cls, event: bytes | memoryview) -> Header:
        timestamp, kind, _, size, log_pos, flags = _header.unpack_from(event)
        return cls(timestamp, kind, size, log_pos, flags)


def refused(kind: int, where: str) -> DecodeError:
    """The error for an event that is not read."""
    name = _REFUSED.get(kind, "not known")
    what, fix = _WHY.get(kind, ("what it does to rows is not known", "report it with the server's version"))
    if kind in _STATEMENTS:
        what = "a LOAD DATA was logged as a statement and not as rows"
        fix = "SET GLOBAL binlog_format = 'ROW', recover the source, and load every id range again"
    return DecodeError(
        f"event type {kind} ({name}): {what}; nothing was advanced",
        where=where,
        fix=fix,
    )


@dataclass(frozen=True, slots=True)
class Format:
    """FORMAT_DESCRIPTION: how the events of a file are written. `created` is not 0 where the server
    started with this file: a transaction that was open before never ended."""

    has_checksums: bool
    created: int

    @classmethod
    def parse(cls, body: bytes | memoryview, where: str) -> Format:
        """`body` is the event without header, with its checksum."""
        version, _, created, header_length = struct.unpack_from("<H50sIB", body)
        if version != 4 or header_length != HEADER:
            raise DecodeError(
                f"the binary log is of version {version}", where=where, fix="use MySQL 5.7 or later"
            )
        algorithm = body[len(body) - CHECKSUM_BYTES - 1]
        # 0: none. 255: written before there were any.
        if algorithm not in (0, 1, 255):
            raise DecodeError(f"checksums of kind {algorithm} are not known", where=where)
        return cls(algorithm == 1, created)


@dataclass(frozen=True, slots=True)
class Begin:
    """What a GTID event tells of the group of events that it begins.

    `number` is the GTID's own (None: it has none). `is_transaction`: it goes on until it is committed,
    also without a BEGIN (MariaDB leaves it out); otherwise a BEGIN says so, or a statement stands alone.
    """

    number: int | None
    committed_at: int
    """Microseconds of the Unix clock."""
    is_transaction: bool = False


_STANDALONE = 1


def parse_begin(kind: int, timestamp: int, body: bytes | memoryview) -> Begin:
    """A GTID event of either flavour."""
    seconds = timestamp * 1_000_000
    if kind == MARIADB_GTID:
        number, _, flags = struct.unpack_from("<QIB", body)
        return Begin(number, seconds, not flags & _STANDALONE)
    if kind == GTID_TAGGED:
        # Its body is a format of its own, of which nothing is needed.
        return Begin(None, seconds)
    (number,) = struct.unpack_from("<q", body, 17)
    # flags, source id, number, logical clock (1 + 16 + 8 + 17 bytes), then since MySQL 8.0 when the
    # transaction committed on this server: 55 bits, whose top bit says that more follow.
    if len(body) >= 49 and body[25] == 2:
        immediate = int.from_bytes(body[42:49], "little")
        seconds = immediate & (1 << 55) - 1
    return Begin(number if kind == GTID else None, seconds)


@dataclass(frozen=True, slots=True)
class Query:
    """A statement as text, the database it ran in, and whether a backslash in its strings escapes."""

    database: str
    statement: str
    escapes: bool = True


Inflate: TypeAlias = Callable[[memoryview], bytes]
Decode: TypeAlias = Callable[[bytes, int | None], str]
"""Text of a statement, by the number of a collation of its character set (None: it is not told)."""


def parse_query(body: memoryview, inflate: Inflate | None, decode: Decode) -> Query:
    """A statement; `inflate` decompresses it where it is."""
    _, _, database_length, _, status_length = struct.unpack_from("<IIBHH", body)
    at = 13 + status_length
    database = bytes(body[at : at + database_length]).decode("utf-8", "surrogateescape")
    text = body[at + database_length + 1 :]
    mode, collation = _modes(body[13:at])
    statement = bytes(text) if inflate is None else inflate(text)
    return Query(database, decode(statement, collation), not mode & _NO_BACKSLASH_ESCAPES)


_NO_BACKSLASH_ESCAPES = 1 << 20
_SQL_MODE, _CATALOG, _CHARSET = 1, 6, 4
_STATUS_BYTES = {0: 4, _SQL_MODE: 8, 3: 4, _CHARSET: 6}
"""Status variables that come before the character set: flags, SQL mode, steps of AUTO_INCREMENT."""


def _modes(status: memoryview) -> tuple[int, int | None]:
    """SQL mode of a statement, and a collation of the character set that it is written in."""
    mode, at = 0, 0
    while at < len(status):
        kind, at = status[at], at + 1
        size = status[at] + 1 if kind == _CATALOG and at < len(status) else _STATUS_BYTES.get(kind)
        if size is None:
            break
        if kind == _SQL_MODE:
            mode = int.from_bytes(status[at : at + 8], "little")
        elif kind == _CHARSET:
            return mode, int.from_bytes(status[at : at + 2], "little")
        at += size
    return mode, None


def parse_rotate(body: bytes | memoryview) -> tuple[str, int]:
    """Name of the next file, and the position in it."""
    (position,) = struct.unpack_from("<Q", body)
    return bytes(body[8:]).decode(), position


def lenenc(body: bytes | memoryview, at: int) -> tuple[int, int]:
    """A length-encoded integer and the offset after it."""
    first = body[at]
    if first < 0xFB:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if size is None:
        raise DecodeError("a length in the binary log is malformed")
    return int.from_bytes(body[at + 1 : at + 1 + size], "little"), at + 1 + size
