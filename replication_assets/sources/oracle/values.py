"""From what the server prints, and what the driver's frames hold, to stored values.

Text of both ways comes through `from_text`: a load asks for it (`select_list`), and LogMiner's literals
are of the same forms (`logminer.literals`). Numbers may stand with or without zeros that do not count, with
an exponent, and without a digit before the point: all of them end as one text.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.schema import Column
from replication_assets.errors import DecodeError
from replication_assets.sources.oracle.types import NativeType

Values: TypeAlias = tuple[pa.Array, pa.StringArray | None]
"""Stored values, and the texts of odd ones, whose place in the first is null; None if there are none."""

_FLOATS = {"nan": "nan", "inf": "inf", "-inf": "-inf", "infinity": "inf", "-infinity": "-inf"}
_PLAIN_NUMBER = r"^-?(\d+\.?\d*|\.\d+)$"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")
_MOMENT = r"^-?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,9})?$"


def from_frame(column: Column, values: pa.Array) -> Values:
    """Values of a load, as `select_list` asked for them.

    Raises:
        DecodeError: they are not of the column's type.
    """
    kind = values.type
    if pa.types.is_large_string(kind) or pa.types.is_string(kind):
        return from_text(column, values.cast(pa.string()))
    if pa.types.is_null(kind):
        return pa.nulls(len(values), column.arrow), None
    exact = pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    wanted = column.arrow
    if pa.types.is_integer(wanted) or pa.types.is_decimal(wanted):
        if not exact:
            raise _not_of(column)
    elif not _carries(kind, wanted):
        raise _not_of(column)
    try:
        return values.cast(wanted), None
    except pa.ArrowInvalid:
        raise _not_of(column) from None


def _carries(kind: pa.DataType, wanted: pa.DataType) -> bool:
    pairs = (pa.types.is_floating, pa.types.is_boolean)
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return any(same(kind) and same(wanted) for same in pairs) or (binary and pa.types.is_binary(wanted))


def from_text(column: Column, texts: pa.StringArray) -> Values:
    """Values of the column's type from texts. Binary ones are told in hexadecimal digits.

    Raises:
        DecodeError: a text is not what the server prints for the type.
    """
    family = NativeType.parse(column.source_type).family
    try:
        if family == "text":
            return texts, None
        if family == "number":
            return _numbers(column, texts)
        if family == "float":
            return _floats(column, texts), None
        if family in ("date", "timestamp", "local"):
            return _moments(column, texts)
        if family == "zoned":
            return _shortest(pc.utf8_trim_whitespace(texts)), None
        if family == "interval":
            return pc.utf8_trim_whitespace(texts), None
        if family == "binary":
            found = [None if t is None else bytes.fromhex(t) for t in texts.to_pylist()]
            return pa.array(found, pa.binary()), None
        if family == "boolean":
            return _booleans(texts), None
    except (pa.ArrowInvalid, InvalidOperation, ValueError, KeyError):
        # Their messages quote the value.
        raise _not_of(column) from None
    raise DecodeError(f"no value of family {family} is known")


def _not_of(column: Column) -> DecodeError:
    return DecodeError(
        f"a value of column {column.name!r} is not a {column.source_type}",
        fix="the table changed since its schema was read: read it again",
    )


# --- numbers --------------------------------------------------------------------------------


def _numbers(column: Column, texts: pa.StringArray) -> Values:
    kind = column.arrow
    if pa.types.is_string(kind):
        return canonical_numbers(texts), None
    if pc.all(pc.match_substring_regex(texts, _PLAIN_NUMBER)).as_py() is not False:
        try:
            return _exact(texts, kind), None
        except pa.ArrowInvalid:
            pass  # Some number has more digits than the type: they are looked at one by one.
    plain = canonical_numbers(texts)
    fits = pa.array([None if t is None else _fits(t, kind) for t in plain.to_pylist()], pa.bool_())
    nothing = pa.scalar(None, pa.string())
    odd = pc.if_else(fits, nothing, plain)
    typed = _exact(pc.if_else(fits, plain, nothing), kind)
    if odd.null_count == len(odd):
        return typed, None
    if column.source_type not in _MAY_BE_ODD:
        raise ValueError("more digits than declared")
    return typed, odd


_MAY_BE_ODD = frozenset({"NUMBER", "NUMBER(*,0)", *(f"FLOAT({bits})" for bits in range(1, 127))})


def _exact(texts: pa.StringArray, kind: pa.DataType) -> pa.Array:
    """Raises pa.ArrowInvalid for a text of more digits than the type has."""
    if pa.types.is_decimal(kind):
        return texts.cast(kind)
    return texts.cast(pa.decimal128(38, 0)).cast(kind)


def _fits(text: str, kind: pa.DataType) -> bool:
    whole, _, fraction = text.lstrip("-").partition(".")
    if not pa.types.is_decimal(kind):
        bound = 2 ** (int(kind.bit_width) - 1)
        return not fraction and -bound <= int(text) < bound
    return bool(len(whole.lstrip("0")) <= kind.precision - kind.scale and len(fraction) <= kind.scale)


def canonical_numbers(texts: pa.StringArray) -> pa.StringArray:
    """Digits without an exponent, and without zeros that do not count."""
    return pa.array([None if t is None else canonical_number(t) for t in texts.to_pylist()], pa.string())


def canonical_number(text: str) -> str:
    """Raises ValueError for what is no number."""
    if not _NUMBER.fullmatch(text):
        raise ValueError("no number")
    printed = f"{Decimal(text):f}"
    if "." in printed:
        printed = printed.rstrip("0").rstrip(".")
    sign = "-" if printed.startswith("-") else ""
    digits = printed.lstrip("+-").lstrip("0") or "0"
    digits = f"0{digits}" if digits.startswith(".") else digits
    return digits if digits == "0" else sign + digits


def _floats(column: Column, texts: pa.StringArray) -> pa.Array:
    named = [None if t is None else float(_FLOATS.get(t.strip().lower(), t)) for t in texts.to_pylist()]
    return pa.array(named, pa.float64()).cast(column.arrow, safe=False)


def _booleans(texts: pa.StringArray) -> pa.Array:
    known = {"TRUE": True, "1": True, "FALSE": False, "0": False}
    return pa.array([None if t is None else known[t.strip().upper()] for t in texts.to_pylist()], pa.bool_())


# --- moments --------------------------------------------------------------------------------


def _moments(column: Column, texts: pa.StringArray) -> Values:
    """Odd are years before 1 (Oracle knows them down to -4712, and no year 0) and nanoseconds."""
    trimmed = pc.utf8_trim_whitespace(texts)
    if pc.all(pc.match_substring_regex(trimmed, _MOMENT)).as_py() is False:
        raise ValueError("no moment")
    early = pc.starts_with(trimmed, "-")
    fine = pc.match_substring_regex(trimmed, r"\.\d{6}\d*[1-9]\d*$")
    odd = pc.fill_null(pc.or_(early, fine), False)
    micro = pc.replace_substring_regex(trimmed, r"(\.\d{6})\d+$", r"\1")
    nothing = pa.scalar(None, pa.string())
    ordinary = pc.if_else(odd, nothing, micro)
    typed = ordinary.cast(pa.timestamp("us")).cast(column.arrow)
    if not pc.any(odd).as_py():
        return typed, None
    return typed, pc.if_else(odd, _shortest(trimmed), nothing)


def _shortest(texts: pa.StringArray) -> pa.StringArray:
    """Without zeros at the end of a fraction: the two ways print different numbers of them."""
    short = pc.replace_substring_regex(texts, r"(\.\d*?)0+( |$)", r"\1\2")
    return pc.replace_substring_regex(short, r"\.( |$)", r"\1")


# --- text of stored values ------------------------------------------------------------------


def old_texts(values: pa.Array, odd: pa.StringArray | None) -> pa.StringArray:
    """Stored values as text, for `_before` and to compare by; binary ones in hexadecimal digits."""
    texts = _texts(values)
    return texts if odd is None else pc.coalesce(texts, odd)


def _texts(values: pa.Array) -> pa.StringArray:
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_binary(kind):
        return pa.array([None if v is None else v.hex().upper() for v in values.to_pylist()], pa.string())
    if pa.types.is_decimal(kind):
        found = [None if v is None else canonical_number(str(v)) for v in values.to_pylist()]
        return pa.array(found, pa.string())
    if pa.types.is_boolean(kind):
        return pc.if_else(values, "TRUE", "FALSE").cast(pa.string())
    if pa.types.is_timestamp(kind):
        return values.cast(pa.timestamp("us")).cast(pa.string())
    return values.cast(pa.string())
