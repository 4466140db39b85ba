"""Digits drawn anew: in texts each digit by itself, in numbers all of them within the type's range.

The draw is of the whole value: equal texts change alike, and nothing is told by a digit that two texts
have in common. No digit of a text, and no number, stays what it was.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from replication_assets.core.masking.column_bytes import Bytes, Flags, known
from replication_assets.core.masking.families.limbs import WORD, Limbs, integers_of, limbs_of, limits
from replication_assets.core.masking.prf import Prf, Words

DIGITS_OF_A_WORD = 16  # 9**16 is so far below 2**64 that no digit is more likely than another


def other_digits(digits: Bytes, words: Words, more: Prf) -> Bytes:
    """For each digit another one, by as many words of its row as `more` has to give."""
    made = np.empty_like(digits)
    for block, start in enumerate(range(0, digits.shape[1], 2 * DIGITS_OF_A_WORD)):
        drawn = more.more(words, block)
        for place in range(start, min(start + 2 * DIGITS_OF_A_WORD, digits.shape[1])):
            word = (place - start) // DIGITS_OF_A_WORD
            rest = drawn[:, word] // np.uint64(9)
            step = (drawn[:, word] - rest * np.uint64(9)).astype(np.uint8)
            made[:, place] = (digits[:, place] + step + np.uint8(1)) % np.uint8(10)
            drawn[:, word] = rest
    return made


def other_numbers(values: pa.Array, words: Words, arrow: pa.DataType) -> pa.Array:
    """For each number another one with as many digits and the same sign, within the type. A decimal's
    digits are those of its unscaled integer; one digit may become 0."""
    held = limits(arrow)
    if held is None:
        raise TypeError(f"digits are of integers and decimals, not of {arrow}")
    most = held[1]
    limbs = limbs_of(values)
    negative = (limbs[:, 1] >> np.uint64(63)) == 1
    made = _narrow(limbs, negative, words, most) if most < WORD else _wide(limbs, words, most)
    return integers_of(made, known(values), arrow)


def _narrow(limbs: Limbs, negative: Flags, words: Words, most: int) -> Limbs:
    """Where every number without its sign fits a word."""
    sizes = np.where(negative, np.uint64(0) - limbs[:, 0], limbs[:, 0])
    powers = [10**digits for digits in range(1, 20) if 10**digits <= most]
    digits = np.searchsorted(np.array(powers, np.uint64), sizes, side="right")
    least = np.array([0, *powers], np.uint64)[digits]
    greatest = np.array([*(power - 1 for power in powers), most], np.uint64)[digits]
    made = least + words[:, 0] % (greatest - least + np.uint64(1))
    made = np.where(made == sizes, np.where(made == greatest, least, made + np.uint64(1)), made)
    signed = np.zeros_like(limbs)
    signed[:, 0] = np.where(negative, np.uint64(0) - made, made)
    signed[:, 1] = np.where(negative & (made != 0), np.uint64(WORD - 1), np.uint64(0))
    return signed


def _wide(limbs: Limbs, words: Words, most: int) -> Limbs:
    """Decimals of more digits, one by one: they are rare, and have no type in NumPy."""
    made = np.empty_like(limbs)
    for row, ((low, high), (first, second)) in enumerate(zip(limbs.tolist(), words.tolist(), strict=True)):
        number = (high << 64 | low) - (WORD**2 if high >> 63 else 0)
        size = abs(number)
        least = 10 ** (len(str(size)) - 1) if size > 9 else 0
        greatest = min(10 ** len(str(size)) - 1, most)
        other = least + (first << 64 | second) % (greatest - least + 1)
        if other == size:
            other = least if other == greatest else other + 1
        made[row] = divmod((-other if number < 0 else other) % WORD**2, WORD)[::-1]
    return made
