"""MySQL's binary JSON to the text that the server prints. MariaDB stores JSON as text.

Format: `sql-common/json_binary.h` of MySQL 8. A type byte, then the value: objects and arrays (small
ones with two-byte, large ones with four-byte counts and offsets), literals, integers, doubles, strings
with a length of seven bits per byte, and opaque values of a column type.

The text is the server's: a space after colons and commas, keys in stored order, doubles with the
fewest digits that read back as the same bits, `1.0` for whole ones.
"""

from __future__ import annotations

import base64
import json
import struct
from decimal import Decimal

from replication_assets.errors import DecodeError

_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY, _LITERAL = 0, 1, 2, 3, 4
_INT16, _UINT16, _INT32, _UINT32, _INT64, _UINT64, _DOUBLE, _STRING, _OPAQUE = 5, 6, 7, 8, 9, 10, 11, 12, 15
_LITERALS = {0: "null", 1: "true", 2: "false"}
_FIXED = {_INT16: "<h", _UINT16: "<H", _INT32: "<i", _UINT32: "<I", _INT64: "<q", _UINT64: "<Q"}
_DECIMAL, _DATE, _TIME, _DATETIME, _TIMESTAMP = 246, 10, 11, 12, 7
_MOST_NESTED = 200
"""The server nests documents at most 100 deep."""


def json_text(value: bytes) -> str:
    """One document.

    Raises:
        DecodeError: it is malformed.
    """
    if not value:
        # What a NOT NULL column holds for a row that was written before it had a value.
        return "null"
    try:
        return _value(value[0], memoryview(value)[1:], 0)
    except (struct.error, IndexError, UnicodeDecodeError, KeyError):
        # Messages of these quote the value.
        raise DecodeError("a JSON document is malformed") from None


def _value(kind: int, body: memoryview, depth: int) -> str:
    if depth > _MOST_NESTED:
        raise DecodeError("a JSON document is nested too deep")
    if kind in (_SMALL_OBJECT, _LARGE_OBJECT):
        return _object(body, kind == _LARGE_OBJECT, depth)
    if kind in (_SMALL_ARRAY, _LARGE_ARRAY):
        return _array(body, kind == _LARGE_ARRAY, depth)
    if kind == _LITERAL:
        return _LITERALS[body[0]]
    if kind in _FIXED:
        return str(struct.unpack_from(_FIXED[kind], body)[0])
    if kind == _DOUBLE:
        return double_text(struct.unpack_from("<d", body)[0])
    if kind == _STRING:
        length, at = _length(body, 0)
        return _quoted(bytes(body[at : at + length]).decode())
    if kind == _OPAQUE:
        length, at = _length(body, 1)
        return _opaque(body[0], bytes(body[at : at + length]))
    raise DecodeError(f"a JSON value is of kind {kind}, which is not known")


def _object(body: memoryview, large: bool, depth: int) -> str:
    width, count_kind = (4, "<I") if large else (2, "<H")
    (count,) = struct.unpack_from(count_kind, body)
    keys = 2 * width
    values = keys + count * (width + 2)
    members = []
    for number in range(count):
        entry = keys + number * (width + 2)
        (offset,) = struct.unpack_from(count_kind, body, entry)
        (length,) = struct.unpack_from("<H", body, entry + width)
        key = bytes(body[offset : offset + length]).decode()
        members.append(f"{_quoted(key)}: {_entry(body, values + number * (width + 1), large, depth)}")
    return "{" + ", ".join(members) + "}"


def _array(body: memoryview, large: bool, depth: int) -> str:
    width, count_kind = (4, "<I") if large else (2, "<H")
    (count,) = struct.unpack_from(count_kind, body)
    entries = [_entry(body, 2 * width + number * (width + 1), large, depth) for number in range(count)]
    return "[" + ", ".join(entries) + "]"


def _entry(body: memoryview, at: int, large: bool, depth: int) -> str:
    """A value that stands in its entry, where it is small enough, or at an offset."""
    kind = body[at]
    inline = kind in (_LITERAL, _INT16, _UINT16) or (large and kind in (_INT32, _UINT32))
    if inline:
        return _value(kind, body[at + 1 :], depth + 1)
    (offset,) = struct.unpack_from("<I" if large else "<H", body, at + 1)
    return _value(kind, body[offset:], depth + 1)


def _length(body: memoryview, at: int) -> tuple[int, int]:
    length, shift = 0, 0
    while True:
        byte = body[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return length, at
        if shift > 28:
            raise DecodeError("a length in a JSON document is malformed")


def double_text(value: float) -> str:
    """As `my_gcvt` prints it: digits while they are short, else an exponent without sign or zeros."""
    if value == int(value) and abs(value) < 1e15:
        return f"{value:.1f}"
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent:
        digits = Decimal(repr(value))
        places = digits.adjusted()
        if -5 <= places < 15:
            return mantissa
        sign, figures, _ = digits.as_tuple()
        text = "".join(str(figure) for figure in figures).rstrip("0")
        return f"{'-' if sign else ''}{text[0]}{'.' + text[1:] if text[1:] else ''}e{places}"
    if -5 <= int(exponent) < 0:
        return f"{Decimal(repr(value)):f}"
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _opaque(kind: int, value: bytes) -> str:
    if kind == _DECIMAL:
        return _decimal(value)
    if kind in (_DATE, _TIME, _DATETIME, _TIMESTAMP):
        return _quoted(_temporal(kind, struct.unpack("<q", value)[0]))
    return _quoted(f"base64:type{kind}:{base64.b64encode(value).decode()}")


def _decimal(value: bytes) -> str:
    precision, scale, packed = value[0], value[1], value[2:]
    digits, at = "", 0
    negative = not packed[0] & 0x80
    packed = bytes([packed[0] ^ 0x80]) + packed[1:]
    if negative:
        packed = bytes(byte ^ 0xFF for byte in packed)
    widths = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
    whole, fraction = precision - scale, scale
    for size in [whole % 9, *[9] * (whole // 9), *[9] * (fraction // 9), fraction % 9]:
        if size:
            number = int.from_bytes(packed[at : at + widths[size]], "big")
            digits += f"{number:0{size}d}"
            at += widths[size]
    text = digits[: len(digits) - scale].lstrip("0") or "0"
    return ("-" if negative else "") + text + (f".{digits[len(digits) - scale :]}" if scale else "")


def _temporal(kind: int, packed: int) -> str:
    sign, size = ("-", -packed) if packed < 0 else ("", packed)
    micros, whole = size & 0xFFFFFF, size >> 24
    clock = f"{whole >> 6 & 63:02d}:{whole & 63:02d}.{micros:06d}"
    if kind == _TIME:
        return f"{sign}{whole >> 12 & 0x3FF:02d}:{clock}"
    months, day = whole >> 22, whole >> 17 & 31
    date = f"{months // 13:04d}-{months % 13:02d}-{day:02d}"
    return date if kind == _DATE else f"{date} {whole >> 12 & 31:02d}:{clock}"
