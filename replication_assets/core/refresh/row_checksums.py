"""Keyed checksums of rows: what the guard certifies, and what the copy is held against.

A row's checksum is 64 bits of a keyed function of its values, and that of some rows is the sum of
theirs modulo 2**64: it does not depend on order or batches, counts equal rows as often as they
stand there, and adds up over chunks. Nobody without the key can make other rows of the same sum.

A row is laid out as words of 64 bits, of which every value can be told again:

    presence           one bit for each column, 64 of them in a word: NULL is not an empty text
    integer, boolean   its value, whatever the width of the type
    float              its IEEE 754 bits as a double, one NaN; -0.0 is not 0.0
    decimal            128 bits of its digits; the column's scale counts, its precision does not
    date               days since 1970
    timestamp, time    microseconds since 1970 (UTC), since midnight
    text, binary       64 bits of a keyed function of its bytes, whatever the Arrow type around them

JSON columns that a database keeps in a form of its own are compared as documents: `canonical_json`.
So is `_overflow`, whose members have no order. Which columns stand where, and their types, is bound
by the structure's fingerprint and not here; the same column in another place is another row.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.masking.prf import Prf
from replication_assets.core.refresh.canonical_json import canonical_json
from replication_assets.errors import RefreshError

Matrix: TypeAlias = npt.NDArray[np.uint64]

_MODULUS = 2**64
_BLOCK_ROWS = 16_384  # at a time, so that the words of wide rows stay in the cache
_GROUP = 96  # words that are drawn from at once: the keyed function is fast up to 1 KiB


def checksum(batch: pa.RecordBatch, prf: Prf, *, json_columns: Collection[str] = ()) -> tuple[int, int]:
    """Number of rows, and the sum of their checksums.

    Raises:
        RefreshError: a column of a type that has no checksum, or no JSON in a JSON column.
    """
    total = 0
    for start in range(0, batch.num_rows, _BLOCK_ROWS):
        rows = batch.slice(start, _BLOCK_ROWS)
        words = prf.words(_as_binary(_folded(_words(rows, prf, json_columns), prf)))
        total += int(words[:, 0].sum(dtype=np.uint64))
    return batch.num_rows, total % _MODULUS


def _words(rows: pa.RecordBatch, prf: Prf, json_columns: Collection[str]) -> Matrix:
    """Rows as words: presence first, then the values."""
    names = rows.schema.names
    columns = [
        _column_words(name, _plain(values, name in json_columns or name == OVERFLOW, name), prf)
        for name, values in zip(names, rows.columns, strict=True)
    ]
    presence = -(-len(names) // 64)
    found = np.zeros((rows.num_rows, presence + sum(each.shape[1] for each in columns)), np.uint64)
    place = presence
    for number, (values, words) in enumerate(zip(rows.columns, columns, strict=True)):
        present: npt.NDArray[np.bool_] | None = None
        if values.null_count or pa.types.is_dictionary(values.type):
            present = _present(values)
            words = np.where(present[:, None], words, np.uint64(0))
        bit = np.uint64(1 << number % 64)
        found[:, number // 64] |= bit if present is None else present * bit
        found[:, place : place + words.shape[1]] = words
        place += words.shape[1]
    return found


def _present(values: pa.Array) -> npt.NDArray[np.bool_]:
    decoded = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    return np.asarray(decoded.is_valid().to_numpy(zero_copy_only=False), np.bool_)


def _plain(values: pa.Array, document: bool, name: str) -> pa.Array:
    decoded = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    if document and decoded.null_count < len(decoded):
        return canonical_json(decoded, name)
    return decoded


def _column_words(name: str, values: pa.Array, prf: Prf) -> Matrix:
    """The words of each value; whatever for null."""
    kind = values.type
    if pa.types.is_null(kind):
        return np.zeros((len(values), 1), np.uint64)
    if _is_bytes(kind):
        return prf.words(values)[:, :1]
    if pa.types.is_decimal(kind):
        return _decimal_words(name, values)
    if pa.types.is_floating(kind):
        return _float_words(values)
    return _numbers(_as_int64(name, values)).view(np.uint64)[:, None]


def _as_int64(name: str, values: pa.Array) -> pa.Array:
    kind = values.type
    problem = f"values of type {kind} have no checksum"
    try:
        if pa.types.is_uint64(kind):
            return values.view(pa.int64())
        if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            return values.cast(pa.int64())
        if pa.types.is_date(kind):
            return values.cast(pa.date32()).view(pa.int32()).cast(pa.int64())
        if pa.types.is_timestamp(kind):
            return values.cast(pa.timestamp("us", kind.tz)).view(pa.int64())
        if pa.types.is_time(kind):
            return values.cast(pa.time64("us")).view(pa.int64())
    except pa.ArrowInvalid:
        # Arrow's message quotes the value.
        problem = f"a value of type {kind} is finer than microseconds"
    raise RefreshError(problem, where=f"column {name}", fix="store the column as text")


def _float_words(values: pa.Array) -> Matrix:
    numbers = _numbers(values.cast(pa.float64()), np.float64)
    # NaNs differ in bits that mean nothing.
    return np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)[:, None]


def _decimal_words(name: str, values: pa.Array) -> Matrix:
    kind = values.type
    if not pa.types.is_decimal128(kind):
        try:
            values = values.cast(pa.decimal128(38, kind.scale))
        except pa.ArrowInvalid:
            raise RefreshError(
                f"a value of {kind} has more than 38 digits",
                where=f"column {name}",
                fix="store the column as text",
            ) from None
    if values.buffers()[1] is None:
        return np.zeros((len(values), 2), np.uint64)
    return np.frombuffer(values.buffers()[1], np.uint64, 2 * len(values), 16 * values.offset).reshape(-1, 2)


def _numbers(values: pa.Array, dtype: npt.DTypeLike = np.int64) -> npt.NDArray[np.generic]:
    """The values' own buffer; whatever stands there for null."""
    data = values.buffers()[1]
    if data is None:
        return np.zeros(len(values), dtype)
    return np.frombuffer(data, dtype, len(values), 8 * values.offset)


def _folded(words: Matrix, prf: Prf) -> Matrix:
    """Rows of no more words than are fast to draw from: groups of them are drawn from first."""
    while words.shape[1] > _GROUP:
        groups = [words[:, start : start + _GROUP] for start in range(0, words.shape[1], _GROUP)]
        words = np.hstack([prf.words(_as_binary(group)) for group in groups])
    return words


def _as_binary(words: Matrix) -> pa.Array:
    """Each row's words as one binary value."""
    width = 8 * words.shape[1]
    offsets = np.arange(0, (len(words) + 1) * width, width, dtype=np.int64)[: len(words) + 1]
    data = pa.py_buffer(np.ascontiguousarray(words))
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(words), [None, pa.py_buffer(offsets), data]
    )


def _is_bytes(kind: pa.DataType) -> bool:
    """Whether the keyed function takes the values as they are."""
    checks = (
        *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary),
        *(pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary),
    )
    return any(check(kind) for check in checks)
