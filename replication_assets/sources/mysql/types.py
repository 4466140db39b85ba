"""MySQL and MariaDB types as the event store holds them, and how a value gets there.

A load reads the text that the server prints and capture reads the binlog's own bytes. For every
type both end in the same Arrow value and the same `_overflow` text: what is written here is the
contract of both.

| type | stored as | odd values (null there, text in `_overflow`) |
|---|---|---|
| TINYINT, its UNSIGNED, SMALLINT, YEAR | int16 | |
| SMALLINT UNSIGNED, MEDIUMINT, its UNSIGNED, INT | int32 | |
| INT UNSIGNED, BIGINT, BIT(2) to BIT(63) | int64 | |
| BIGINT UNSIGNED, BIT(64) | decimal(20, 0) | |
| BIT(1) | boolean | |
| DECIMAL(p, s), p up to 38 | decimal(p, s) | |
| DECIMAL(p, s), p above 38 | text: digits with the full scale, no zeros before them | |
| FLOAT, DOUBLE | float32, float64, the very bits; zero without its sign, which no SELECT tells | |
| DATE | date32 | zero, partial, impossible days, year 0 |
| DATETIME | timestamp (us) | the same, with the column's fraction digits |
| TIMESTAMP | timestamp (us, UTC) | zero |
| TIME | text `[-]HH:MM:SS`, two or three hour digits, with the column's fraction digits | |
| CHAR (without its padding), VARCHAR, TEXT, ENUM, JSON | text in UTF-8; JSON as the server prints it | |
| SET | text: members in the order of the type, joined by commas | |
| UUID, INET4, INET6 | text as the server prints it | |
| BINARY (with its padding), VARBINARY, BLOB | binary | |
| spatial types | binary: SRID in four bytes, then WKB (the server's own form) | |

YEAR is the number that the server prints: 0 for 0000, two digits for YEAR(2). ZEROFILL is how a
number is shown, not what it is. A type that is not listed is refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.schema import Column
from replication_assets.errors import DecodeError, SourceNotReady

_INTEGERS = {
    "tinyint": (pa.int16(), pa.int16()),
    "smallint": (pa.int16(), pa.int32()),
    "mediumint": (pa.int32(), pa.int32()),
    "int": (pa.int32(), pa.int64()),
    "bigint": (pa.int64(), pa.decimal128(20, 0)),
}
"""Signed and unsigned."""

_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_PRINTED = frozenset({"enum", "set", "json", "time", "uuid", "inet4", "inet6"})
SPATIAL = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"}
    | {"geometrycollection", "geomcollection"}
)
_BINARIES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"}) | SPATIAL

_COLUMN_TYPE = re.compile(r"(?P<base>[a-z0-9]+)(?:\((?P<inside>.*)\))?(?P<rest>[^()]*)", re.DOTALL)
_COMMENT = re.compile(r"\s*/\*.*?\*/")


@dataclass(frozen=True, slots=True)
class NativeType:
    """A column type as `information_schema` prints it, in parts.

    `name` is the form that is stored as `Column.source_type`: without display width and ZEROFILL,
    which may change without a value changing. `length` is the first number in the parentheses
    (fraction digits of a temporal type, bytes or characters of a string), `scale` the second.
    """

    name: str
    base: str
    length: int | None = None
    scale: int | None = None
    unsigned: bool = False

    @classmethod
    def parse(cls, text: str) -> NativeType:
        """From `COLUMN_TYPE`, or from a `Column.source_type` that it was stored as.

        Raises:
            SourceNotReady: not the form that a server prints.
        """
        plain = text
        if not text.startswith(("enum(", "set(")):
            plain = _COMMENT.sub("", text).strip()
        found = _COLUMN_TYPE.fullmatch(plain)
        if found is None:
            raise _unknown(text)
        base, inside, rest = found["base"], found["inside"], (found["rest"] or "").split()
        unsigned = "unsigned" in rest or "zerofill" in rest
        if base in ("enum", "set"):
            return cls(plain, base)
        numbers = [int(number) for number in (inside or "").split(",") if number.strip().isdigit()]
        length, scale = (*numbers, None, None)[:2]
        return cls(_name(base, inside, unsigned), base, length, scale, unsigned)


def _name(base: str, inside: str | None, unsigned: bool) -> str:
    sign = " unsigned" if unsigned else ""
    if base in _INTEGERS:
        return f"{base}(1)" if (base, inside, unsigned) == ("tinyint", "1", False) else base + sign
    if base == "year":
        return "year(2)" if inside == "2" else "year"
    return (f"{base}({inside})" if inside is not None else base) + sign


def column_of(name: str, column_type: str, nullable: bool) -> Column:
    """A column from its row in `information_schema.COLUMNS`.

    MySQL numbers columns by their place, which moves: there is no stable ordinal.

    Raises:
        SourceNotReady: its type is not known.
    """
    native = NativeType.parse(column_type)
    return Column(name, native.name, stored_type(native), nullable)


def stored_type(native: NativeType) -> pa.DataType:
    """The Arrow type of every value of the type. Raises SourceNotReady for a type not listed."""
    base = native.base
    if base in _INTEGERS:
        return _INTEGERS[base][native.unsigned]
    if base == "decimal" and native.length is not None:
        fits = native.length <= 38
        return pa.decimal128(native.length, native.scale or 0) if fits else pa.string()
    if base == "bit":
        bits = native.length or 1
        return pa.bool_() if bits == 1 else pa.int64() if bits < 64 else pa.decimal128(20, 0)
    if base in _TEXTS or base in _PRINTED:
        return pa.string()
    if base in _BINARIES:
        return pa.binary()
    simple = _SIMPLE.get(base)
    if simple is None:
        raise _unknown(native.name)
    return simple


_SIMPLE = {
    "year": pa.int16(),
    "float": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def _unknown(text: str) -> SourceNotReady:
    return SourceNotReady(
        f"columns of type {text.partition('(')[0]} cannot be stored",
        fix="read the table through a view that casts the column to a known type",
    )


# --- from the text that the server prints ---------------------------------------------------


def from_text(column: Column, values: pa.BinaryArray) -> tuple[pa.Array, pa.StringArray | None]:
    """Values of `column.arrow` from what `select_list.read_expression` makes the server print.

    The second array holds the text of odd values, whose place in the first is null; None when
    there are none, the usual case.

    Raises:
        DecodeError: the text is not what the server prints for the type.
    """
    kind = column.arrow
    if pa.types.is_binary(kind):
        return values, None
    try:
        texts = values.cast(pa.string())
        if pa.types.is_string(kind):
            return texts, None
        if pa.types.is_boolean(kind):
            return _booleans(texts), None
        if pa.types.is_float32(kind):
            return texts.cast(pa.float64()).cast(kind, safe=False), None
        if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            return _typed_or_odd(kind, texts)
        return texts.cast(kind), None
    except pa.ArrowInvalid:
        # Arrow's message quotes the value.
        raise DecodeError(
            f"a value of column {column.name!r} is not a {column.source_type}",
            fix="the table changed since its schema was read: read it again",
        ) from None


def _booleans(texts: pa.StringArray) -> pa.Array:
    true = pc.equal(texts, "1")
    if not pc.all(pc.or_(true, pc.equal(texts, "0")), min_count=0).as_py():
        raise pa.ArrowInvalid("neither 0 nor 1")
    return true


def _typed_or_odd(kind: pa.DataType, texts: pa.StringArray) -> tuple[pa.Array, pa.StringArray | None]:
    typed = _all_ordinary(kind, texts)
    if typed is not None:
        return typed, None
    odd = _odd_dates(texts)
    if not pc.all(pc.match_substring_regex(texts.filter(odd), _PRINTED_DATE)).as_py():
        raise pa.ArrowInvalid("no date")
    nothing = pa.scalar(None, pa.string())
    return _temporal(kind, pc.if_else(odd, nothing, texts)), pc.if_else(odd, texts, nothing)


_PRINTED_DATE = r"^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?$"


def _all_ordinary(kind: pa.DataType, texts: pa.StringArray) -> pa.Array | None:
    """The typed values, or None if some date must be looked at: most columns never have an odd one."""
    try:
        typed = _temporal(kind, texts)
    except pa.ArrowInvalid:
        return None
    return None if _has_year_zero(typed) else typed


def _temporal(kind: pa.DataType, texts: pa.StringArray) -> pa.Array:
    if pa.types.is_date(kind):
        return texts.cast(kind)
    return texts.cast(pa.timestamp("us")).cast(kind)


_FIRST_DAY = -719_162
"""0001-01-01 as days since 1970-01-01."""
_FIRST_MICROSECOND = _FIRST_DAY * 86_400_000_000


def _has_year_zero(typed: pa.Array) -> bool:
    """Arrow knows a year 0; Delta's readers do not."""
    whole = typed.view(pa.int32() if pa.types.is_date(typed.type) else pa.int64())
    least = pc.min(whole).as_py()
    return least is not None and least < (_FIRST_DAY if whole.type == pa.int32() else _FIRST_MICROSECOND)


def _odd_dates(texts: pa.StringArray) -> pa.BooleanArray:
    """Where the date, the first ten bytes `YYYY-MM-DD`, is on no calendar that is stored; null counts
    as ordinary."""
    filled = pc.fill_null(texts, "0001-01-01")
    digits = pc.utf8_slice_codeunits(filled, 0, 10)
    parts = [pc.utf8_slice_codeunits(digits, *cut).cast(pa.int32()) for cut in ((0, 4), (5, 7), (8, 10))]
    year, month, day = (part.to_numpy(zero_copy_only=False) for part in parts)
    return pa.array(~on_calendar(year, month, day))


_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def on_calendar(
    year: npt.NDArray[np.integer], month: npt.NDArray[np.integer], day: npt.NDArray[np.integer]
) -> npt.NDArray[np.bool_]:
    """Which dates are stored typed: days of the Gregorian calendar in years 1 to 9999. The server also
    keeps `0000-00-00`, `2024-00-00`, `2024-05-00`, and with ALLOW_INVALID_DATES `2024-02-31`."""
    leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    days = _MONTH_DAYS[np.clip(month, 0, 12)] + leap
    found: npt.NDArray[np.bool_] = (
        (year >= 1) & (year <= 9999) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= days)
    )
    return found
