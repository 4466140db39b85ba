"""Numbers of row images as Arrow arrays.

Formats: MySQL's `Field_*::pack` (little endian), `decimal2bin` (groups of nine digits, most
significant first, the top bit inverted, all bits of a negative number inverted), BIT most significant
byte first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog import table_map as tm
from replication_assets.sources.mysql.binlog.row_images import (
    Mask,
    PieceBytes,
    Spans,
    decimal_bytes,
)
from replication_assets.sources.mysql.binlog.table_map import WireColumn

U64 = npt.NDArray[np.uint64]

_WIDTHS = {tm.TINY: 1, tm.SHORT: 2, tm.INT24: 3, tm.LONG: 4, tm.LONGLONG: 8}
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def numpy_array(values: npt.NDArray[np.generic], kind: pa.DataType, nulls: Mask | None) -> pa.Array:
    """Numbers that fit `kind`, with nulls."""
    return pa.array(values, mask=nulls).cast(kind)


def integers(piece: PieceBytes, column: WireColumn, spans: Spans, kind: pa.DataType) -> pa.Array:
    width = _WIDTHS[column.type]
    raw = piece.little(spans.start, width)
    if column.unsigned:
        if pa.types.is_decimal(kind):
            return decimals_of(raw, np.zeros(len(raw), dtype=np.uint64), kind, spans.nulls)
        return numpy_array(raw.astype(np.int64), kind, spans.nulls)
    shift = np.uint64(64 - 8 * width)
    signed = (raw << shift).view(np.int64) >> np.int64(64 - 8 * width)
    return numpy_array(_zeroed(signed, spans.nulls), kind, spans.nulls)


def years(piece: PieceBytes, spans: Spans, kind: pa.DataType, *, two_digits: bool) -> pa.Array:
    """A byte: 0, or years since 1900."""
    raw = piece.bytes[spans.start].astype(np.int64)
    full = np.where(raw == 0, 0, raw + 1900)
    return numpy_array(full % 100 if two_digits else full, kind, spans.nulls)


def floats(piece: PieceBytes, column: WireColumn, spans: Spans, kind: pa.DataType) -> pa.Array:
    raw = piece.numbers("<f4" if column.type == tm.FLOAT else "<f8", spans.start)
    # The server keeps the sign of a zero and prints none: a load does not see it. Adding zero drops it.
    unsigned_zeros = raw.astype(raw.dtype.newbyteorder("=")) + raw.dtype.type(0)
    return pa.array(unsigned_zeros, mask=spans.nulls, from_pandas=False).cast(kind)


def bits(piece: PieceBytes, column: WireColumn, spans: Spans, kind: pa.DataType) -> pa.Array:
    raw = piece.big(spans.start, (column.size + 7) // 8)
    if pa.types.is_boolean(kind):
        return pa.array(raw != 0, mask=spans.nulls)
    if pa.types.is_decimal(kind):
        return decimals_of(raw, np.zeros(len(raw), dtype=np.uint64), kind, spans.nulls)
    return numpy_array(_zeroed(raw.astype(np.int64), spans.nulls), kind, spans.nulls)


def _zeroed(values: npt.NDArray[np.int64], nulls: Mask | None) -> npt.NDArray[np.int64]:
    """Zero where there is no value: what lies there may not fit the type."""
    return values if nulls is None else np.where(nulls, 0, values)


# --- decimals -------------------------------------------------------------------------------


def decimals(piece: PieceBytes, column: WireColumn, spans: Spans, kind: pa.DataType) -> pa.Array:
    """DECIMAL as decimal128, or as text where it has more than 38 digits."""
    precision, scale = divmod(column.size, 256)
    groups, negative = _groups(piece, precision, scale, spans)
    if pa.types.is_string(kind):
        return _decimal_texts(groups, negative, scale, spans.nulls)
    if not pa.types.is_decimal(kind) or (kind.precision, kind.scale) != (precision, scale):
        raise DecodeError("a decimal has other digits than its column")
    limbs = [np.zeros(len(negative), dtype=np.uint64) for _ in range(4)]
    for values, digits in groups:
        carry = values
        for number, limb in enumerate(limbs):
            total = limb * np.uint64(10**digits) + carry
            limbs[number], carry = total & _LOW, total >> _HALF
    low, high = limbs[0] | limbs[1] << _HALF, limbs[2] | limbs[3] << _HALF
    flipped_low, flipped_high = ~low + np.uint64(1), ~high + (low == 0).astype(np.uint64)
    return decimals_of(
        np.where(negative, flipped_low, low), np.where(negative, flipped_high, high), kind, spans.nulls
    )


def decimals_of(low: U64, high: U64, kind: pa.DataType, nulls: Mask | None) -> pa.Array:
    """decimal128 from the two halves of each number."""
    halves = np.empty(2 * len(low), dtype=np.uint64)
    halves[0::2], halves[1::2] = low, high
    validity = None if nulls is None else pa.array(~nulls).buffers()[1]
    return pa.Array.from_buffers(kind, len(low), [validity, pa.py_buffer(halves)])


def _groups(
    piece: PieceBytes, precision: int, scale: int, spans: Spans
) -> tuple[list[tuple[U64, int]], Mask]:
    """The numbers of up to nine digits that each decimal is made of, most significant first, with
    their digits; and which decimals are negative."""
    whole, left = divmod(precision - scale, 9)
    sizes = ([left] if left else []) + [9] * whole + [9] * (scale // 9) + ([scale % 9] if scale % 9 else [])
    negative = piece.bytes[spans.start] & 0x80 == 0
    groups, at = [], spans.start
    for number, digits in enumerate(sizes):
        width = decimal_bytes(digits)
        raw = piece.big(at, width)
        full = np.uint64((1 << 8 * width) - 1)
        if number == 0:
            raw = raw ^ np.uint64(1 << 8 * width - 1)
        groups.append((np.where(negative, raw ^ full, raw), digits))
        at = at + width
    if spans.nulls is None and any(np.any(values >= 10**digits) for values, digits in groups):
        raise DecodeError("a decimal is malformed")
    return groups, negative


def _decimal_texts(
    groups: list[tuple[U64, int]], negative: Mask, scale: int, nulls: Mask | None
) -> pa.StringArray:
    texts: list[str | None] = []
    columns = [(values.tolist(), digits) for values, digits in groups]
    for row, sign in enumerate(negative.tolist()):
        if nulls is not None and nulls[row]:
            texts.append(None)
            continue
        digits = "".join(f"{values[row]:0{size}d}" for values, size in columns)
        whole, fraction = digits[: len(digits) - scale].lstrip("0") or "0", digits[len(digits) - scale :]
        text = f"{whole}.{fraction}" if scale else whole
        texts.append(f"-{text}" if sign else text)
    return pa.array(texts, pa.string())
