"""Compressed parts of the binary log: MariaDB's `log_bin_compress`, MySQL's transaction payloads.

MariaDB (`log_event.h`, "Compressed binlog events"): one byte `0x80 | algorithm << 4 | length bytes`,
the uncompressed length, most significant byte first, then zlib.

MySQL (`Transaction_payload_event`): fields of type, length and value, ended by type 0, then the
events of a whole transaction as one zstd stream, each with a header and without a checksum.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pyarrow as pa

from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog.events import HEADER, lenenc

_SIZE, _COMPRESSION, _END = 1, 2, 0
_ZSTD, _PLAIN = 0, 255


def inflate(data: bytes | memoryview) -> bytes:
    """The bytes that MariaDB compressed."""
    flags = data[0] if len(data) else 0
    lengths = flags & 0x07
    if not flags & 0x80 or flags & 0x70 or not 1 <= lengths <= 4 or len(data) <= lengths:
        raise DecodeError("a compressed event is not of the one form that is known")
    size = int.from_bytes(data[1 : 1 + lengths], "big")
    try:
        plain = zlib.decompress(data[1 + lengths :], bufsize=max(size, 1))
    except zlib.error:
        raise DecodeError("a compressed event cannot be decompressed") from None
    if len(plain) != size:
        raise DecodeError("a compressed event has another length than it says")
    return plain


def payload_events(body: bytes) -> Iterator[memoryview]:
    """The events in a transaction payload, read as they are asked for: never all of them at once."""
    compression, size, at = None, None, 0
    while (kind_at := lenenc(body, at))[0] != _END:
        kind, at = kind_at
        length, at = lenenc(body, at)
        value = lenenc(body, at)[0]
        at += length
        if kind == _COMPRESSION:
            compression = value
        elif kind == _SIZE:
            size = value
    payload = body[kind_at[1] :]
    if compression not in (_ZSTD, _PLAIN) or size != len(payload):
        raise DecodeError(f"a transaction payload of compression {compression} cannot be read")
    stream = pa.input_stream(
        pa.BufferReader(payload), compression="zstd" if compression == _ZSTD else None, buffer_size=None
    )
    while header := _exactly(stream, HEADER, may_end=True):
        rest = int.from_bytes(header[9:13], "little") - HEADER
        if rest < 0:
            raise DecodeError("an event in a transaction payload is malformed")
        yield memoryview(header + _exactly(stream, rest))


def _exactly(stream: pa.NativeFile, size: int, *, may_end: bool = False) -> bytes:
    parts, missing = [], size
    try:
        while missing and (part := stream.read(missing)):
            parts.append(part)
            missing -= len(part)
    except (OSError, pa.ArrowException):
        raise DecodeError("a transaction payload cannot be decompressed") from None
    if missing and not (may_end and missing == size):
        raise DecodeError("a transaction payload ends inside of an event")
    return b"".join(parts)
