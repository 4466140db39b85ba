"""Types that columns of a topic's table are declared with, and how a message's values get there.

A topic tells no types, so they are declared, by PostgreSQL's names. A column that nobody declared is
`any`: every value is stored as its JSON text. A value that its declared type cannot hold exactly is
null in its column and stands in the row's `_overflow` as JSON text. Nothing is coerced.

| declared | stored as | values that it takes |
|---|---|---|
| `smallint`, `integer`, `bigint` | int64 | integers, also spelled as text or with an exponent |
| `numeric(p,s)` | decimal128 | numbers and texts of numbers with so many digits; Debezium's bytes |
| `double precision`, `real` | float64 | numbers; `NaN`, `Infinity`, `-Infinity` as text |
| `boolean` | bool | true and false |
| `text`, `uuid` | string | text |
| `json` | string | text as it is; objects, lists and numbers as JSON text |
| `bytea` | binary | hexadecimal, also after `0x`; base64 |
| `date` | date32 | `YYYY-MM-DD`, also with a midnight behind it; Debezium's days |
| `timestamp`, `timestamptz`, with `(0)` to `(6)` | timestamp(us) | ISO 8601; Debezium's integers |
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import decimal
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.envelopes.json_values import Number, is_text, json_text
from replication_assets.core.schema import Column

ANY = "any"
ODD: Any = object()
"""Stands for a value that its type cannot hold."""

Taken: TypeAlias = Callable[[Any], Any]

_PRECISION = re.compile(r"(\w[\w ]*?)\s*(?:\(\s*(\d{1,4})\s*(?:,\s*(\d{1,4})\s*)?\))?")
_PLAIN: dict[str, pa.DataType] = {
    "smallint": pa.int64(),
    "integer": pa.int64(),
    "bigint": pa.int64(),
    "double precision": pa.float64(),
    "real": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "uuid": pa.string(),
    "json": pa.string(),
    ANY: pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
}
_TIMES = {"timestamp": pa.timestamp("us"), "timestamptz": pa.timestamp("us", tz="UTC")}
DECLARED = (*(name for name in _PLAIN if name != ANY), "numeric(p,s)", *_TIMES)

_DIGITS = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ]00:00:00(?:\.0+)?Z?)?")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?:0*)(Z|[+-]\d\d:?\d\d)?")
_SPELLED_AS: dict[pa.DataType, str] = {
    pa.date32(): r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    _TIMES["timestamp"]: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z?$",
    _TIMES["timestamptz"]: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$",
}
_INT64, _EXACT = 2**63, 2**53
_FIRST_DAY = dt.date(1970, 1, 1)
_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC).replace(tzinfo=None)
_MICROSECOND = dt.timedelta(microseconds=1)
_FLOATS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


@dataclass(frozen=True, slots=True)
class ValueFormat:
    """How the producer spells what JSON has no value for: binary values, decimals (Debezium's
    `precise` is base64 of the unscaled number), and whether integers stand for dates and times."""

    binary: Literal["hex", "base64"]
    decimals: Literal["string", "precise"] = "string"
    epochs: bool = False


def declared_column(name: str, declared: str) -> Column:
    """Raises ValueError for a type that is not in the table above."""
    match = _PRECISION.fullmatch(declared.strip().lower())
    kind, first, second = match.groups() if match else ("", None, None)
    if kind in _PLAIN and first is None and kind != ANY:
        return Column(name, kind, _PLAIN[kind])
    if kind in _TIMES and second is None and int(first or 6) <= 6:
        return Column(name, kind if first is None else f"{kind}({int(first)})", _TIMES[kind])
    if kind == "numeric" and first is not None:
        digits, scale = int(first), int(second or 0)
        if 1 <= digits <= 38 and scale <= digits:
            return Column(name, f"numeric({digits},{scale})", pa.decimal128(digits, scale))
    raise ValueError(f"{declared[:63]!r} is none of {', '.join(DECLARED)}")


def spelled_column(text: str) -> Column:
    """A column as it is declared, `name type`. Raises ValueError where no type ends it."""
    words = text.strip().split(" ")
    for at in range(1, len(words)):
        try:
            return declared_column(" ".join(words[:at]).strip(), " ".join(words[at:]))
        except ValueError:
            continue
    raise ValueError(f"{text[:63]!r} does not end with one of {', '.join(DECLARED)}")


def late_column(name: str) -> Column:
    """A column that messages have and nobody declared."""
    return Column(name, ANY, pa.string())


def stored(
    column: Column, values: Sequence[Any], form: ValueFormat
) -> tuple[pa.Array, pa.StringArray | None]:
    """Stored values, null where the type cannot hold one, and the JSON texts of those; None if there
    are none, the usual case."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= _plain_kinds(column):
        try:
            return pa.array(values, column.arrow), None
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
            # An integer beyond int64, half a surrogate pair: told apart below.
            pass
    if kinds == {str} and (parsed := _parsed(column, values, form)) is not None:
        return parsed, None
    take = taker(column, form)
    found = [None if value is None else take(value) for value in values]
    if not any(each is ODD for each in found):
        return pa.array(found, column.arrow), None
    odd = [json_text(v) if each is ODD else None for v, each in zip(values, found, strict=True)]
    typed = [None if each is ODD else each for each in found]
    return pa.array(typed, column.arrow), pa.array(odd, pa.string())


def _parsed(column: Column, values: Sequence[Any], form: ValueFormat) -> pa.Array | None:
    """Texts of numbers, dates and times, all spelled as usual, in one go; None where one is not."""
    if column.arrow not in _SPELLED_AS and not pa.types.is_decimal(column.arrow):
        return None
    if pa.types.is_decimal(column.arrow) and form.decimals == "precise":
        return None
    pattern = _SPELLED_AS.get(column.arrow, r"^-?[0-9]{1,20}(\.[0-9]{1,17})?$")
    try:
        texts = pa.array(values, pa.string())
        if not pc.all(pc.match_substring_regex(texts, pattern), min_count=0).as_py():
            return None
        if column.arrow == _TIMES["timestamp"]:
            texts = pc.utf8_rtrim(texts, "Z")
        return texts.cast(column.arrow)
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None


def _plain_kinds(column: Column) -> set[type]:
    if pa.types.is_int64(column.arrow):
        return {int}
    if column.source_type in ("text", "uuid", "json"):
        return {str}
    return {bool} if pa.types.is_boolean(column.arrow) else set()


def taker(column: Column, form: ValueFormat) -> Taken:
    """What a value that is not null is stored as; `ODD` where the type cannot hold it."""
    kind, arrow = column.source_type, column.arrow
    if kind == ANY:
        return json_text
    if kind == "json":
        return lambda v: v if type(v) is str and is_text(v) else json_text(v) if type(v) is not str else ODD
    if pa.types.is_string(arrow):
        return lambda v: v if type(v) is str and is_text(v) else ODD
    if pa.types.is_int64(arrow):
        return _integer
    if pa.types.is_boolean(arrow):
        return lambda v: v if type(v) is bool else ODD
    if pa.types.is_float64(arrow):
        return _float
    if pa.types.is_decimal(arrow):
        return _decimal_taker(arrow, form)
    if pa.types.is_binary(arrow):
        return _hexadecimal if form.binary == "hex" else _base64
    if pa.types.is_date(arrow):
        return lambda v: _date(v, form)
    return _time_taker(column, form)


def _integer(value: Any) -> Any:
    if type(value) is str and _DIGITS.fullmatch(value) and len(value) <= 20:
        value = int(value)
    elif type(value) is Number:
        exact = _exact(value)
        value = int(exact) if exact is not None and exact == exact.to_integral_value() else value
    return value if type(value) is int and -_INT64 <= value < _INT64 else ODD


def _float(value: Any) -> Any:
    if type(value) is Number:
        found = float(value)
        # A number beyond the type would become infinite.
        return found if found not in (float("inf"), float("-inf")) else ODD
    if type(value) is int:
        return float(value) if abs(value) <= _EXACT else ODD
    return _FLOATS.get(value, ODD) if type(value) is str else ODD


def _exact(text: str) -> decimal.Decimal | None:
    """The number, if it has no more digits than any of our types could need."""
    number = decimal.Decimal(text) if _DECIMAL.fullmatch(text) else None
    small = number is not None and number.is_finite() and abs(number.adjusted()) < 60 and len(text) < 120
    return number if small else None


def _decimal_taker(arrow: pa.Decimal128Type, form: ValueFormat) -> Taken:
    digits, scale = arrow.precision, arrow.scale
    context = decimal.Context(prec=200)

    def take(value: Any) -> Any:
        if type(value) is str and form.decimals == "precise":
            raw = _base64(value)
            if raw is ODD or not raw or len(raw) > 32:
                return ODD
            number = decimal.Decimal(int.from_bytes(raw, "big", signed=True)).scaleb(-scale, context)
        elif type(value) is int:
            number = decimal.Decimal(value)
        elif isinstance(value, str) and (exact := _exact(value)) is not None:
            number = exact
        else:
            return ODD
        fits = number == number.quantize(decimal.Decimal(1).scaleb(-scale), context=context)
        # Not `abs`, which rounds.
        return number if fits and number.copy_abs() < decimal.Decimal(1).scaleb(digits - scale) else ODD

    return take


def _hexadecimal(value: Any) -> Any:
    if type(value) is not str:
        return ODD
    try:
        return binascii.unhexlify(value.removeprefix("0x"))
    except ValueError:
        return ODD


def _base64(value: Any) -> Any:
    if type(value) is not str:
        return ODD
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return ODD


def _date(value: Any, form: ValueFormat) -> Any:
    try:
        if type(value) is int and form.epochs:
            return _FIRST_DAY + dt.timedelta(days=value)
        if type(value) is str and value.isascii() and (match := _DATE.fullmatch(value)):
            return dt.date.fromisoformat(match.group(1))
    except (ValueError, OverflowError):
        return ODD
    return ODD


def _time_taker(column: Column, form: ValueFormat) -> Taken:
    """Debezium writes milliseconds for a precision of 3 or less, and microseconds above it."""
    aware = column.arrow.tz is not None
    precision = int(column.source_type.partition("(")[2].rstrip(")") or 6)
    unit = dt.timedelta(milliseconds=1) if precision <= 3 else _MICROSECOND

    def take(value: Any) -> Any:
        try:
            if type(value) is int and form.epochs:
                moment = _EPOCH + unit * value
                return moment.replace(tzinfo=dt.UTC) if aware else moment
            if type(value) is str and value.isascii() and (match := _TIME.fullmatch(value)):
                return _moment(match.group(1), match.group(2), aware=aware)
        except (ValueError, OverflowError):
            return ODD
        return ODD

    return take


def _moment(text: str, zone: str | None, *, aware: bool) -> Any:
    if not aware:
        # DMS writes a Z behind times without a zone.
        return dt.datetime.fromisoformat(text) if zone in (None, "Z") else ODD
    return dt.datetime.fromisoformat(text + zone).astimezone(dt.UTC) if zone is not None else ODD
