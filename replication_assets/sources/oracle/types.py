"""Oracle types as the event store holds them, and how a value gets there.

A load asks the server to print what Arrow's types or the driver's would not carry, and capture takes the
literals of LogMiner's statements. For every type both end in the same Arrow value and the same `_overflow`
text: what is written here is the contract of both.

| type | stored as | odd values (null there, text in `_overflow`) |
|---|---|---|
| NUMBER(p, s), s <= 0, p - s up to 4, 9, 18, 38 digits | int16, int32, int64, decimal(p - s, 0) | |
| NUMBER(p, s), s > 0, up to 38 digits | decimal(max(p, s), s) | |
| NUMBER(p, s) of more digits (-84 to 127 may be a scale) | text | |
| INTEGER, NUMBER(*, 0); NUMBER in a primary key | decimal(38, 0) | more digits, fractions |
| NUMBER, FLOAT(b) | decimal(38, 10) | more than 28 digits before the point, or 10 behind |
| BINARY_FLOAT, BINARY_DOUBLE | float32, float64: NaN and infinities too | |
| DATE | timestamp (us): it has a time | before the year 1 |
| TIMESTAMP(f) | timestamp (us) | before the year 1; nanoseconds |
| TIMESTAMP(f) WITH LOCAL TIME ZONE | timestamp (us, UTC) | the same |
| TIMESTAMP(f) WITH TIME ZONE | text, with the zone that was given | |
| INTERVAL YEAR TO MONTH, DAY TO SECOND | text | |
| CHAR, NCHAR (with their padding), VARCHAR2, NVARCHAR2, CLOB, NCLOB, LONG | text; an empty one is null | |
| RAW, BLOB, LONG RAW | binary | |
| ROWID, UROWID | text | |
| XMLTYPE, JSON, VECTOR | text as the server prints it | |
| BOOLEAN | boolean | |

Numbers are told as digits without an exponent and without zeros that do not count. A type that is not
listed is refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import pyarrow as pa

from replication_assets.core.schema import Column
from replication_assets.errors import SourceNotReady

Family: TypeAlias = Literal[
    "number", "float", "date", "timestamp", "zoned", "local", "interval", "text", "binary", "boolean"
]

_WHOLE = pa.decimal128(38, 0)
_ANY_NUMBER = pa.decimal128(38, 10)
_DIGITS = 38

_TEXTS = frozenset({"CHAR", "NCHAR", "VARCHAR2", "NVARCHAR2", "CLOB", "NCLOB", "LONG", "ROWID", "UROWID"})
_PRINTED = frozenset({"XMLTYPE", "JSON", "VECTOR"})
_BINARIES = frozenset({"RAW", "BLOB", "LONG RAW"})
LARGE = frozenset({"CLOB", "NCLOB", "BLOB"})
"""Types whose values are written in pieces: capture from the log reads their rows again
(`logminer.touched_rows`)."""
OUT_OF_ROW = LARGE | {"LONG", "LONG RAW", "XMLTYPE", "JSON", "VECTOR"}
"""Types whose values redo does not carry whole beside a row."""
_NOT_MINED = (OUT_OF_ROW - LARGE) | {"UROWID"}
"""Types that flashback or LogMiner does not serve: a row with one is told as UNSUPPORTED, or without it."""

_FORM = re.compile(r"(?P<base>[A-Z][A-Z0-9_ ]*?)(?:\((?P<first>[0-9*]+)(?:,(?P<second>-?\d+))?\))?")


@dataclass(frozen=True, slots=True)
class NativeType:
    """A column type in parts. `name` is what is stored as `Column.source_type`.

    `precision` is digits of a number, or of the fraction of a second; `length` is characters or bytes.
    """

    name: str
    base: str
    family: Family
    precision: int | None = None
    scale: int | None = None

    @classmethod
    def parse(cls, text: str) -> NativeType:
        """From a `Column.source_type`. Raises SourceNotReady for a type that is not known."""
        return _parsed(text)

    @classmethod
    def of(cls, text: str) -> NativeType:
        """As `parse`, which remembers what it found."""
        for pattern, family in _TIMES:
            found = pattern.fullmatch(text)
            if found is not None:
                return cls(text, "TIMESTAMP", family, int(found["fraction"]))
        if text.startswith("INTERVAL "):
            return cls(text, "INTERVAL", "interval")
        found = _FORM.fullmatch(text)
        base = found["base"] if found is not None else text
        known = _family(base)
        if found is None or known is None:
            raise _unknown(text)
        first, second = found["first"], found["second"]
        precision = int(first) if first is not None and first != "*" else None
        return cls(text, base, known, precision, int(second) if second is not None else None)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> NativeType:
    return NativeType.of(text)


_TIMES: tuple[tuple[re.Pattern[str], Family], ...] = (
    (re.compile(r"TIMESTAMP\((?P<fraction>\d)\)"), "timestamp"),
    (re.compile(r"TIMESTAMP\((?P<fraction>\d)\) WITH TIME ZONE"), "zoned"),
    (re.compile(r"TIMESTAMP\((?P<fraction>\d)\) WITH LOCAL TIME ZONE"), "local"),
)


def _family(base: str) -> Family | None:
    if base in ("NUMBER", "FLOAT"):
        return "number"
    if base in ("BINARY_FLOAT", "BINARY_DOUBLE"):
        return "float"
    if base in _TEXTS or base in _PRINTED:
        return "text"
    if base in _BINARIES:
        return "binary"
    simple: dict[str, Family] = {"DATE": "date", "BOOLEAN": "boolean"}
    return simple.get(base)


def type_name(
    data_type: str, owner: str | None, precision: int | None, scale: int | None, length: int | None
) -> str:
    """The form in which a type is stored, from a row of `ALL_TAB_COLS`. `length` is in characters of text
    types, in bytes of RAW, and None where there is none.

    Raises:
        SourceNotReady: values of the type cannot be stored.
    """
    if owner is not None:
        if data_type == "XMLTYPE" and owner in ("SYS", "PUBLIC"):
            return "XMLTYPE"
        raise _unknown(f"{owner}.{data_type}")
    if data_type == "NUMBER":
        if precision is None:
            return "NUMBER" if scale is None else f"NUMBER(*,{scale})"
        return f"NUMBER({precision},{scale})" if scale else f"NUMBER({precision})"
    if data_type == "FLOAT":
        return f"FLOAT({precision or 126})"
    if data_type.startswith(("TIMESTAMP", "INTERVAL")):
        return NativeType.parse(data_type).name
    if data_type in ("CHAR", "NCHAR", "VARCHAR2", "NVARCHAR2", "RAW") and length:
        return f"{data_type}({length})"
    return NativeType.parse(data_type).name


def stored_type(native: NativeType, *, identifies: bool) -> pa.DataType:
    """The Arrow type of every value of the type; `identifies` says that it is part of a primary key."""
    if native.family == "number":
        return _number_type(native, identifies=identifies)
    if native.family == "float":
        return pa.float32() if native.base == "BINARY_FLOAT" else pa.float64()
    simple = {
        "date": pa.timestamp("us"),
        "timestamp": pa.timestamp("us"),
        "local": pa.timestamp("us", tz="UTC"),
        "binary": pa.binary(),
        "boolean": pa.bool_(),
    }
    return simple.get(native.family, pa.string())


def _number_type(native: NativeType, *, identifies: bool) -> pa.DataType:
    if native.base == "FLOAT":
        return _ANY_NUMBER
    if native.precision is None:
        return _WHOLE if identifies or native.scale == 0 else _unbounded(native.scale)
    precision, scale = native.precision, native.scale or 0
    if scale > 0:
        digits = max(precision, scale)
        return pa.decimal128(digits, scale) if digits <= _DIGITS else pa.string()
    digits = precision - scale
    if digits <= 18:
        return pa.int16() if digits <= 4 else pa.int32() if digits <= 9 else pa.int64()
    return pa.decimal128(digits, 0) if digits <= _DIGITS else pa.string()


def _unbounded(scale: int | None) -> pa.DataType:
    """NUMBER, and NUMBER(*, s), which is of 38 digits."""
    if scale is None:
        return _ANY_NUMBER
    return pa.decimal128(_DIGITS, scale) if 0 < scale <= _DIGITS else pa.string()


def column_of(
    name: str, native: str, nullable: bool, *, ordinal: int | None = None, identifies: bool = False
) -> Column:
    """A column from its stored type name; `ordinal` is its INTERNAL_COLUMN_ID, which moves, so none is
    kept in general."""
    return Column(
        name, native, stored_type(NativeType.parse(native), identifies=identifies), nullable, ordinal
    )


def is_out_of_row(column: Column) -> bool:
    """Whether changes carry its value apart from the row, or not at all."""
    return column.source_type in OUT_OF_ROW


def is_large(column: Column) -> bool:
    """Whether its value may be written in pieces, which a row's redo does not carry."""
    return column.source_type in LARGE


def is_not_mined(column: Column) -> bool:
    """Whether changes of a table with such a column cannot be captured whole."""
    return column.source_type in _NOT_MINED


def _unknown(text: str) -> SourceNotReady:
    return SourceNotReady(
        f"columns of type {text[:80]} cannot be stored",
        fix="read the table through a view that casts the column to a known type",
    )
