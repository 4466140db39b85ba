"""Drawn entries that must not be the input's own: where they are, the next entry is taken.

Inputs are compared in lower case and without space around them. Comparing every text so would cost
more than drawing it, so that only rows are compared whose first two bytes could be equal; what is
not plainly unequal by them counts as could be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.pools import Indices, Pool
from replication_assets.errors import GuardError

Flags: TypeAlias = npt.NDArray[np.bool_]
Codes: TypeAlias = npt.NDArray[np.uint16]

# What differs between a letter and its capital, in ASCII and in the second UTF-8 byte of Latin-1.
_CASE = np.uint8(0x20)
_LATIN_1_LEAD = 0xC3
_MOST_STEPS = 1000

Clash: TypeAlias = Callable[[Indices, Indices], Flags]
"""For some rows (their numbers) and an index for each, whether the entry is the row's own."""


def stepped(indices: Indices, entries: int, suspects: Indices, clash: Clash, where: str) -> Indices:
    """The indices, each moved on to the first entry that is not its row's own. Only `suspects` (row
    numbers) are looked at.

    Raises:
        GuardError: a row whose own every entry is.
    """
    rows = suspects[clash(suspects, indices[suspects])] if len(suspects) else suspects
    steps = 0
    while len(rows):
        if steps == min(entries, _MOST_STEPS):
            raise GuardError(
                f"{len(rows)} rows find no made-up value that is not their own",
                where=f"column {where}",
                fix="use Token, Constant or Null",
            )
        indices[rows] = (indices[rows] + 1) % entries
        rows = rows[clash(rows, indices[rows])]
        steps += 1
    return indices


@dataclass(frozen=True)
class OwnTexts:
    """The inputs as wholes, or (`words`) as the words that white space parts."""

    values: pa.Array
    words: bool = False

    def step(self, pool: Pool, codes: Codes, indices: Indices, where: str) -> Indices:
        """Indices into the pool of which none is its row's own; `codes` are the pool's."""
        return stepped(indices, len(pool), self.suspects(codes, indices), self.clash_with(pool), where)

    def clash_with(self, pool: Pool) -> Clash:
        """Compares in full."""
        return lambda rows, indices: self._equal(pool.folded, rows, indices)

    def suspects(self, codes: Codes, indices: Indices) -> Indices:
        """Rows whose own the drawn entry may be; all others' it is not."""
        rows, starts, always = self._starts
        alike = starts == codes[indices[rows] if self.words else indices]
        found: Indices = rows[alike | always]
        return np.unique(found) if self.words else found

    @cached_property
    def _starts(self) -> tuple[Indices, Codes, Flags]:
        """Where a text or word begins: its row, its first two bytes, and whether they tell nothing."""
        offsets, content = _buffers(self.values)
        if self.words:
            rows, at = _word_starts(offsets, content)
        else:
            rows, at = np.arange(len(self.values)), offsets[:-1].astype(np.int64)
        first, second = content[at], content[at + 1]
        last = np.where(first >= 0x80, first, second)
        odd = (last >= 0x80) & (last != _LATIN_1_LEAD)
        return rows, _code(first, second), odd | (first <= _CASE)

    def _equal(self, folded: pa.Array, rows: Indices, indices: Indices) -> Flags:
        values = pc.utf8_lower(self.values.take(pa.array(rows)))
        drawn = folded.take(pa.array(indices))
        if not self.words:
            return _flags(pc.equal(pc.utf8_trim_whitespace(values), drawn))
        words = pc.ascii_split_whitespace(values)
        parents = pc.list_parent_indices(words).to_numpy()
        alike = _flags(pc.equal(words.flatten(), drawn.take(pa.array(parents))))
        found = np.zeros(len(rows), np.bool_)
        found[parents[alike]] = True
        return found


def first_bytes(pool: Pool) -> Codes:
    """The codes of a pool's entries, which have two bytes at least."""
    offsets, content = _buffers(pool.entries)
    return _code(content[offsets[:-1]], content[offsets[:-1] + 1])


def _code(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Codes:
    return ((first | _CASE).astype(np.uint16) << np.uint16(8)) | (second | _CASE)


def _buffers(values: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Offsets from 0, and the bytes with two more at their end, so that every text has two."""
    if not len(values):
        return np.zeros(1, np.int32), np.zeros(2, np.uint8)
    _, ends, data = values.buffers()
    offsets = np.frombuffer(ends, np.int32)[values.offset : values.offset + len(values) + 1]
    low, high = int(offsets[0]), int(offsets[-1])
    content = np.zeros(high - low + 2, np.uint8)
    if high > low:
        content[:-2] = np.frombuffer(data, np.uint8)[low:high]
    return offsets - low, content


def _word_starts(
    offsets: npt.NDArray[np.int32], content: npt.NDArray[np.uint8]
) -> tuple[Indices, npt.NDArray[np.int64]]:
    """Each word's row and where it begins. A text's own beginning counts as one, space or not."""
    space = content <= _CASE
    begins = np.zeros(len(content), np.bool_)
    begins[1:] = space[:-1] & ~space[1:]
    begins[offsets[:-1]] = True
    begins[offsets[-1] :] = False
    before = np.concatenate(([0], np.cumsum(begins)))
    counts = before[offsets[1:]] - before[offsets[:-1]]
    return np.repeat(np.arange(len(counts)), counts), np.flatnonzero(begins)


def _flags(values: pa.Array) -> Flags:
    flags: Flags = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return flags
