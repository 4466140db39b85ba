"""Texts of an Arrow column as NumPy bytes, and the way back: what rules read and write texts by.

Nothing here reads beyond a column's buffer, and no array that is made here has bytes under a null.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from replication_assets.errors import GuardError

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


class ColumnBytes:
    """Where each value of a text or binary array stands in its buffer. A null has length 0.

    `widest` is the greatest width that `windows` is asked for.
    """

    __slots__ = ("_data", "_tail", "_tail_start", "lengths", "starts")

    def __init__(self, values: pa.Array, *, widest: int) -> None:
        array = _with_offsets(values)
        _, offsets, data = array.buffers()
        dtype = _offsets_of(array.type)
        if offsets is None or len(array) == 0:
            ends = np.zeros(1, np.int64)
        else:
            ends = np.frombuffer(offsets, dtype, len(array) + 1, array.offset * dtype.itemsize)
            ends = ends.astype(np.int64)
        self.starts: Counts = ends[:-1]
        self.lengths: Counts = np.diff(ends)
        if array.null_count:
            self.lengths[~known(array)] = 0
        self._data: Bytes = np.frombuffer(data or b"", np.uint8)
        # A window may reach beyond the buffer: those of its last bytes are read from a padded copy.
        self._tail_start = max(len(self._data) - widest, 0)
        self._tail = np.concatenate((self._data[self._tail_start :], np.zeros(widest, np.uint8)))

    def value(self, start: int, length: int) -> bytes:
        return self._data[start : start + length].tobytes()

    def windows(self, starts: Counts, width: int) -> npt.NDArray[np.void]:
        """The `width` bytes from each of the ascending `starts` on, whatever stands there."""
        inside = int(np.searchsorted(starts, len(self._data) - width, side="right"))
        beyond = _gathered(self._tail, starts[inside:] - self._tail_start, width)
        if inside == 0:
            return beyond
        if inside == len(starts):
            return _gathered(self._data, starts, width)
        return np.concatenate((_gathered(self._data, starts[:inside], width), beyond))

    def matrix(self, rows: Counts, width: int) -> Bytes:
        """The values of some rows in ascending order, all of them of `width` bytes, a row for each."""
        return self.windows(np.take(self.starts, rows), width).view(np.uint8).reshape(-1, width)


def is_text(arrow: pa.DataType) -> bool:
    """Whether values are texts with offsets, which is all that rules of texts take."""
    return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow))


def known(values: pa.Array) -> Flags:
    """For each value whether it is not null."""
    flags: Flags = values.is_valid().to_numpy(zero_copy_only=False)
    return flags


def texts_of_rows(matrix: Bytes, flags: Flags, arrow: pa.DataType) -> pa.Array:
    """Texts of one length, a row of the matrix for each that is known; null where `flags` is false."""
    lengths = np.where(flags, np.int64(matrix.shape[1]), np.int64(0))
    return texts_of_bytes(np.ascontiguousarray(matrix).reshape(-1), lengths, flags, arrow)


def texts_of_bytes(data: Bytes, lengths: Counts, flags: Flags, arrow: pa.DataType) -> pa.Array:
    """Texts that stand one after another in `data`; null where `flags` is false, of length 0 there.

    Raises:
        GuardError: they are more than the column's Arrow type has room for.
    """
    dtype = _offsets_of(arrow)
    if len(data) > np.iinfo(dtype).max:
        raise GuardError(
            f"the masked texts of one column are {len(data)} bytes, more than one batch holds",
            fix="refresh in smaller chunks",
        )
    ends = np.zeros(len(lengths) + 1, dtype)
    np.cumsum(lengths, out=ends[1:])
    validity = None if flags.all() else pa.array(flags).buffers()[1]
    return pa.Array.from_buffers(arrow, len(lengths), [validity, pa.py_buffer(ends), pa.py_buffer(data)])


def _gathered(data: Bytes, starts: Counts, width: int) -> npt.NDArray[np.void]:
    windows: npt.NDArray[np.void] = np.ndarray(
        (len(data) - width + 1,), np.dtype(f"V{width}"), buffer=data, strides=(1,)
    )
    return windows[starts]  # np.take copies all of the overlapping windows first


def _offsets_of(arrow: pa.DataType) -> np.dtype[np.int32] | np.dtype[np.int64]:
    large = pa.types.is_large_string(arrow) or pa.types.is_large_binary(arrow)
    return np.dtype(np.int64) if large else np.dtype(np.int32)


def _with_offsets(values: pa.Array) -> pa.Array:
    """Raises TypeError for what is neither text nor binary."""
    kind = values.type
    if is_text(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return values
    if pa.types.is_string_view(kind):
        return values.cast(pa.large_string())
    if pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return values.cast(pa.large_binary())
    raise TypeError(f"keyed words are of texts and bytes, not of {kind}")
