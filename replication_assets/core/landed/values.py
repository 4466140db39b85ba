"""Values of landed files as the store keeps them: exact, or as text in the row's `_overflow`.

CSV has texts; a column has the type that it is declared with (`core.envelopes.types`, PostgreSQL's
names). Parquet has types of its own, which stand for declared ones; where they differ, the value goes
through its text. Texts that are spelled as usual are converted a column at a time, all others one by
one: what the type cannot hold exactly is odd, and never rounded.

DMS writes times without their zone, in UTC: a `timestamptz` without one is read so.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.envelopes.json_values import Number
from replication_assets.core.envelopes.types import ODD, ValueFormat, taker
from replication_assets.core.schema import Column

_FORM = ValueFormat("hex")
_TRUTHS = {"true": True, "false": False, "t": True, "f": False, "1": True, "0": False}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_ZONE = re.compile(r"[+-][0-9]{2}:?[0-9]{2}|Z")
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"

Stored = tuple[pa.Array, pa.StringArray | None]
"""Stored values, null where one is odd; and the texts of odd ones, None where there are none."""


def from_texts(column: Column, texts: pa.StringArray) -> Stored:
    """Stored values of texts as CSV has them."""
    if pa.types.is_string(column.arrow):
        return texts, None
    usual = _usual(column)
    if usual is None:
        return _one_by_one(column, texts, pa.nulls(len(texts), column.arrow), texts.is_valid())
    spelled = pc.fill_null(pc.match_substring_regex(texts, usual), False)
    known = pc.if_else(spelled, texts, pa.scalar(None, pa.string()))
    try:
        typed = known.cast(column.arrow if not _is_aware(column) else pa.timestamp("us"))
    except pa.ArrowInvalid:
        # A month 13: spelled as usual and no date.
        typed, spelled = pa.nulls(len(texts), column.arrow), pa.array(np.zeros(len(texts), dtype=bool))
    if _is_aware(column):
        typed = typed.cast(pa.int64()).cast(column.arrow)
    rest = pc.and_(texts.is_valid(), pc.invert(spelled))
    return _one_by_one(column, texts, typed, rest)


def _is_aware(column: Column) -> bool:
    return pa.types.is_timestamp(column.arrow) and column.arrow.tz is not None


def _usual(column: Column) -> str | None:
    """How most values are spelled, which Arrow converts exactly."""
    kind = column.arrow
    if pa.types.is_int64(kind):
        return r"^-?(0|[1-9][0-9]{0,17})$"
    if pa.types.is_decimal(kind):
        whole, scale = kind.precision - kind.scale, kind.scale
        fraction = rf"(\.[0-9]{{1,{scale}}})?" if scale else ""
        return rf"^-?[0-9]{{1,{whole}}}{fraction}$" if whole else None
    if pa.types.is_float64(kind):
        return r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$"
    if pa.types.is_date(kind):
        return r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
    return f"^{_TIME}$" if pa.types.is_timestamp(kind) else None


def _one_by_one(column: Column, texts: pa.StringArray, typed: pa.Array, rest: pa.BooleanArray) -> Stored:
    at = np.flatnonzero(rest.to_numpy(zero_copy_only=False))
    if not len(at):
        return typed, None
    take = taker(column, _FORM)
    found, odd = [], []
    for text in texts.take(pa.array(at)).to_pylist():
        value = take(_prepared(column, text))
        found.append(None if value is ODD else value)
        odd.append(text if value is ODD else None)
    mask = pa.array(np.isin(np.arange(len(texts)), at))
    typed = pc.replace_with_mask(typed, mask, pa.array(found, column.arrow))
    if all(text is None for text in odd):
        return typed, None
    return typed, pc.replace_with_mask(pa.nulls(len(texts), pa.string()), mask, pa.array(odd, pa.string()))


def _prepared(column: Column, text: str) -> Any:
    """A text in the terms of envelopes, whose JSON tells numbers and truths from texts."""
    if pa.types.is_boolean(column.arrow):
        return _TRUTHS.get(text, text)
    if pa.types.is_float64(column.arrow) and _NUMBER.fullmatch(text):
        return Number(text)
    if _is_aware(column) and len(text) >= 19 and not _ZONE.search(text[19:]):
        return text + "Z"
    return text


def parquet_column(name: str, kind: pa.DataType) -> Column:
    """How a column of a Parquet file is stored where nobody declared it."""
    if pa.types.is_uint64(kind):
        return Column(name, "numeric(20,0)", pa.decimal128(20, 0))
    if pa.types.is_integer(kind):
        return Column(name, "bigint", pa.int64())
    if pa.types.is_floating(kind):
        return Column(name, "double precision", pa.float64())
    if pa.types.is_decimal128(kind):
        return Column(name, f"numeric({kind.precision},{kind.scale})", kind)
    if pa.types.is_boolean(kind):
        return Column(name, "boolean", pa.bool_())
    if pa.types.is_date(kind):
        return Column(name, "date", pa.date32())
    if pa.types.is_timestamp(kind):
        stored = pa.timestamp("us", tz="UTC" if kind.tz else None)
        return Column(name, "timestamptz" if kind.tz else "timestamp", stored)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return Column(name, "bytea", pa.binary())
    return Column(name, "text", pa.string())


def from_parquet(column: Column, values: pa.Array) -> Stored:
    """Stored values of a Parquet column, through their text where it has another type than is stored.

    Raises:
        pa.ArrowInvalid, pa.ArrowNotImplementedError: a value has no exact form, nor a text.
    """
    if parquet_column(column.name, values.type).arrow == column.arrow:
        try:
            return values.cast(column.arrow), None
        except pa.ArrowInvalid:
            # Nanoseconds: as text, where they are odd.
            pass
    return from_texts(column, values.cast(pa.string()))
