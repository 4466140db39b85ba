"""Dates and times of row images as Arrow arrays, and texts of those that are on no calendar.

Formats: MySQL's `my_time.cc`. DATE is three bytes, little endian: day 5 bits, month 4, year. The
others are big endian, with fraction digits in one byte for every two of them: DATETIME is a sign bit,
17 bits of `13 year + month`, 5 of day, 5 of hour, 6 each of minute and second; TIME the same without
the date and around 0x800000; TIMESTAMP seconds since 1970 UTC, of which 0 with no fraction is the
zero timestamp.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pyarrow as pa

from replication_assets.sources.mysql.binlog.row_images import Ints, Mask, PieceBytes, Spans
from replication_assets.sources.mysql.types import on_calendar

Odd: TypeAlias = pa.StringArray | None
_SECOND = 1_000_000
_TO_MICROS = (1, 10_000, 10_000, 100, 100, 1, 1)
"""Microseconds of one unit of the fraction, by declared digits: bytes hold an even number of them."""


def dates(piece: PieceBytes, spans: Spans) -> tuple[pa.Array, Odd]:
    raw = piece.little(spans.start, 3).astype(np.int64)
    year, month, day = raw >> 9, raw >> 5 & 15, raw & 31
    odd = _odd(year, month, day, spans.nulls)
    days = _days(year, month, day, odd)
    values = pa.array(days.astype(np.int32), mask=_either(odd, spans.nulls)).cast(pa.date32())
    if not odd.any():
        return values, None
    texts = [_date_text(*each) for each in _rows(odd, year, month, day)]
    return values, _odd_texts(odd, texts)


def datetimes(piece: PieceBytes, digits: int, spans: Spans) -> tuple[pa.Array, Odd]:
    raw = piece.big(spans.start, 5).astype(np.int64) - 0x8000000000
    year, month = np.divmod(raw >> 22, 13)
    day, hour, minute, second = raw >> 17 & 31, raw >> 12 & 31, raw >> 6 & 63, raw & 63
    micros = _fraction(piece, spans.start + 5, digits)
    odd = _odd(year, month, day, spans.nulls)
    days = _days(year, month, day, odd)
    clock = ((hour * 60 + minute) * 60 + second) * _SECOND + micros
    whole = days * (86_400 * _SECOND) + clock
    values = pa.array(whole, mask=_either(odd, spans.nulls)).cast(pa.timestamp("us"))
    if not odd.any():
        return values, None
    texts = [
        f"{_date_text(y, m, d)} {h:02d}:{i:02d}:{s:02d}{_fraction_text(f, digits)}"
        for y, m, d, h, i, s, f in _rows(odd, year, month, day, hour, minute, second, micros)
    ]
    return values, _odd_texts(odd, texts)


def timestamps(piece: PieceBytes, digits: int, spans: Spans) -> tuple[pa.Array, Odd]:
    seconds = piece.big(spans.start, 4).astype(np.int64)
    whole = seconds * _SECOND + _fraction(piece, spans.start + 4, digits)
    odd = whole == 0 if spans.nulls is None else (whole == 0) & ~spans.nulls
    values = pa.array(whole, mask=_either(odd, spans.nulls)).cast(pa.timestamp("us", tz="UTC"))
    if not odd.any():
        return values, None
    zero = "0000-00-00 00:00:00" + _fraction_text(0, digits)
    return values, _odd_texts(odd, [zero] * int(odd.sum()))


def times(piece: PieceBytes, digits: int, spans: Spans) -> pa.StringArray:
    """`[-]HH:MM:SS`, two or three hour digits, with the declared fraction digits."""
    fraction_bytes = (digits + 1) // 2
    packed = piece.big(spans.start, 3 + fraction_bytes).astype(np.int64) - (0x800000 << 8 * fraction_bytes)
    if spans.nulls is not None:
        packed = np.where(spans.nulls, 0, packed)
    distinct, which = np.unique(packed, return_inverse=True)
    texts = pa.array([_time_text(value, digits, fraction_bytes) for value in distinct.tolist()], pa.string())
    return texts.take(pa.array(which, mask=spans.nulls))


def _time_text(packed: int, digits: int, fraction_bytes: int) -> str:
    sign, size = ("-", -packed) if packed < 0 else ("", packed)
    whole, fraction = size >> 8 * fraction_bytes, size & (1 << 8 * fraction_bytes) - 1
    clock = f"{whole >> 12 & 0x3FF:02d}:{whole >> 6 & 63:02d}:{whole & 63:02d}"
    return sign + clock + _fraction_text(fraction * _TO_MICROS[digits], digits)


def _fraction(piece: PieceBytes, at: Ints, digits: int) -> Ints:
    if not digits:
        return np.zeros(len(at), dtype=np.int64)
    return piece.big(at, (digits + 1) // 2).astype(np.int64) * _TO_MICROS[digits]


def _fraction_text(micros: int, digits: int) -> str:
    return f".{micros:06d}"[: digits + 1] if digits else ""


def _odd(year: Ints, month: Ints, day: Ints, nulls: Mask | None) -> Mask:
    odd: Mask = ~on_calendar(year, month, day)
    return odd if nulls is None else odd & ~nulls


def _either(odd: Mask, nulls: Mask | None) -> Mask | None:
    if nulls is None:
        return odd if odd.any() else None
    return odd | nulls


def _days(year: Ints, month: Ints, day: Ints, odd: Mask) -> Ints:
    """Days since 1970-01-01 of the Gregorian calendar; where odd, of another day."""
    # Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March.
    shifted = np.where(odd, 1970, year) - (month <= 2)
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * np.where(month > 2, month - 3, month + 9) + 2) // 5 + day - 1
    found: Ints = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return found


def _rows(chosen: Mask, *columns: Ints) -> zip[tuple[int, ...]]:
    return zip(*(column[chosen].tolist() for column in columns), strict=True)


def _date_text(year: int, month: int, day: int) -> str:
    return f"{year:04d}-{month:02d}-{day:02d}"


def _odd_texts(odd: Mask, texts: list[str]) -> pa.StringArray:
    everywhere = np.full(len(odd), None, dtype=object)
    everywhere[odd] = texts
    return pa.array(everywhere, pa.string())
