"""The keyed function that masks are drawn from: AES-CMAC (RFC 4493) of whole columns at once.

Rows with as many AES blocks are gathered from the column's own Arrow buffer and encrypted by one
OpenSSL call for each block of them, so that a value costs no Python. Values longer than 1 KiB are
rare in columns that are drawn from: they go through the library's own CMAC one by one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

Words = npt.NDArray[np.uint64]
"""For each value two keyed 64-bit words, as an array of n x 2."""

BLOCK = 16
_ROWS = 16_384  # at a time: their windows stay in the processor's cache
_LONGEST = 64  # blocks of a value that is gathered
_WORD = np.dtype("<u8")


class Prf:
    """AES-CMAC under one key. Nobody without the key can tell its outputs from random ones."""

    __slots__ = ("__key", "__masks", "__pads")

    def __init__(self, key: bytes) -> None:
        self.__key = key
        self.__masks, self.__pads = _final_blocks(key)

    def __repr__(self) -> str:
        return "Prf()"

    def words(self, values: pa.Array) -> Words:
        """The 128 bits for each text or binary value, as two words. A null has those of no bytes."""
        column = _Bytes(values)
        words = np.empty((len(values), 2), _WORD)
        aes = ecb(self.__key)
        for start in range(0, len(values), _ROWS):
            stop = min(start + _ROWS, len(values))
            self._fill(words[start:stop], column, start, aes)
        return words.astype(np.uint64, copy=False)

    def _fill(self, words: Words, column: _Bytes, start: int, aes: CipherContext) -> None:
        starts = column.starts[start : start + len(words)]
        lengths = column.lengths[start : start + len(words)]
        blocks = np.maximum((lengths + (BLOCK - 1)) // BLOCK, 1)
        if int(blocks.max()) > _LONGEST:
            for row in np.flatnonzero(blocks > _LONGEST):
                words[row] = self._one(column.value(int(starts[row]), int(lengths[row])))
            blocks[blocks > _LONGEST] = 0
        for count in np.flatnonzero(np.bincount(blocks)):
            if count:
                rows = np.flatnonzero(blocks == count)
                windows = column.windows(np.take(starts, rows), int(count) * BLOCK)
                last = np.take(lengths, rows) - (int(count) - 1) * BLOCK
                words[rows] = self._macs(windows.view(_WORD).reshape(-1, 2 * int(count)), last, aes)

    def _macs(self, windows: Words, last: npt.NDArray[np.int64], aes: CipherContext) -> Words:
        """CMACs of values with as many blocks, the final one of `last` bytes."""
        final = np.ascontiguousarray(windows[:, -2:])
        final &= np.take(self.__masks, last, 0)
        final ^= np.take(self.__pads, last, 0)
        state = np.zeros_like(final)
        for column in range(0, windows.shape[1] - 2, 2):
            state ^= windows[:, column : column + 2]
            state = encrypt(aes, state)
        state ^= final
        return encrypt(aes, state)

    def _one(self, value: bytes) -> Words:
        cmac = CMAC(algorithms.AES(self.__key))
        cmac.update(value)
        return np.frombuffer(cmac.finalize(), _WORD)


class _Bytes:
    """Where each value of an Arrow array stands in its buffer."""

    __slots__ = ("_data", "_tail", "_tail_start", "lengths", "starts")

    def __init__(self, values: pa.Array) -> None:
        array = _with_offsets(values)
        large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
        dtype = np.dtype("<i8" if large else "<i4")
        _, offsets, data = array.buffers()
        if offsets is None or len(array) == 0:
            ends = np.zeros(1, np.int64)
        else:
            ends = np.frombuffer(offsets, dtype, len(array) + 1, array.offset * dtype.itemsize).astype(
                np.int64
            )
        self.starts = ends[:-1]
        self.lengths = np.diff(ends)
        if array.null_count:
            self.lengths[array.is_null().to_numpy(zero_copy_only=False)] = 0
        self._data = (
            np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
        )
        # A window may reach beyond the buffer: those of its last bytes are read from a padded copy.
        self._tail_start = max(len(self._data) - _LONGEST * BLOCK, 0)
        self._tail = np.concatenate((self._data[self._tail_start :], np.zeros(_LONGEST * BLOCK, np.uint8)))

    def value(self, start: int, length: int) -> bytes:
        return self._data[start : start + length].tobytes()

    def windows(self, starts: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.void]:
        """The `width` bytes from each of the ascending `starts` on, whatever stands there."""
        inside = int(np.searchsorted(starts, len(self._data) - width, side="right"))
        if inside == len(starts):
            return _gathered(self._data, starts, width)
        beyond = _gathered(self._tail, starts[inside:] - self._tail_start, width)
        if inside == 0:
            return beyond
        return np.concatenate((_gathered(self._data, starts[:inside], width), beyond))


def ecb(key: bytes) -> CipherContext:
    """AES of single blocks under `key`: the primitive of every mode here, safe in none by itself."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor()


def encrypt(aes: CipherContext, blocks: Words) -> Words:
    """Each row of n x 2 contiguous words as one AES block."""
    sink = np.empty(blocks.size + 2, _WORD)
    aes.update_into(blocks.data.cast("B"), sink.data.cast("B"))
    return sink[: blocks.size].reshape(-1, 2)


def _gathered(data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.void]:
    windows: npt.NDArray[np.void] = np.ndarray(
        (len(data) - width + 1,), np.dtype(f"V{width}"), buffer=data, strides=(1,)
    )
    return windows[starts]  # np.take copies all of the overlapping windows first


def _with_offsets(values: pa.Array) -> pa.Array:
    """Raises TypeError for what is neither text nor binary."""
    kind = values.type
    if any(
        check(kind)
        for check in (
            pa.types.is_string,
            pa.types.is_binary,
            pa.types.is_large_string,
            pa.types.is_large_binary,
        )
    ):
        return values
    if pa.types.is_string_view(kind):
        return values.cast(pa.large_string())
    if pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return values.cast(pa.large_binary())
    raise TypeError(f"keyed words are of texts and bytes, not of {kind}")


def _final_blocks(key: bytes) -> tuple[Words, Words]:
    """RFC 4493 section 2.4 as tables by the final block's length 0 to 16: what is kept of it, and what
    is added, which is the padding bit and the subkey."""
    first = _doubled(ecb(key).update(bytes(BLOCK)))
    second = _doubled(first)
    masks, pads = bytearray(), bytearray()
    for length in range(BLOCK + 1):
        masks += b"\xff" * length + bytes(BLOCK - length)
        padding = (b"\x80" + bytes(BLOCK)).rjust(length + BLOCK + 1, b"\0")[:BLOCK]
        subkey = first if length == BLOCK else second
        pads += bytes(a ^ b for a, b in zip(padding, subkey, strict=True))
    return (
        np.frombuffer(bytes(masks), _WORD).reshape(-1, 2),
        np.frombuffer(bytes(pads), _WORD).reshape(-1, 2),
    )


def _doubled(block: bytes) -> bytes:
    number = int.from_bytes(block, "big") << 1
    return ((number ^ (0x87 if number >> 128 else 0)) & (2**128 - 1)).to_bytes(BLOCK, "big")
