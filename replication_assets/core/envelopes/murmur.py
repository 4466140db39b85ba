"""Partitions by the hash of a message's key, as Kafka's own Java clients choose them.

MurmurHash2 with Kafka's seed (`org.apache.kafka.common.utils.Utils.murmur2`), its sign bit dropped, modulo
the number of partitions: whoever else writes the key chooses the same partition.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_M = np.uint32(0x5BD1E995)
_SEED = 0x9747B28C


def partitions_of(keys: Sequence[bytes], count: int) -> npt.NDArray[np.int64]:
    """The partition of each key, of `count`."""
    return (murmur2(keys) & np.uint32(0x7FFFFFFF)).astype(np.int64) % count


def murmur2(keys: Sequence[bytes]) -> npt.NDArray[np.uint32]:
    """The hash of each key: all keys of one length at a time."""
    found = np.zeros(len(keys), np.uint32)
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    for length in np.unique(lengths):
        at = np.flatnonzero(lengths == length).tolist()
        raw = np.frombuffer(b"".join(keys[i] for i in at), np.uint8).reshape(len(at), int(length))
        found[at] = _of_one_length(raw)
    return found


def _of_one_length(raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    rows, length = raw.shape
    with np.errstate(over="ignore"):
        hashed = np.full(rows, np.uint32(_SEED ^ length), np.uint32)
        whole = length - length % 4
        words = np.ascontiguousarray(raw[:, :whole]).view("<u4").astype(np.uint32)
        for at in range(whole // 4):
            word = words[:, at] * _M
            word ^= word >> np.uint32(24)
            hashed = hashed * _M ^ word * _M
        if whole < length:
            for at in range(whole, length):
                hashed ^= raw[:, at].astype(np.uint32) << np.uint32(8 * (at - whole))
            hashed *= _M
        hashed ^= hashed >> np.uint32(13)
        hashed *= _M
        hashed ^= hashed >> np.uint32(15)
    return hashed
