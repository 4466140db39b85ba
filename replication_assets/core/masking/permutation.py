"""Keyed bijections of whole columns: what keeps unique identifiers unique.

`Ff1` is NIST SP 800-38G's format-preserving encryption over many values at once, in radix 2 and 10.
`Permutation` permutes the integers 0 to `width` - 1 of any width up to 2**64. It may leave a value
where it is, as any random bijection does; a derangement would tell what a value is not. There is
no way back here: who holds the key can walk one, and nothing in a refresh needs it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import CipherContext

from replication_assets.core.masking.prf import BLOCK, Keyed, Prf, Words, ecb, encrypt

Numbers: TypeAlias = npt.NDArray[np.uint64] | npt.NDArray[np.object_]
"""Halves of what FF1 permutes: 64-bit words, or Python's integers where these are too narrow."""

LEAST_DOMAIN = 1_000_000
"""The smallest domain that SP 800-38G (revision 1, draft 2) allows FF1 on."""

_ROUNDS = 10
_ROWS = 16_384
_WORD = np.dtype("<u8")
_DIGITS_OF_A_HALF = 9  # so many digits of radix 10 are reduced by one 64-bit division


class Ff1(Keyed):
    """FF1 (SP 800-38G, algorithm 7) of numerals of `length` digits under one key and tweak."""

    __slots__ = ("__key", "_digest_bytes", "_half_bytes", "_moduli", "_radix", "_round_blocks")

    def __init__(self, key: bytes, *, radix: Literal[2, 10], length: int, tweak: bytes = b"") -> None:
        short, long = length // 2, length - length // 2
        bits = int(radix**long - 1).bit_length()
        if length < 2 or bits > 96 or (radix == 2 and bits > 64):
            raise ValueError(f"FF1 in radix {radix} does not take {length} digits here")
        self.__key = key
        self._radix = radix
        self._half_bytes = (bits + 7) // 8
        self._digest_bytes = 4 * ((self._half_bytes + 3) // 4) + 4
        self._moduli = (radix**short, radix**long)
        self._round_blocks = self._constants(length, tweak)

    def encrypt(self, left: Numbers, right: Numbers) -> tuple[Numbers, Numbers]:
        """The numeral's first `length // 2` digits and the rest as numbers, before and after."""
        aes = ecb(self.__key)
        done = [
            self._encrypt(left[start : start + _ROWS], right[start : start + _ROWS], aes)
            for start in range(0, len(left), _ROWS)
        ]
        if not done:
            return left, right
        lefts, rights = zip(*done, strict=True)
        return np.concatenate(lefts), np.concatenate(rights)

    @property
    def wide(self) -> bool:
        """Whether its halves are Python's integers, at a fraction of the speed."""
        return self._radix == 10 and self._digest_bytes > 8

    def _encrypt(self, left: Numbers, right: Numbers, aes: CipherContext) -> tuple[Numbers, Numbers]:
        for number, constant in enumerate(self._round_blocks):
            blocks = np.empty((len(right), 2), _WORD)
            high, low = _words_of(right)
            np.bitwise_xor(high.byteswap(), constant[0], out=blocks[:, 0])
            np.bitwise_xor(low.byteswap(), constant[1], out=blocks[:, 1])
            added = self._added(left, encrypt(aes, blocks), self._moduli[number % 2])
            left, right = right, added
        return left, right

    def _added(self, left: Numbers, digest: Words, modulus: int) -> Numbers:
        """The half plus the digest's first bytes as a big-endian number, modulo the half's range."""
        first = digest[:, 0].byteswap()
        if self.wide:
            number = (first.astype(object) << 64) | digest[:, 1].byteswap().astype(object)
            return np.asarray((left + (number >> 8 * (BLOCK - self._digest_bytes))) % modulus, dtype=object)
        if self._digest_bytes > 8:  # radix 2: only the number's last 64 bits count
            first = (first << np.uint64(32)) | (digest[:, 1].byteswap() >> np.uint64(32))
        if self._radix == 2:
            return (left + first) & np.uint64(modulus - 1)
        # Floor division by a constant is vectorised by NumPy, the remainder is not.
        first -= (first // np.uint64(modulus)) * np.uint64(modulus)
        first += np.asarray(left, np.uint64)
        first -= (first >= np.uint64(modulus)) * np.uint64(modulus)
        return first

    def _constants(self, length: int, tweak: bytes) -> list[Words]:
        """What each round's last block is added to: the CBC-MAC of the blocks before it, the end of
        the tweak, and the round's number. Only the half itself differs from value to value."""
        aes = ecb(self.__key)
        header = b"\x01\x02\x01" + self._radix.to_bytes(3, "big") + b"\x0a" + bytes([length // 2 % 256])
        header += length.to_bytes(4, "big") + len(tweak).to_bytes(4, "big")
        padded = tweak + bytes(-(len(tweak) + self._half_bytes + 1) % BLOCK)
        whole = len(padded) // BLOCK * BLOCK
        state = bytes(BLOCK)
        for start in range(0, BLOCK + whole, BLOCK):
            block = (header + padded)[start : start + BLOCK]
            state = aes.update(bytes(a ^ b for a, b in zip(state, block, strict=True)))
        constants = []
        for number in range(_ROUNDS):
            last = padded[whole:] + bytes([number]) + bytes(self._half_bytes)
            mixed = bytes(a ^ b for a, b in zip(state, last, strict=True))
            constants.append(np.frombuffer(mixed, _WORD).copy())
        return constants


class Permutation(Keyed):
    """A keyed bijection of 0 to `width` - 1, for a width of 2 to 2**64.

    FF1 over as many bits as the width has, walked on until it is back inside. FF1 is not for fewer
    than a million values: so few are sorted by their keyed words, which is a bijection that nobody
    can tell from a random one, however few they are.
    """

    def __init__(self, key: bytes, width: int) -> None:
        if not 2 <= width <= 2**64:
            raise ValueError("a permutation is of 2 to 2**64 integers")
        self._key = key
        self._width = width

    def __repr__(self) -> str:
        return f"Permutation({self._width})"

    def permute(self, ranks: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Each rank's own other rank. All of them must be below the width."""
        if self._width < LEAST_DOMAIN:
            return np.take(self._sorted, ranks.astype(np.int64))
        found = self._ff1(ranks)
        while True:
            outside = np.flatnonzero(found > np.uint64(self._width - 1))
            if not len(outside):
                return found
            found[outside] = self._ff1(found[outside])

    @cached_property
    def _sorted(self) -> npt.NDArray[np.uint64]:
        ranks = np.arange(self._width, dtype=_WORD)
        texts = pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), self._width, [None, pa.py_buffer(ranks)])
        return np.argsort(Prf(self._key).words(texts)[:, 0], kind="stable").astype(np.uint64)

    @cached_property
    def _cipher(self) -> Ff1:
        return Ff1(self._key, radix=2, length=(self._width - 1).bit_length())

    def _ff1(self, ranks: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        bits = (self._width - 1).bit_length()
        low_bits = np.uint64(bits - bits // 2)
        left, right = self._cipher.encrypt(
            ranks >> low_bits, ranks & ((np.uint64(1) << low_bits) - np.uint64(1))
        )
        return (left.astype(np.uint64) << low_bits) | right.astype(np.uint64)


class DigitsPermutation(Keyed):
    """FF1 in radix 10 of texts of digits: each count of digits, 2 to 56, has a bijection of its own."""

    __slots__ = ("__key",)

    def __init__(self, key: bytes) -> None:
        self.__key = key

    def permute(self, digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Each row of a matrix of digits 0 to 9."""
        count = digits.shape[1]
        ff1 = Ff1(self.__key, radix=10, length=count)
        half = count // 2
        left, right = ff1.encrypt(
            _number(digits[:, :half], wide=ff1.wide), _number(digits[:, half:], wide=ff1.wide)
        )
        return np.concatenate((_digits(left, half), _digits(right, count - half)), axis=1)


def _number(digits: npt.NDArray[np.uint8], *, wide: bool) -> Numbers:
    number: Numbers = np.zeros(len(digits), object if wide else np.uint64)
    for column in digits.T:
        number = number * 10 + column if wide else number * np.uint64(10) + column
    return number


def _digits(number: Numbers, count: int) -> npt.NDArray[np.uint8]:
    digits = np.empty((len(number), count), np.uint8)
    for column in range(count - 1, -1, -1):
        rest = number // 10
        digits[:, column] = number - rest * 10
        number = rest
    return digits


def _words_of(half: Numbers) -> tuple[Words, Words]:
    if half.dtype == object:
        return (half >> 64).astype(np.uint64), (half & (2**64 - 1)).astype(np.uint64)
    return np.zeros(len(half), np.uint64), half.astype(np.uint64, copy=False)
