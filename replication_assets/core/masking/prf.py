"""The keyed function that masks are drawn from: AES-CMAC (RFC 4493) of whole columns at once.

Rows with as many AES blocks are gathered from the column's own Arrow buffer and encrypted by one
OpenSSL call for each block of them, so that a value costs no Python. Values longer than 1 KiB are
rare in columns that are drawn from: they go through the library's own CMAC one by one.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from replication_assets.core.masking.column_bytes import ColumnBytes
from replication_assets.errors import GuardError

Words = npt.NDArray[np.uint64]
"""For each value two keyed 64-bit words, as an array of n x 2."""

BLOCK = 16
_ROWS = 16_384  # at a time: their windows stay in the processor's cache
_LONGEST = 64  # blocks of a value that is gathered
_WORD = np.dtype("<u8")


class Keyed:
    """What holds a key. It neither prints it, nor can be pickled or copied."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __reduce__(self) -> NoReturn:
        raise GuardError("the keys of the masks do not leave their process", fix="pass the reference")


class Prf(Keyed):
    """AES-CMAC under one key. Nobody without the key can tell its outputs from random ones."""

    __slots__ = ("__key", "__masks", "__pads")

    def __init__(self, key: bytes) -> None:
        self.__key = key
        self.__masks, self.__pads = _final_blocks(key)

    def words(self, values: pa.Array) -> Words:
        """The 128 bits for each text or binary value, as two words. A null has those of no bytes."""
        column = ColumnBytes(values, widest=_LONGEST * BLOCK)
        words = np.empty((len(values), 2), _WORD)
        aes = ecb(self.__key)
        for start in range(0, len(values), _ROWS):
            stop = min(start + _ROWS, len(values))
            self._fill(words[start:stop], column, start, aes)
        return words.astype(np.uint64, copy=False)

    def more(self, words: Words, number: int) -> Words:
        """Two further words for each row: AES of its words with `number`, so under a key of its own."""
        return encrypt(ecb(self.__key), words ^ np.array([number, 0], np.uint64))

    def _fill(self, words: Words, column: ColumnBytes, start: int, aes: CipherContext) -> None:
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


def ecb(key: bytes) -> CipherContext:
    """AES of single blocks under `key`: the primitive of every mode here, safe in none by itself."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor()


def encrypt(aes: CipherContext, blocks: Words) -> Words:
    """Each row of n x 2 contiguous words as one AES block."""
    sink = np.empty(blocks.size + 2, _WORD)
    aes.update_into(blocks.data.cast("B"), sink.data.cast("B"))
    return sink[: blocks.size].reshape(-1, 2)


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
