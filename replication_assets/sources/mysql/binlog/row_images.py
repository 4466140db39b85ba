"""Images of many rows of one table at once: where each column's value lies.

An image is a bitmap of the columns that are NULL, then the values of the others, back to back. The
images of an event follow each other without a length, so they are walked: the first image of every
event side by side, then the second of those that have one, and so on. An update event holds two
images per row, before and after.

Values stay in the piece of the log that they arrived in; a `Spans` says where.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog import table_map as tm
from replication_assets.sources.mysql.binlog.table_map import TableMap, WireColumn

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_DIGIT_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
"""Bytes that the binary form of a decimal takes for 0 to 9 digits."""
_FEW = 12
"""Events of which the images are walked one by one: side by side costs more for so few."""
_FIXED = {
    tm.TINY: 1,
    tm.SHORT: 2,
    tm.INT24: 3,
    tm.LONG: 4,
    tm.LONGLONG: 8,
    tm.FLOAT: 4,
    tm.DOUBLE: 8,
    tm.YEAR: 1,
    tm.DATE: 3,
    tm.OLD_TIME: 3,
    tm.OLD_TIMESTAMP: 4,
    tm.OLD_DATETIME: 8,
}


def fixed_width(column: WireColumn) -> int | None:
    """Bytes of a value; None where each value says its own."""
    if column.type in _FIXED:
        return _FIXED[column.type]
    if column.type == tm.NEWDECIMAL:
        precision, scale = divmod(column.size, 256)
        return decimal_bytes(precision - scale) + decimal_bytes(scale)
    if column.type in (tm.TIMESTAMP2, tm.DATETIME2, tm.TIME2):
        return {tm.TIMESTAMP2: 4, tm.DATETIME2: 5, tm.TIME2: 3}[column.type] + (column.size + 1) // 2
    if column.type == tm.BIT:
        return (column.size + 7) // 8
    return column.size if column.type in (tm.ENUM, tm.SET) else None


def decimal_bytes(digits: int) -> int:
    return digits // 9 * 4 + _DIGIT_BYTES[digits % 9]


def length_bytes(column: WireColumn) -> int:
    """Bytes of the length before a value of no fixed width."""
    if column.type in (tm.VARCHAR, tm.VARCHAR_COMPRESSED, tm.VAR_STRING, tm.STRING):
        return 1 if column.size < 256 else 2
    if column.type in (tm.BLOB, tm.BLOB_COMPRESSED, tm.GEOMETRY, tm.JSON, tm.VECTOR):
        return column.size
    raise DecodeError(f"a column of wire type {column.type} has no known length")


@dataclass(frozen=True, slots=True)
class Spans:
    """One column of some images: bytes `[start, start + length)` of each value, and which are NULL."""

    start: Ints
    length: Ints | int
    nulls: Mask | None

    @property
    def end(self) -> Ints:
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Images:
    """Images of one table in stream order: a `Spans` per column, the event that each image is of (its
    number among those that were asked for), and its number within the event."""

    columns: tuple[Spans, ...]
    event: Ints
    number: Ints

    def __len__(self) -> int:
        return len(self.event)


class PieceBytes:
    """The bytes of a piece, and numbers anywhere in them."""

    def __init__(self, data: bytearray) -> None:
        if len(data) >= 1 << 31:
            raise DecodeError(
                "an event of more than 2 GiB cannot be read", fix="store values of that size in parts"
            )
        self.data = data
        self.bytes: Bytes = np.frombuffer(data, dtype=np.uint8)
        self._views: dict[str, npt.NDArray[np.generic]] = {}

    def numbers(self, kind: str, at: Ints) -> npt.NDArray[np.generic]:
        """Values of a numpy type at byte offsets, aligned or not."""
        view = self._views.get(kind)
        if view is None:
            count = len(self.data) - np.dtype(kind).itemsize + 1
            view = self._views[kind] = np.ndarray((count,), dtype=kind, buffer=self.data, strides=(1,))
        return view[at]

    def little(self, at: Ints, width: int) -> npt.NDArray[np.uint64]:
        """Little-endian integers of up to eight bytes."""
        whole = self.numbers("<u8", at).astype(np.uint64)
        return whole if width == 8 else whole & np.uint64((1 << 8 * width) - 1)

    def big(self, at: Ints, width: int) -> npt.NDArray[np.uint64]:
        """Big-endian integers of up to eight bytes."""
        return self.numbers(">u8", at).astype(np.uint64) >> np.uint64(64 - 8 * width)


def walk(piece: PieceBytes, table: TableMap, starts: Ints, ends: Ints) -> Images:
    """The images in bytes `[start, end)` of each event.

    Raises:
        DecodeError: they do not fill their event exactly.
    """
    rounds: list[tuple[Ints, list[Spans]]] = []
    numbers: list[Ints] = []
    active = np.flatnonzero(starts < ends)
    cursor = starts[active]
    plan = [(fixed_width(column), column) for column in table.columns]
    while len(active) > _FEW:
        spans, cursor = _walk_one(piece, plan, cursor)
        if np.any(cursor > ends[active]):
            raise DecodeError("a row leaves its event", where=f"{table.schema}.{table.name}")
        numbers.append(np.full(len(active), len(rounds), dtype=np.int64))
        rounds.append((active, spans))
        more = cursor < ends[active]
        active, cursor = active[more], cursor[more]
    if len(active):
        rest = _walk_rest(piece, plan, active, cursor, ends[active], len(rounds))
        rounds.append(rest[:2])
        numbers.append(rest[2])
    return _in_stream_order(rounds, numbers, len(table.columns))


def _walk_one(
    piece: PieceBytes, plan: list[tuple[int | None, WireColumn]], cursor: Ints
) -> tuple[list[Spans], Ints]:
    """One image per event; and where each ends."""
    bitmap = (len(plan) + 7) // 8
    present_nulls = [piece.bytes[cursor + byte] for byte in range(bitmap)]
    some = [bool(byte.any()) for byte in present_nulls]
    at, offset = cursor, bitmap
    spans = []
    for number, (width, column) in enumerate(plan):
        nulls = None
        if some[number // 8]:
            bits = (present_nulls[number // 8] >> (number % 8)) & 1
            nulls = bits.astype(bool) if bits.any() else None
        start = at + offset
        if width is not None and nulls is None:
            spans.append(Spans(start, width, None))
            offset += width
            continue
        if width is not None and nulls is not None:
            length: Ints = np.where(nulls, 0, width)
        else:
            before = length_bytes(column)
            length = piece.little(start, before).astype(np.int64)
            if nulls is not None:
                length = np.where(nulls, 0, length)
                start = start + np.where(nulls, 0, before)
            else:
                start = start + before
            if np.any(start + length >= len(piece.data)):
                raise DecodeError("a value leaves its piece of the log")
        spans.append(Spans(start, length, nulls))
        at, offset = start + length, 0
    return spans, at + offset


def _walk_rest(
    piece: PieceBytes,
    plan: list[tuple[int | None, WireColumn]],
    active: Ints,
    cursor: Ints,
    ends: Ints,
    number: int,
) -> tuple[Ints, list[Spans], Ints]:
    """All images of a few events, one by one: events, spans, and numbers within the events."""
    data, bitmap_bytes = piece.data, (len(plan) + 7) // 8
    widths = [(width, 0 if width is not None else length_bytes(column)) for width, column in plan]
    starts: list[list[int]] = [[] for _ in plan]
    lengths: list[list[int]] = [[] for _ in plan]
    bitmaps: list[int] = []
    events: list[int] = []
    numbers: list[int] = []
    for event, begin, end in zip(active.tolist(), cursor.tolist(), ends.tolist(), strict=True):
        at, within = begin, number
        while at < end:
            bitmap = int.from_bytes(data[at : at + bitmap_bytes], "little")
            at += bitmap_bytes
            for column, (width, before) in enumerate(widths):
                if bitmap >> column & 1:
                    length = 0
                elif width is not None:
                    length = width
                else:
                    length = int.from_bytes(data[at : at + before], "little")
                    at += before
                starts[column].append(at)
                lengths[column].append(length)
                at += length
            bitmaps.append(bitmap)
            events.append(event)
            numbers.append(within)
            within += 1
        if at != end:
            raise DecodeError("a row leaves its event")
    spans = [
        Spans(
            np.array(starts[column], dtype=np.int64),
            np.array(lengths[column], dtype=np.int64),
            np.array([bool(bitmap >> column & 1) for bitmap in bitmaps]) if any(bitmaps) else None,
        )
        for column in range(len(plan))
    ]
    return np.array(events, dtype=np.int64), spans, np.array(numbers, dtype=np.int64)


def _in_stream_order(rounds: list[tuple[Ints, list[Spans]]], numbers: list[Ints], columns: int) -> Images:
    event = np.concatenate([active for active, _ in rounds]) if rounds else np.zeros(0, dtype=np.int64)
    number = np.concatenate(numbers) if numbers else np.zeros(0, dtype=np.int64)
    # One round of the first kind is in order; one of the second is too.
    order = None if len(rounds) <= 1 else np.lexsort((number, event))
    joined = tuple(
        _joined([(len(active), spans[column]) for active, spans in rounds], order)
        for column in range(columns)
    )
    if order is not None:
        event, number = event[order], number[order]
    return Images(joined, event, number)


def _joined(parts: list[tuple[int, Spans]], order: Ints | None) -> Spans:
    if not parts:
        return Spans(np.zeros(0, dtype=np.int64), 0, None)
    if order is None:
        return parts[0][1]
    start = np.concatenate([spans.start for _, spans in parts])[order]
    nulls = None
    if any(spans.nulls is not None for _, spans in parts):
        every = [np.zeros(n, dtype=bool) if s.nulls is None else s.nulls for n, s in parts]
        nulls = np.concatenate(every)[order]
    widths = {spans.length for _, spans in parts if isinstance(spans.length, int)}
    if len(widths) == 1 and all(isinstance(spans.length, int) for _, spans in parts):
        return Spans(start, widths.pop(), nulls)
    every_length = [np.full(n, s.length) if isinstance(s.length, int) else s.length for n, s in parts]
    return Spans(start, np.concatenate(every_length)[order], nulls)
