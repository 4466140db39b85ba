"""Events as MySQL 8 writes them, built from its documentation: there is no such server to read from.

One table, `shop.t (id INT PRIMARY KEY, v VARCHAR(20))` in utf8mb4.
"""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.sources.mysql.binlog import events as ev
from replication_assets.sources.mysql.binlog.packets import Packets
from replication_assets.sources.mysql.binlog.pieces import Piece
from replication_assets.sources.mysql.binlog.reading import Reader
from replication_assets.sources.mysql.log_places import LogPlace

TABLE = TableId("shop", "shop", "t")
SCHEMA = TableSchema(
    (Column("id", "int", pa.int32(), False), Column("v", "varchar(20)", pa.string())), ("id",)
)
UTF8MB4 = 45
COMMITTED_AT = 1_700_000_000_123_456
TABLE_ID = struct.pack("<Q", 17)[:6]
START = 4


def lenenc(number: int) -> bytes:
    return bytes([number]) if number < 0xFB else b"\xfc" + struct.pack("<H", number)


def row(key: int, text: str | None) -> bytes:
    value = b"" if text is None else bytes([len(text.encode())]) + text.encode()
    return bytes([0xFC | (0x02 if text is None else 0)]) + struct.pack("<i", key) + value


def table_map() -> bytes:
    names = b"\x02id\x01v"
    optional = b"\x01\x01\x00" + b"\x02\x01" + bytes([UTF8MB4])
    optional += b"\x04" + lenenc(len(names)) + names + b"\x08\x01\x00"
    metadata = struct.pack("<H", 80)
    body = b"\x04shop\0\x01t\0" + b"\x02" + b"\x03\x0f" + lenenc(len(metadata)) + metadata + b"\x02"
    return TABLE_ID + b"\x01\x00" + body + optional


def rows(*images: bytes, bitmaps: bytes = b"\xff", extra: bytes = b"") -> bytes:
    return (
        TABLE_ID
        + b"\x01\x00"
        + struct.pack("<H", 2 + len(extra))
        + extra
        + b"\x02"
        + bitmaps
        + b"".join(images)
    )


def gtid(number: int = 5) -> bytes:
    clock = b"\x02" + struct.pack("<qq", 1, 2) + struct.pack("<Q", COMMITTED_AT)[:7]
    return b"\x01" + b"s" * 16 + struct.pack("<q", number) + clock


def query(statement: str, database: str = "shop") -> bytes:
    return struct.pack("<IIBHH", 1, 0, len(database), 0, 0) + database.encode() + b"\0" + statement.encode()


def payload(*events: bytes) -> bytes:
    plain = b"".join(events)
    packed: bytes = pa.Codec("zstd").compress(plain, asbytes=True)
    fields = b"\x02\x01\x00" + b"\x03\x03" + b"\xfc" + struct.pack("<H", len(plain))
    fields += b"\x01\x03" + b"\xfc" + struct.pack("<H", len(packed)) + b"\x00"
    return fields + packed


def inner(kind: int, body: bytes) -> bytes:
    """An event in a payload: without a checksum, and in no place."""
    return struct.pack("<IBIIIH", 0, kind, 7, ev.HEADER + len(body), 0, 0) + body


def begin() -> list[tuple[int, bytes]]:
    return [(ev.GTID, gtid()), (ev.QUERY, query("BEGIN")), (ev.TABLE_MAP, table_map())]


XID = (ev.XID, struct.pack("<Q", 9))


@dataclass
class Log:
    """A file of a log, as a server sends it."""

    at: int = START
    sent: bytearray = field(default_factory=bytearray)

    def add(self, kind: int, body: bytes, *, log_pos: int | None = None, checksum: int | None = None) -> None:
        size = ev.HEADER + len(body) + 4
        self.at = self.at + size if log_pos is None else log_pos
        event = struct.pack("<IBIIIH", 1_600_000_000, kind, 7, size, self.at & 0xFFFFFFFF, 0) + body
        event += struct.pack("<I", zlib.crc32(event) if checksum is None else checksum)
        self._packets(b"\0" + event)

    def extend(self, events: Sequence[tuple[int, bytes]]) -> None:
        for kind, body in events:
            self.add(kind, body)

    def _packets(self, content: bytes) -> None:
        number = 0
        while True:
            part, content = content[:0xFFFFFF], content[0xFFFFFF:]
            self.sent += struct.pack("<I", len(part))[:3] + bytes([number & 255]) + part
            number += 1
            if len(part) < 0xFFFFFF:
                return

    def pieces(self, piece_bytes: int = 1 << 22) -> list[Piece]:
        """All that is read of it."""
        with self.reader(piece_bytes) as reader:
            found = []
            while not reader.ended:
                found.append(reader.read())
        return found

    @contextmanager
    def reader(self, piece_bytes: int = 1 << 22) -> Iterator[Reader]:
        here, there = socket.socketpair()
        with here, there:
            yield Reader(
                Packets(here, bytes(self.sent), "mysql test"),
                start=LogPlace("binlog", 1, START),
                upto=(1 << 32 | self.at) - 1,
                log_end=lambda: 1 << 32 | self.at,
                decode=lambda text, _: text.decode(),
                is_ours=lambda schema, name: (schema, name) == ("shop", "t"),
                has_checksums=True,
                is_mariadb=False,
                piece_bytes=piece_bytes,
                where="mysql test",
            )
