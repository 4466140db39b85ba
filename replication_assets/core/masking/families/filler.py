"""Words of no meaning, as long as they have to be.

One long text is made of the list of words once; every result is a part of it that begins and ends
where words do. A result that is shorter than its first word is the beginning of that word.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.pools import Indices, drawn, pool
from replication_assets.core.masking.prf import Words
from replication_assets.errors import GuardError

_WORDS = 1 << 14
_BYTES_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class _Text:
    """`starts` of words; `ends[at]` is the last end of a word at or before `at`."""

    content: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]


@cache
def _text(longest: int) -> _Text:
    """Words in an order without a pattern: each number's square and half, modulo the list.

    Long enough that from any start `longest` more bytes follow.
    """
    words = pool("words").entries.to_pylist()
    chosen = [words[(at * at + at // 2 * 7 + at // len(words)) % len(words)] for at in range(_WORDS)]
    rounds = (longest + 1) // sum(len(word) + 1 for word in words) + 1
    chosen += words * rounds
    lengths = np.array([len(word) for word in chosen])
    starts = np.concatenate(([0], np.cumsum(lengths + 1)))[:-1]
    content = np.frombuffer(" ".join(chosen).encode(), np.uint8)
    ends = np.zeros(len(content) + 1, np.int64)
    ends[starts + lengths] = starts + lengths
    return _Text(content, starts[:_WORDS], np.maximum.accumulate(ends))


def filled(values: pa.Array, words: Words, longest: int) -> pa.Array:
    """For each text one of its own length, or up to a word shorter, and of `longest` at most."""
    text = _text(longest)
    asked = np.minimum(_lengths(values), longest)
    chosen = drawn(words[:, 0], _WORDS)
    result = _cut(text, chosen, asked, values)
    for _ in range(_WORDS):
        own = pc.fill_null(pc.and_(pc.equal(result, values), pc.not_equal(values, "")), False)
        again = own.to_numpy(zero_copy_only=False)
        if not again.any():
            return result
        chosen = np.where(again, (chosen + 1) % _WORDS, chosen)
        result = _cut(text, chosen, asked, values)
    raise GuardError(f"{again.sum()} texts find no words that are not their own", fix="use Constant or Null")


def _lengths(values: pa.Array) -> npt.NDArray[np.int64]:
    lengths: npt.NDArray[Any] = pc.fill_null(pc.utf8_length(values), 0).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64)


def _cut(text: _Text, chosen: Indices, asked: npt.NDArray[np.int64], values: pa.Array) -> pa.Array:
    """Text from the chosen words on."""
    starts = text.starts[chosen]
    ends = text.ends[starts + asked]
    lengths = np.where(ends > starts, ends - starts, asked)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    content = np.empty(int(offsets[-1]), np.uint8)
    row = 0
    while row < len(chosen):
        last = int(np.searchsorted(offsets, offsets[row] + _BYTES_AT_ONCE, side="right")) - 1
        last = max(last, row + 1)
        within = np.arange(offsets[row], offsets[last])
        within += np.repeat(starts[row:last] - offsets[row:last], lengths[row:last])
        np.take(text.content, within, out=content[offsets[row] : offsets[last]])
        row = last
    valid = None
    if values.null_count:
        flags = values.is_valid().to_numpy(zero_copy_only=False)
        valid = pa.py_buffer(np.packbits(flags, bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(content)]
    return pa.Array.from_buffers(pa.string(), len(chosen), buffers)


@cache
def grammar() -> str:
    """The pattern (RE2) of everything that `filled` makes."""
    words = pool("words").entries.to_pylist()
    word = "|".join(words)
    beginnings = "|".join(sorted({word[:end] for word in words for end in range(len(word))}))
    return rf"\A(?:(?:{word})(?: (?:{word}))*|{beginnings})\z"
