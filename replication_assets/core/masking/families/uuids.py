"""UUIDs: a keyed bijection that keeps version and variant (RFC 9562) and permutes the other 122 bits.

A mark of its own in the result (version 8, say) would have to overwrite bits in which two UUIDs may
differ: unique ones could become equal. So a version stays what it was, and readers that check it still
accept what they read; times, nodes and names in the other bits are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.column_bytes import (
    Bytes,
    ColumnBytes,
    is_text,
    known,
    texts_of_rows,
)
from replication_assets.core.masking.column_kinds import kind_of
from replication_assets.core.masking.families.reading import OfValue
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.permutation import Ff1
from replication_assets.core.masking.rules import UuidId
from replication_assets.errors import GuardError, PolicyError

LENGTH = 36
PATTERN = r"\A[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\z"

_DIGITS = 32
_GROUPS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))  # of hex digits, a dash between any two
_DASHES = (8, 13, 18, 23)
_NO_NIBBLES = np.uint64(0x8080_8080_8080_8080)
_NIBBLES = bytes(int(chr(code), 16) if chr(code) in "0123456789abcdefABCDEF" else 255 for code in range(256))

# The first word is 48 bits, the version (4) and 12 bits; the second the variant (2) and 62 bits.
_VERSION = np.uint64(0xF000)
_LAST_12, _VARIANT = np.uint64(0x0FFF), np.uint64(0xC000_0000_0000_0000)
_HALF = np.uint64(2**61 - 1)

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class UuidMasker(OfValue):
    column: str
    arrow: pa.DataType
    cipher: Ff1

    @property
    def uniqueness(self) -> Uniqueness:
        return "preserved"

    def mask(self, rows: Rows) -> pa.Array:
        values = rows.column(self.column)
        flags = known(values)
        first, second = self._parsed(values, np.flatnonzero(flags))
        first, second = permuted(self.cipher, first, second)
        return texts_of_rows(_texts(first, second), flags, self.arrow)

    def fits(self, values: pa.Array) -> pa.Array:
        return pc.match_substring_regex(values, PATTERN)

    def _parsed(self, values: pa.Array, there: npt.NDArray[np.int64]) -> tuple[Words, Words]:
        """The UUIDs of some rows as two big-endian words."""
        column = ColumnBytes(values, widest=LENGTH)
        right = there[column.lengths[there] == LENGTH]
        texts = column.matrix(right, LENGTH)
        digits = _without_dashes(texts).tobytes().translate(_NIBBLES)
        nibbles = np.frombuffer(digits, np.uint8).reshape(-1, _DIGITS)
        good = ((nibbles.view(np.uint64) & _NO_NIBBLES) == 0).all(axis=1)
        for place in _DASHES:
            good &= texts[:, place] == ord("-")
        wrong = len(there) - int(np.count_nonzero(good))
        if wrong:
            raise GuardError(
                f"{wrong} rows are no UUIDs as 8-4-4-4-12 hex digits",
                where=f"column {self.column}",
                fix="another rule for the column, as Token, or put the rows right at the source",
            )
        words = ((nibbles[:, 0::2] << 4) | nibbles[:, 1::2]).view(">u8").astype(np.uint64)
        return words[:, 0], words[:, 1]


def permuted(cipher: Ff1, first: Words, second: Words) -> tuple[Words, Words]:
    """122 bits of each UUID through the cipher, as two halves of 61; version and variant as they are."""
    upper = ((first >> np.uint64(16)) << np.uint64(12)) | (first & _LAST_12)
    left = (upper << np.uint64(1)) | ((second >> np.uint64(61)) & np.uint64(1))
    left, right = (half.astype(np.uint64) for half in cipher.encrypt(left, second & _HALF))
    upper = left >> np.uint64(1)
    masked_first = ((upper >> np.uint64(12)) << np.uint64(16)) | (first & _VERSION) | (upper & _LAST_12)
    return masked_first, (second & _VARIANT) | ((left & np.uint64(1)) << np.uint64(61)) | right


def _texts(first: Words, second: Words) -> Bytes:
    octets = np.stack((first, second), axis=1).astype(">u8").tobytes()
    digits = np.frombuffer(octets.hex().encode(), np.uint8).reshape(-1, _DIGITS)
    texts = np.full((len(first), LENGTH), ord("-"), np.uint8)
    for dashes, (start, stop) in enumerate(_GROUPS):
        texts[:, start + dashes : stop + dashes] = digits[:, start:stop]
    return texts


def _without_dashes(texts: Bytes) -> Bytes:
    digits = np.empty((len(texts), _DIGITS), np.uint8)
    for dashes, (start, stop) in enumerate(_GROUPS):
        digits[:, start:stop] = texts[:, start + dashes : stop + dashes]
    return digits


def _uuid_id(rule: UuidId, column: MaskedColumn, context: RuleContext) -> UuidMasker:
    if not is_text(column.arrow) or kind_of(column.structure) not in ("uuid", "text", "other"):
        raise PolicyError([f"UuidId is for UUIDs, not for {column.structure.type}: use another rule"])
    if column.longest is not None and column.longest < LENGTH:
        raise PolicyError([f"UUIDs have {LENGTH} characters, the column takes {column.longest}: use Token"])
    key = context.keys.mask_key("uuid", rule.namespace)
    return UuidMasker(column.name, column.arrow, Ff1(key, radix=2, length=122))


UUID_BUILDERS: Mapping[type, Builder[Any]] = {UuidId: _uuid_id}
