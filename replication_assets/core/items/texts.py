"""Canonical text of columns, and its JSON form: whole arrays at a time.

A canonical text is what templates show and what string attributes hold. Texts are
`large_string` throughout, so that no batch is too large for 32-bit offsets.
"""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.items.numbers import (
    canonical_numbers,
    spelled_decimals,
    spelled_floats,
    spelled_integers,
)

Text = pa.large_string()


def is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def spelled_numbers(values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Numbers of any type in their one spelling, with the reason for each that is not storable;
    NaN and the infinities of a float are spelled out all the same."""
    if pa.types.is_decimal(values.type):
        return spelled_decimals(values), {}
    if pa.types.is_floating(values.type):
        return spelled_floats(values)
    if pa.types.is_integer(values.type):
        return spelled_integers(values), {}
    return canonical_numbers(values.cast(Text))


def canonical_text(values: pa.Array) -> pa.Array:
    """The text of each value; null for null. Binary has none."""
    kind = values.type
    if pa.types.is_floating(kind):
        texts, refused = spelled_floats(values)
        lost = np.zeros(len(values), dtype=bool)
        lost[[row for row, reason in refused.items() if reason != "not-finite"]] = True
        # Beyond DynamoDB's range for numbers a float still has a text.
        return pc.if_else(pa.array(lost), values.cast(Text), texts) if lost.any() else texts
    if is_number(kind):
        return spelled_numbers(values)[0]
    if pa.types.is_timestamp(kind):
        return _timestamps(values)
    if is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        return values.cast(Text)
    raise TypeError(f"no canonical text for {kind}")


def _timestamps(values: pa.Array) -> pa.Array:
    """ISO 8601 with six digits of a second; `Z` where the column has a time zone."""
    zoned = values.type.tz is not None
    texts = pc.replace_substring(values.cast(pa.timestamp("us")).cast(Text), " ", "T")
    if not zoned:
        return texts
    return pc.binary_join_element_wise(texts, pa.scalar("Z", Text), pa.scalar("", Text))


_ESCAPES = {ord("\b"): "\\b", ord("\t"): "\\t", ord("\n"): "\\n", ord("\f"): "\\f", ord("\r"): "\\r"}


def json_escaped(texts: pa.Array) -> pa.Array:
    """What stands between the quotes of a JSON string, as `json.dumps(ensure_ascii=False)`
    writes it."""
    data = _bytes_of(texts)
    if (data == ord("\\")).any():
        texts = pc.replace_substring(texts, "\\", "\\\\")
    if (data == ord('"')).any():
        texts = pc.replace_substring(texts, '"', '\\"')
    # Control characters are rare, and sorting them out of a large column costs more than a look.
    controls = np.unique(data[data < 0x20]).tolist() if len(data) and data.min() < 0x20 else []
    for code in controls:
        texts = pc.replace_substring(texts, chr(code), _ESCAPES.get(code, f"\\u{code:04x}"))
    return texts


def _bytes_of(texts: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes behind an array of texts, those of nulls included."""
    _, offsets_buffer, data = texts.buffers()
    if data is None or len(texts) == 0:
        return np.empty(0, dtype=np.uint8)
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)
    first, last = offsets[texts.offset], offsets[texts.offset + len(texts)]
    return np.frombuffer(data, dtype=np.uint8)[first:last]


def base64_text(values: pa.Array) -> pa.Array:
    encoded = [None if v is None else base64.b64encode(v).decode() for v in values.to_pylist()]
    return pa.array(encoded, Text)


def byte_lengths(values: pa.Array) -> npt.NDArray[np.int64]:
    """Bytes of each text or binary; 0 for null."""
    lengths = pc.fill_null(pc.binary_length(values), 0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False), dtype=np.int64)
