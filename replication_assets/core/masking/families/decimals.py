"""Decimals as the integers that they are, digits without a point, and back: exact at any precision."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# int64 where 18 digits are enough, Python's integers where not.
Unscaled: TypeAlias = npt.NDArray[Any]
INT64_DIGITS = 18
_HALF = 1 << 64


def unscaled(values: pa.Array) -> Unscaled:
    """The integers of a decimal128 array; those of nulls are 0."""
    narrow = values.type.precision <= INT64_DIGITS
    if not len(values):
        return np.zeros(0, np.int64 if narrow else object)
    words = np.frombuffer(values.buffers()[1], np.int64)[2 * values.offset :][: 2 * len(values)]
    low, high = words[0::2], words[1::2]
    if narrow:
        found: Unscaled = low.copy()
    else:
        found = high.astype(object) * _HALF + low.view(np.uint64).astype(object)
    if values.null_count:
        found[values.is_null().to_numpy(zero_copy_only=False)] = 0
    return found


def scaled(numbers: Unscaled, like: pa.Array) -> pa.Array:
    """The inverse of `unscaled`, with the type and the nulls of `like`. Every number must have its
    precision at most."""
    words = np.empty(2 * len(numbers), np.int64)
    if numbers.dtype == object:
        words[0::2] = (numbers % _HALF).astype(np.uint64).view(np.int64)
        words[1::2] = (numbers // _HALF).astype(np.int64)
    else:
        words[0::2] = numbers
        words[1::2] = np.where(numbers < 0, -1, 0)
    valid = None
    if like.null_count:
        flags = like.is_valid().to_numpy(zero_copy_only=False)
        valid = pa.py_buffer(np.packbits(flags, bitorder="little"))
    return pa.Array.from_buffers(like.type, len(numbers), [valid, pa.py_buffer(words)])
