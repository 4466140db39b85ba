"""Words of whole columns are AES-CMAC, bit for bit: the library's own and RFC 4493's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.prf import Prf

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
RFC_MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
KINDS = [pa.binary(), pa.large_binary(), pa.binary_view()]


def cmac(key: bytes, value: bytes) -> bytes:
    reference = CMAC(algorithms.AES(key))
    reference.update(value)
    return reference.finalize()


def found(key: bytes, values: pa.Array) -> list[bytes]:
    words = Prf(key).words(values)
    assert words.shape == (len(values), 2)
    assert words.dtype == np.uint64
    return [row.astype("<u8").tobytes() for row in words]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ],
)
def test_words_are_the_examples_of_rfc_4493(length: int, expected: str) -> None:
    assert found(KEY, pa.array([RFC_MESSAGE[:length]])) == [bytes.fromhex(expected)]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_length_has_the_words_of_the_library(kind: pa.DataType) -> None:
    values = [bytes(range(256))[length : 2 * length] for length in range(101)]
    assert found(KEY, pa.array(values, kind)) == [cmac(KEY, value) for value in values]


def test_values_longer_than_are_gathered_have_the_words_of_the_library() -> None:
    values = [bytes([length % 251]) * length for length in (1023, 1024, 1025, 4096, 3, 1008, 1009)]
    assert found(KEY, pa.array(values)) == [cmac(KEY, value) for value in values]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_slices_with_nulls_have_the_words_of_the_library(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | st.binary(max_size=70), max_size=30))
    kind = data.draw(st.sampled_from(KINDS))
    start = data.draw(st.integers(0, len(values)))
    count = data.draw(st.integers(0, len(values) - start))
    array = pa.array(values, kind).slice(start, count)
    expected = [cmac(KEY, value or b"") for value in values[start : start + count]]
    assert found(KEY, array) == expected


def test_bytes_that_stand_under_a_null_do_not_count() -> None:
    offsets, data = pa.array([0, 5, 9], pa.int32()).buffers()[1], pa.py_buffer(b"knownraw!")
    validity = pa.array([True, False]).buffers()[1]
    array = pa.Array.from_buffers(pa.binary(), 2, [validity, offsets, data])
    assert found(KEY, array) == [cmac(KEY, b"known"), cmac(KEY, b"")]


def test_a_buffer_that_ends_with_its_last_value_is_not_read_beyond() -> None:
    offsets, data = pa.array([0, 3, 20], pa.int32()).buffers()[1], pa.py_buffer(b"abc" + b"d" * 17)
    array = pa.Array.from_buffers(pa.binary(), 2, [None, offsets, data])
    assert found(KEY, array) == [cmac(KEY, b"abc"), cmac(KEY, b"d" * 17)]


def test_columns_of_many_chunks_have_the_words_of_each_of_their_values() -> None:
    values = pa.array([f"first.last{number}@example.com" for number in range(40_000)])
    words = Prf(KEY).words(values)
    for row in (0, 16_383, 16_384, 32_768, 39_999):
        assert words[row].astype("<u8").tobytes() == cmac(KEY, values[row].as_py().encode())


def test_texts_fixed_bytes_and_views_are_one_identity() -> None:
    value = "0123456789"
    arrays = [
        pa.array([value]),
        pa.array([value], pa.large_string()),
        pa.array([value], pa.string_view()),
        pa.array([value.encode()], pa.binary(10)),
    ]
    assert {found(KEY, array)[0] for array in arrays} == {cmac(KEY, value.encode())}


def test_another_key_gives_other_words() -> None:
    values = pa.array(["a", "b"])
    assert not set(found(KEY, values)) & set(found(bytes(16), values))


def test_what_is_neither_text_nor_bytes_has_no_words() -> None:
    with pytest.raises(TypeError, match="int64"):
        Prf(KEY).words(pa.array([1]))


def test_further_words_are_aes_of_the_words_and_a_number() -> None:
    words = Prf(KEY).words(pa.array(["a", "b"]))
    further = Prf(bytes(16)).more(words, 5)
    aes = Cipher(algorithms.AES(bytes(16)), modes.ECB()).encryptor()
    counted = words ^ np.array([5, 0], np.uint64)
    assert further.astype("<u8").tobytes() == aes.update(counted.astype("<u8").tobytes())
