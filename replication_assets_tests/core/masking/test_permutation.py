"""Bijections are FF1 as NIST specifies it, and bijections: on every width, however small."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.permutation import LEAST_DOMAIN, DigitsPermutation, Ff1, Permutation
from replication_assets.core.masking.prf import Keyed, Prf
from replication_assets.errors import GuardError

KEY = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")


def ff1(
    key: bytes, radix: int, digits: list[int], tweak: bytes = b"", *, backwards: bool = False
) -> list[int]:
    """SP 800-38G's algorithms 7 and 8, step by step, with Python's integers."""
    n, u = len(digits), len(digits) // 2
    v = n - u
    b = math.ceil((radix**v - 1).bit_length() / 8)
    d = 4 * math.ceil(b / 4) + 4
    header = bytes([1, 2, 1]) + radix.to_bytes(3, "big") + bytes([10, u % 256])
    header += n.to_bytes(4, "big") + len(tweak).to_bytes(4, "big")
    left, right = _number(digits[:u], radix), _number(digits[u:], radix)
    for i in range(9, -1, -1) if backwards else range(10):
        m = u if i % 2 == 0 else v
        known = left if backwards else right
        block = tweak + bytes(-(len(tweak) + b + 1) % 16) + bytes([i]) + known.to_bytes(b, "big")
        r = _cbc_mac(key, header + block)
        s = r + b"".join(
            _aes(key, bytes(x ^ y for x, y in zip(r, j.to_bytes(16, "big"), strict=True)))
            for j in range(1, math.ceil(d / 16))
        )
        y = int.from_bytes(s[:d], "big")
        if backwards:
            left, right = (right - y) % radix**m, left
        else:
            left, right = right, (left + y) % radix**m
    return _digits(left, u, radix) + _digits(right, v, radix)


def _aes(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def _cbc_mac(key: bytes, data: bytes) -> bytes:
    state = bytes(16)
    for start in range(0, len(data), 16):
        state = _aes(key, bytes(x ^ y for x, y in zip(state, data[start : start + 16], strict=True)))
    return state


def _number(digits: list[int], radix: int) -> int:
    number = 0
    for digit in digits:
        number = number * radix + digit
    return number


def _digits(number: int, count: int, radix: int) -> list[int]:
    return [number // radix ** (count - 1 - place) % radix for place in range(count)]


def test_the_reference_is_nist_s_sample_3() -> None:
    digits = [int(character, 36) for character in "0123456789abcdefghi"]
    expected = [int(character, 36) for character in "a9tv40mll9kdu509eum"]
    assert ff1(KEY, 36, digits, bytes.fromhex("3737373770717273373737")) == expected


def test_ten_digits_are_nist_s_sample_1() -> None:
    masked = DigitsPermutation(KEY).permute(np.arange(10, dtype=np.uint8)[None])
    assert masked.tolist() == [[2, 4, 3, 3, 4, 7, 7, 4, 8, 4]]


def test_ten_digits_with_a_tweak_are_nist_s_sample_2() -> None:
    cipher = Ff1(KEY, radix=10, length=10, tweak=bytes.fromhex("39383736353433323130"))
    left, right = cipher.encrypt(np.array([1234], np.uint64), np.array([56789], np.uint64))
    assert (left.tolist(), right.tolist()) == ([61242], [773])


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=56), st.binary(min_size=16, max_size=16))
def test_digits_of_every_count_are_ff1(digits: list[int], key: bytes) -> None:
    masked = DigitsPermutation(key).permute(np.array([digits, digits], np.uint8))
    expected = ff1(key, 10, digits)
    assert masked.tolist() == [expected, expected]
    assert ff1(key, 10, expected, backwards=True) == digits


@settings(deadline=None, max_examples=80)
@given(st.integers(2, 128), st.integers(0, 2**128 - 1), st.binary(max_size=40))
def test_bits_of_every_count_are_ff1(bits: int, number: int, tweak: bytes) -> None:
    number %= 2**bits
    digits = _digits(number, bits, 2)
    half = bits // 2
    left, right = Ff1(KEY, radix=2, length=bits, tweak=tweak).encrypt(
        np.array([_number(digits[:half], 2)], np.uint64), np.array([_number(digits[half:], 2)], np.uint64)
    )
    expected = ff1(KEY, 2, digits, tweak)
    assert [int(left[0]), int(right[0])] == [_number(expected[:half], 2), _number(expected[half:], 2)]


@pytest.mark.parametrize(("radix", "length"), [(2, 1), (2, 129), (10, 58)])
def test_lengths_that_are_not_supported_are_refused(radix: int, length: int) -> None:
    with pytest.raises(ValueError, match="does not take"):
        Ff1(KEY, radix=radix, length=length)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [2, 3, 10, 1000, 65_537, LEAST_DOMAIN, 2**20, 2**20 + 1])
def test_all_integers_of_a_width_are_permuted(width: int) -> None:
    ranks = np.arange(width, dtype=np.uint64)
    masked = Permutation(KEY, width).permute(ranks)
    assert np.array_equal(np.sort(masked), ranks)
    if width > 3:
        assert not np.array_equal(masked, ranks)


@pytest.mark.parametrize("width", [2**31 - 1, 2**32 + 1, 10**15, 2**63, 2**64 - 1, 2**64])
def test_integers_of_wide_ranges_are_ff1_walked_until_inside(width: int) -> None:
    bits = (width - 1).bit_length()
    steps = np.random.default_rng(7).integers(0, width - 1, 3, dtype=np.uint64)
    ranks = np.array([0, 1, width - 1, *steps], np.uint64)
    for rank, masked in zip(ranks.tolist(), Permutation(KEY, width).permute(ranks).tolist(), strict=True):
        expected = rank
        while True:
            expected = _number(ff1(KEY, 2, _digits(expected, bits, 2)), 2)
            if expected < width:
                break
        assert masked == expected


def test_integers_of_a_wide_range_stay_distinct_and_inside() -> None:
    ranks = np.arange(0, 3 * 10**9, 10**5, dtype=np.uint64)
    masked = Permutation(KEY, 3 * 10**9).permute(ranks)
    assert len(np.unique(masked)) == len(ranks)
    assert int(masked.max()) < 3 * 10**9


def test_another_key_permutes_otherwise() -> None:
    for width in (1000, 2**21):
        ranks = np.arange(1000, dtype=np.uint64)
        first, second = Permutation(KEY, width).permute(ranks), Permutation(bytes(16), width).permute(ranks)
        assert np.count_nonzero(first == second) < 20


@pytest.mark.parametrize("width", [0, 1, 2**64 + 1])
def test_a_width_that_cannot_be_permuted_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match="2 to"):
        Permutation(KEY, width)


def test_an_empty_column_is_permuted_to_itself() -> None:
    assert len(Permutation(KEY, 2**31).permute(np.zeros(0, np.uint64))) == 0
    assert DigitsPermutation(KEY).permute(np.zeros((0, 9), np.uint8)).shape == (0, 9)


@pytest.mark.parametrize(
    ("keyed", "printed"),
    [
        (Ff1(KEY, radix=2, length=31), "Ff1()"),
        (Permutation(KEY, 1000), "Permutation(1000)"),
        (DigitsPermutation(KEY), "DigitsPermutation()"),
        (Prf(KEY), "Prf()"),
    ],
    ids=repr,
)
def test_what_holds_a_key_does_not_print_it_and_stays_in_its_process(keyed: Keyed, printed: str) -> None:
    assert repr(keyed) == str(keyed) == printed
    with pytest.raises(GuardError, match="do not leave their process"):
        pickle.dumps(keyed)
