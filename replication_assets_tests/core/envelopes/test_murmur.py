"""Partitions are those that Kafka's Java clients choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.envelopes.murmur import murmur2, partitions_of

OF_JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""Of Kafka's own `UtilsTest.testMurmur2`: signed."""


@pytest.mark.parametrize("key", OF_JAVA)
def test_the_hash_is_that_of_java(key: bytes) -> None:
    (found,) = murmur2([key]).tolist()
    assert found == OF_JAVA[key] % 2**32


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 50))
def test_many_keys_at_once_are_as_each_alone(keys: list[bytes], count: int) -> None:
    found = partitions_of(keys, count).tolist()
    assert found == [partitions_of([key], count).tolist()[0] for key in keys]
    assert all(0 <= each < count for each in found)
