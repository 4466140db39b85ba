"""Bytes as hex digits and back, whole columns at a time: what databases take and print as text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_WIDE = pa.large_string()
_HEX_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def hexadecimal(values: pa.Array) -> pa.Array:
    """Two lower-case digits for each byte, as large strings."""
    values = values.cast(pa.large_binary())
    offsets = offsets_of(values)
    data = np.frombuffer(values.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    digits = np.empty(len(data) * 2, dtype=np.uint8)
    digits[0::2] = _HEX_DIGITS[data >> 4]
    digits[1::2] = _HEX_DIGITS[data & 15]
    made = pa.Array.from_buffers(
        _WIDE,
        len(values),
        [None, pa.py_buffer((offsets - offsets[0]) * 2), pa.py_buffer(digits)],
    )
    return pc.if_else(values.is_null(), pa.scalar(None, _WIDE), made)


def binary(digits: pa.Array) -> pa.Array:
    """The inverse of `hexadecimal`, of either case; as large binaries."""
    filled = pc.fill_null(digits, "").cast(_WIDE)
    offsets = offsets_of(filled)
    text = memoryview(filled.buffers()[2] or b"")[int(offsets[0]) : int(offsets[-1])]
    made = pa.Array.from_buffers(
        pa.large_binary(),
        len(filled),
        [None, pa.py_buffer((offsets - offsets[0]) // 2), pa.py_buffer(bytes.fromhex(bytes(text).decode()))],
    )
    return pc.if_else(digits.is_null(), pa.scalar(None, pa.large_binary()), made)


def offsets_of(values: pa.Array) -> npt.NDArray[np.int64]:
    """Where each value of a large text or binary array begins, and where the last one ends."""
    if len(values) == 0:
        return np.zeros(1, dtype=np.int64)
    whole = np.frombuffer(values.buffers()[1], dtype=np.int64)
    return whole[values.offset : values.offset + len(values) + 1]
