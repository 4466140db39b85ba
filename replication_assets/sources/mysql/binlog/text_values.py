"""Texts and bytes of row images as Arrow arrays.

CHAR and BINARY come without their padding, which is put back for BINARY and whatever else has a
fixed number of bytes. ENUM is the number of a member, from 1, with 0 for the empty value of a row
that was written without strict mode; SET has a bit per member.
"""

from __future__ import annotations

import ipaddress
import socket
import uuid
import zlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog.charsets import Charsets
from replication_assets.sources.mysql.binlog.row_images import PieceBytes, Spans
from replication_assets.sources.mysql.binlog.table_map import WireColumn


def raw_bytes(piece: PieceBytes, spans: Spans) -> pa.BinaryArray:
    """The values as they stand in the log.

    The piece itself serves as the data of an Arrow array: its values lie between offsets start, end,
    start, end ... and every second one is ours, because values of a column rise in stream order.
    """
    rows = len(spans.start)
    if rows == 0:
        return pa.array([], pa.binary())
    offsets = np.empty(2 * rows, dtype=np.int32)
    offsets[0::2], offsets[1::2] = spans.start, spans.end
    whole = pa.Array.from_buffers(
        pa.binary(), 2 * rows - 1, [None, pa.py_buffer(offsets), pa.py_buffer(piece.data)]
    )
    return whole.take(pa.array(2 * np.arange(rows), mask=spans.nulls))


def padded(values: pa.BinaryArray, size: int) -> pa.BinaryArray:
    """Values of a fixed number of bytes, with the zeros at their end that the log leaves out."""
    lengths = pc.binary_length(values)
    if pc.all(pc.equal(lengths, size)).as_py():
        return values
    distinct = values.dictionary_encode()
    whole = [value.ljust(size, b"\0") for value in distinct.dictionary.to_pylist()]
    return pa.array(whole, pa.binary()).take(distinct.indices)


def uncompressed(values: pa.BinaryArray) -> pa.BinaryArray:
    """Values of MariaDB's COMPRESSED columns: a byte `method << 4 | no header << 3 | length bytes`, the
    length, most significant byte first, and zlib; method 0 is plain bytes (sql/field_comp.cc)."""
    distinct = values.dictionary_encode()
    whole = [_uncompressed(value) for value in distinct.dictionary.to_pylist()]
    return pa.array(whole, pa.binary()).take(distinct.indices)


def _uncompressed(value: bytes) -> bytes:
    if not value or value[0] >> 4 == 0:
        return value[1:]
    if value[0] >> 4 != 8:
        raise DecodeError(f"a compressed column uses method {value[0] >> 4}, which is not known")
    start = 1 + (value[0] & 7)
    size = int.from_bytes(value[1:start], "big")
    try:
        plain = zlib.decompress(value[start:], wbits=-15 if value[0] & 8 else 15)
    except zlib.error:
        raise DecodeError("a value of a compressed column cannot be decompressed") from None
    if len(plain) != size:
        raise DecodeError("a value of a compressed column has another length than it says")
    return plain


def enums(piece: PieceBytes, column: WireColumn, spans: Spans, members: list[str]) -> pa.StringArray:
    numbers = piece.little(spans.start, column.size).astype(np.int64)
    if spans.nulls is not None:
        numbers = np.where(spans.nulls, 0, numbers)
    if len(numbers) and int(numbers.max()) > len(members):
        raise DecodeError("an ENUM has a value beyond its members")
    return pa.array(["", *members], pa.string()).take(pa.array(numbers, mask=spans.nulls))


def sets(piece: PieceBytes, column: WireColumn, spans: Spans, members: list[str]) -> pa.StringArray:
    masks = piece.little(spans.start, column.size)
    if spans.nulls is not None:
        masks = np.where(spans.nulls, np.uint64(0), masks)
    distinct, which = np.unique(masks, return_inverse=True)
    texts = []
    for mask in distinct.tolist():
        if mask >> len(members):
            raise DecodeError("a SET has a value beyond its members")
        texts.append(",".join(member for bit, member in enumerate(members) if mask >> bit & 1))
    return pa.array(texts, pa.string()).take(pa.array(which, mask=spans.nulls))


def members_of(column: WireColumn, charsets: Charsets) -> list[str]:
    """Names of the members of an ENUM or SET."""
    charset = charsets.of_collation(column.collation)
    if charset == "binary":
        charset = "utf8mb4"
    found: list[str] = charsets.to_text(charset, pa.array(column.members, pa.binary())).to_pylist()
    return found


def printed(values: pa.BinaryArray, text_of: Callable[[bytes], str]) -> pa.StringArray:
    """Each distinct value printed once."""
    encoded = values.dictionary_encode()
    texts = [text_of(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)


def uuid_text(value: bytes) -> str:
    return str(uuid.UUID(bytes=value))


def inet4_text(value: bytes) -> str:
    return str(ipaddress.IPv4Address(value))


def inet6_text(value: bytes) -> str:
    """As the server prints it, which is as inet_ntop does."""
    return socket.inet_ntop(socket.AF_INET6, value)
