"""Columns of events as JSON texts, whole arrays at a time; the inverse of `types`.

Integers and decimals keep every digit and are JSON numbers in DMS's envelope; decimals are texts in
Debezium's, as with its `decimal.handling.mode=string`. What JSON has no number for (`NaN`) is text, and
so is a value that its typed column cannot hold (`_overflow`): the source's own text of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.envelopes.messages import Envelope
from replication_assets.core.events import OVERFLOW
from replication_assets.core.schema import Column, TableSchema

_ESCAPED = r'["\\\x00-\x1f]'
_PRECISION = re.compile(r"\((\d)\)")
_DAY = pa.date32()
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


@dataclass(frozen=True, slots=True)
class Spelling:
    """What an envelope writes where JSON leaves a choice."""

    envelope: Envelope
    hex_prefix: bool = True

    @property
    def decimals_as_text(self) -> bool:
        return self.envelope == "debezium"


def json_columns(rows: pa.Table, schema: TableSchema, spelling: Spelling) -> list[pa.StringArray]:
    """JSON text of each column's values, null for SQL NULL."""
    columns = [json_values(rows[each.name].combine_chunks(), each, spelling) for each in schema.columns]
    overflow = rows[OVERFLOW].combine_chunks()
    if overflow.null_count == len(overflow):
        return columns
    return _with_odd_values(columns, overflow, schema)


def json_values(values: pa.Array, column: Column, spelling: Spelling) -> pa.StringArray:
    """JSON text of each value; null stays null."""
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return values.cast(pa.string())
    if pa.types.is_decimal(kind):
        texts = _plain_decimals(values)
        return _in_quotes(texts) if spelling.decimals_as_text else texts
    if pa.types.is_floating(kind):
        return _floats(values)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _hexadecimal(values, spelling) if spelling.envelope == "dms" else _base64(values)
    if pa.types.is_date(kind):
        return (
            values.cast(pa.int32()).cast(pa.string()) if spelling.envelope == "debezium" else _dates(values)
        )
    if pa.types.is_timestamp(kind):
        return _times(values, column, spelling)
    return json_texts(values.cast(pa.string()))


def json_texts(values: pa.StringArray) -> pa.StringArray:
    """Texts in quotes, escaped where they must be."""
    odd = pc.fill_null(pc.match_substring_regex(values, _ESCAPED), False)
    if not pc.any(odd, min_count=0).as_py():
        return _in_quotes(values)
    escaped = [json.dumps(each.as_py(), ensure_ascii=False) for each in values.filter(odd)]
    return pc.replace_with_mask(_in_quotes(values), odd, pa.array(escaped, pa.string()))


def _in_quotes(texts: pa.StringArray) -> pa.StringArray:
    return pc.binary_join_element_wise('"', texts, '"', "")


def _plain_decimals(values: pa.Array) -> pa.StringArray:
    """Without exponents, which Arrow writes for small numbers of a large scale."""
    texts = values.cast(pa.string())
    odd = pc.fill_null(pc.match_substring(texts, "E"), False)
    if not pc.any(odd, min_count=0).as_py():
        return texts
    plain = [format(each.as_py(), "f") for each in values.filter(odd)]
    return pc.replace_with_mask(texts, odd, pa.array(plain, pa.string()))


def _floats(values: pa.Array) -> pa.StringArray:
    """The shortest text that gives the number back; with a point or an exponent, so that it stays a float."""
    found: list[str | None] = []
    for value in values.to_pylist():
        if value is None:
            found.append(None)
        elif value != value or value in (float("inf"), float("-inf")):
            found.append('"NaN"' if value != value else '"Infinity"' if value > 0 else '"-Infinity"')
        else:
            found.append(repr(value) if values.type == pa.float64() else repr(float(str(np.float32(value)))))
    return pa.array(found, pa.string())


def _hexadecimal(values: pa.Array, spelling: Spelling) -> pa.StringArray:
    """After `0x`, as DMS writes raw bytes unless told `NoHexPrefix`."""
    prefix = "0x" if spelling.hex_prefix else ""
    texts = (None if each is None else f'"{prefix}{each.hex()}"' for each in values.to_pylist())
    return pa.array(list(texts), pa.string())


def _base64(values: pa.Array) -> pa.StringArray:
    import base64

    texts = (None if v is None else f'"{base64.b64encode(v).decode()}"' for v in values.to_pylist())
    return pa.array(list(texts), pa.string())


def _dates(values: pa.Array) -> pa.StringArray:
    return _in_quotes(pc.strftime(values.cast(pa.timestamp("s")), format="%Y-%m-%d"))


def _times(values: pa.Array, column: Column, spelling: Spelling) -> pa.StringArray:
    """ISO 8601 in UTC; of Debezium those without a zone are integers since 1970, milliseconds for a
    precision of 3 or less and microseconds above it, by its adaptive mode."""
    if spelling.envelope == "debezium" and values.type.tz is None:
        stated = _PRECISION.search(column.source_type)
        micros = values.cast(pa.timestamp("us")).cast(pa.int64())
        if stated is not None and int(stated.group(1)) <= 3:
            return pc.divide(pc.subtract(micros, _remainder(micros, 1000)), 1000).cast(pa.string())
        return micros.cast(pa.string())
    # Both envelopes leave out a fraction that is zero.
    return pc.replace_substring(iso_times(values), ".000000Z", "Z")


def iso_times(values: pa.Array) -> pa.StringArray:
    """In quotes, with six digits of a second and a `Z`, as DMS writes times of its metadata."""
    naive = values.cast(pa.timestamp("us", tz="UTC")) if values.type.tz is not None else values
    texts = pc.strftime(naive.cast(pa.timestamp("us")), format="%Y-%m-%dT%H:%M:%S")
    return pc.binary_join_element_wise('"', texts, 'Z"', "")


def _remainder(values: pa.Array, by: int) -> pa.Array:
    return pa.array(np.mod(values.fill_null(0).to_numpy(zero_copy_only=False), by), pa.int64())


def _with_odd_values(
    columns: Sequence[pa.StringArray], overflow: pa.StringArray, schema: TableSchema
) -> list[pa.StringArray]:
    """Row by row, as rows with an odd value are rare."""
    at = np.flatnonzero(overflow.is_valid().to_numpy(zero_copy_only=False))
    odd = {int(row): json.loads(overflow[int(row)].as_py()) for row in at}
    filled = []
    for column, texts in zip(schema.columns, columns, strict=True):
        found = {row: each[column.name] for row, each in odd.items() if column.name in each}
        if not found:
            filled.append(texts)
            continue
        mask = np.zeros(len(texts), dtype=bool)
        mask[sorted(found)] = True
        given = [json.dumps(found[row], ensure_ascii=False) for row in sorted(found)]
        filled.append(pc.replace_with_mask(texts, pa.array(mask), pa.array(given, pa.string())))
    return filled
