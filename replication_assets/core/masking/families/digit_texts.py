"""Digits of a column of texts, where they stand: what rules that keep a text's form work on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.column_bytes import Bytes, Counts, Flags, known, texts_of_bytes

ZERO = np.uint8(ord("0"))
_ROWS = 16_384
_SPACE, _DELETE = 0x20, 0x7F


class DigitTexts:
    """A copy of the texts' bytes, in which digits are looked up and replaced."""

    __slots__ = ("_content", "_ends", "_firsts", "_places", "counts", "known")

    def __init__(self, texts: pa.Array) -> None:
        self.known: Flags = known(texts)
        self._ends, self._content = _copied(texts)
        is_digit = (self._content - ZERO) < 10
        seen = _before(is_digit)
        self._places = np.flatnonzero(is_digit)
        self._firsts = seen[self._ends[:-1]]
        self.counts: Counts = np.diff(seen[self._ends])

    def rows_with_others(self) -> Flags:
        """Texts that have anything but digits, ASCII punctuation and spaces: letters, say."""
        alike = self._content | np.uint8(0x20)
        letter = (alike >= ord("a")) & (alike <= ord("z"))
        other = letter | (self._content < _SPACE) | (self._content >= _DELETE)
        found: Flags = np.diff(_before(other)[self._ends]) > 0
        return found

    def groups(self) -> Iterator[tuple[Counts, Counts]]:
        """Texts with as many digits, by their row numbers, and the places of these digits, a row for each
        text. Texts without a digit are left out."""
        for count in np.flatnonzero(np.bincount(self.counts)):
            if count:
                rows = np.flatnonzero(self.counts == count)
                for start in range(0, len(rows), _ROWS):
                    part = rows[start : start + _ROWS]
                    yield part, self.places(part, int(count))

    def places(self, rows: Counts, count: int) -> Counts:
        """Where the first `count` digits of these texts are, which have that many."""
        found: Counts = self._places[self._firsts[rows][:, None] + np.arange(count)]
        return found

    def digits(self, places: Counts) -> Bytes:
        """The digits there as numbers 0 to 9."""
        found: Bytes = self._content[places] - ZERO
        return found

    def put(self, places: Counts, digits: npt.NDArray[np.uint8]) -> None:
        """Other digits there."""
        self._content[places] = digits + ZERO

    def put_everywhere(self, character: str) -> None:
        """One ASCII character in place of every digit."""
        self._content[self._places] = ord(character)

    def texts(self, arrow: pa.DataType) -> pa.Array:
        """The texts as they are now, null where they were."""
        return texts_of_bytes(self._content, np.diff(self._ends), self.known, arrow)


def _copied(texts: pa.Array) -> tuple[Counts, Bytes]:
    filled = pc.fill_null(texts, "") if texts.null_count else texts
    _, offsets, data = filled.buffers()
    if not len(filled) or offsets is None:
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    dtype = np.dtype(np.int64 if pa.types.is_large_string(filled.type) else np.int32)
    ends = np.frombuffer(offsets, dtype, len(filled) + 1, filled.offset * dtype.itemsize).astype(np.int64)
    content = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]].copy()
    return ends - ends[0], content


def _before(flags: Flags) -> Counts:
    """How many are set before each place, and before the end."""
    seen = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=seen[1:])
    return seen
