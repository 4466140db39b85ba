"""Integers of any Arrow type as two 64-bit words in two's complement, and back: what 128-bit decimals
and their columns' nulls are computed with, without an object for each value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from replication_assets.core.masking.column_bytes import Flags

Limbs = npt.NDArray[np.uint64]
"""For each integer its lower and its upper word, as an array of n x 2. A decimal is its unscaled integer."""

WORD = 2**64


def limbs_of(values: pa.Array) -> Limbs:
    """Of integers or 128-bit decimals; those of a null are 0."""
    if pa.types.is_decimal128(values.type):
        data = np.frombuffer(values.buffers()[1] or b"", "<u8").reshape(-1, 2)
        limbs = data[values.offset : values.offset + len(values)].astype(np.uint64)
        if values.null_count:
            limbs[~values.is_valid().to_numpy(zero_copy_only=False)] = 0
        return limbs
    numbers = (values.fill_null(0) if values.null_count else values).to_numpy(zero_copy_only=False)
    limbs = np.zeros((len(numbers), 2), np.uint64)
    if numbers.dtype.kind == "u":
        limbs[:, 0] = numbers
        return limbs
    limbs[:, 0] = numbers.astype(np.int64).view(np.uint64)
    limbs[:, 1] = np.where(numbers < 0, np.uint64(WORD - 1), np.uint64(0))
    return limbs


def integers_of(limbs: Limbs, flags: Flags, arrow: pa.DataType) -> pa.Array:
    """The integers as a column of the type, which must hold them; null where `flags` is false."""
    if not pa.types.is_decimal128(arrow):
        lower = np.ascontiguousarray(limbs[:, 0])
        numbers = lower if pa.types.is_unsigned_integer(arrow) else lower.view(np.int64)
        return pa.array(numbers.astype(arrow.to_pandas_dtype()), arrow, mask=~flags)
    data = np.ascontiguousarray(limbs, "<u8")
    data[~flags] = 0
    validity = None if flags.all() else pa.array(flags).buffers()[1]
    return pa.Array.from_buffers(arrow, len(data), [validity, pa.py_buffer(data)])


def limits(arrow: pa.DataType) -> tuple[int, int] | None:
    """The least and the greatest integer that the type holds, unscaled for decimals; None for any other
    type."""
    if pa.types.is_decimal128(arrow):
        return 1 - int(10**arrow.precision), int(10**arrow.precision) - 1
    if pa.types.is_unsigned_integer(arrow):
        return 0, int(2**arrow.bit_width) - 1
    if pa.types.is_integer(arrow):
        return -int(2 ** (arrow.bit_width - 1)), int(2 ** (arrow.bit_width - 1)) - 1
    return None
