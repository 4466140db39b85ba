"""TupleData of many rows of one relation at once: where each column's value lies.

A tuple is `int16 columns`, then per column a kind (`n` null, `u` unchanged large value, not
sent, `t` text) and for text `int32 length` and the bytes. Its fields have no fixed place, so
the rows are walked side by side, one column after the other: one cursor per row.

Values stay in the piece of the stream that they arrived in; a `Spans` says where. Only
`texts` copies them out, a whole column at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from replication_assets.errors import DecodeError
from replication_assets.sources.postgres.pgoutput import Bytes, Frames, Ints

NULL, UNCHANGED, TEXT = ord("n"), ord("u"), ord("t")


@dataclass(frozen=True, slots=True)
class Spans:
    """One column of some rows: each value's kind, and for text its bytes `[start, end)`."""

    kind: Bytes
    start: Ints
    end: Ints

    def take(self, rows: Ints) -> Spans:
        return Spans(self.kind[rows], self.start[rows], self.end[rows])

    def where(self, chosen: np.typing.NDArray[np.bool_], other: Spans) -> Spans:
        """These values where `chosen`, those of `other` elsewhere."""
        return Spans(
            np.where(chosen, self.kind, other.kind),
            np.where(chosen, self.start, other.start),
            np.where(chosen, self.end, other.end),
        )


@dataclass(frozen=True, slots=True)
class Tuples:
    """Rows of one relation: a `Spans` per column, and the byte after each tuple."""

    columns: tuple[Spans, ...]
    end: Ints

    def __len__(self) -> int:
        return len(self.end)


def walk(frames: Frames, starts: Ints, columns: int) -> Tuples:
    """The tuples that begin at byte offsets `starts` and must have `columns` columns.

    Raises:
        DecodeError: another number of columns, an unknown kind, or a length that leaves the piece.
    """
    data = frames.bytes
    count = (data[starts].astype(np.int64) << 8) | data[starts + 1]
    if np.any(count != columns):
        raise DecodeError(f"a tuple has not the {columns} columns of its Relation message")
    cursor = starts + 2
    walked = []
    for _ in range(columns):
        kind = data[cursor]
        text = kind == TEXT
        length = np.where(text, frames.int32(cursor + 1), 0)
        start = cursor + np.where(text, 5, 1)
        cursor = start + length
        if np.any(length < 0) or np.any(cursor > frames.length) or not _known(kind, text):
            raise DecodeError("a tuple does not follow pgoutput's text format (was `binary` asked for?)")
        walked.append(Spans(kind, start, cursor))
    return Tuples(tuple(walked), cursor)


def _known(kind: Bytes, text: np.typing.NDArray[np.bool_]) -> bool:
    return bool(np.all(text | (kind == NULL) | (kind == UNCHANGED)))


def texts(frames: Frames, spans: Spans) -> pa.StringArray:
    """The values as text; null where there is none.

    The piece itself serves as the data of an Arrow array: its values lie between offsets
    start, end, start, end ... and every second one is ours. That needs spans that do not
    run backwards, as those of one column in stream order do, except where two events share
    one value of an old tuple.

    Raises:
        DecodeError: bytes that are not UTF-8.
    """
    rows = len(spans.start)
    if rows == 0:
        return pa.array([], pa.string())
    start, end, index = spans.start, spans.end, np.arange(rows)
    if np.any(start[1:] < end[:-1]):
        start, first, index = np.unique(start, return_index=True, return_inverse=True)
        end = end[first]
    offsets = np.empty(2 * len(start), dtype=np.int32)
    offsets[0::2], offsets[1::2] = start, end
    whole = pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(frames.data)]
    )
    missing = spans.kind != TEXT
    wanted = pa.array(2 * index, mask=missing if missing.any() else None)
    try:
        return whole.take(wanted).cast(pa.string())
    except pa.ArrowInvalid:
        # Arrow's message may quote the value.
        raise DecodeError(
            "a value is not UTF-8",
            fix="the database's encoding is SQL_ASCII: store text in a declared encoding",
        ) from None
