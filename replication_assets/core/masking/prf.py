"""The keyed function that masks are drawn from: AES-CMAC (RFC 4493) of whole columns at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]
"""For each value two keyed 64-bit words, as an array of n x 2."""


class Prf:
    """AES-CMAC under one key. Nobody without the key can tell its outputs from random ones."""

    __slots__ = ("__key",)

    def __init__(self, key: bytes) -> None:
        self.__key = key

    def __repr__(self) -> str:
        return "Prf()"

    def words(self, values: pa.Array) -> Words:
        """The 128 bits for each text or binary value, as two words. A null has those of no bytes."""
        raise NotImplementedError
