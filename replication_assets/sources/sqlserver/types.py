"""SQL Server types as the event store holds them, and how a value gets there.

Loads and captures read columns through the same expressions (`statements.values`) and hand what the
driver makes of them to `stored`: for every type both end in the same Arrow value and `_overflow` text.

| type | stored as | odd values (null there, text in `_overflow`) |
|---|---|---|
| bit | boolean | |
| tinyint, smallint | int16 | |
| int | int32 | |
| bigint | int64 | |
| decimal(p, s), numeric(p, s) | decimal(p, s), p up to 38 | |
| money, smallmoney | decimal(19, 4), decimal(10, 4) | |
| real, float | float32, float64; NaN and infinity cannot be in them | |
| date | date32 | |
| datetime | timestamp (us), with the milliseconds that the server prints | |
| smalldatetime, datetime2(0) to datetime2(6) | timestamp (us) | |
| datetime2(7) | timestamp (us) | what is no whole microsecond, with seven digits |
| datetimeoffset(n) | text `YYYY-MM-DD hh:mm:ss.nnnnnnn +hh:mm`: an instant alone would lose the offset | |
| time(n) | text `hh:mm:ss.nnnnnnn`, with the column's digits | |
| char, varchar, nchar, nvarchar, text, ntext, sysname | text, with its padding | |
| xml, json | text as the server prints it | |
| hierarchyid | text `/1/2/` | |
| uniqueidentifier | text in lower case | |
| binary, varbinary, image | binary | |
| rowversion (timestamp) | binary, eight bytes | |
| geometry, geography | binary, the server's own form ([MS-SSCLRT]): WKB would lose Z, M and the SRID | |

An alias type is the type it stands for. `sql_variant`, `vector`, types of assemblies and encrypted columns
are refused by name: a view that casts the column can be loaded. Computed columns and column sets are
left out and listed as `not_replicated`: changes never carry them, and sparse columns are columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.schema import Column
from replication_assets.errors import DecodeError, SourceNotReady

SYSTEM_TYPES = frozenset(
    {"bit", "tinyint", "smallint", "int", "bigint", "decimal", "numeric", "money", "smallmoney"}
    | {"float", "real", "date", "time", "datetime", "datetime2", "smalldatetime", "datetimeoffset"}
    | {"char", "varchar", "text", "nchar", "nvarchar", "ntext", "sysname", "xml", "json", "hierarchyid"}
    | {"binary", "varbinary", "image", "timestamp", "uniqueidentifier", "geometry", "geography"}
    | {"sql_variant", "vector"}
)
"""Names in `sys.types` of SQL Server 2017 to 2025."""

REFUSED = frozenset({"sql_variant", "vector"})
"""Known, and stored as nothing: the type of each value, or its exact text, would be lost."""

OLD_LOBS = frozenset({"text", "ntext", "image"})
"""Change tables never hold their old values."""

_TEXTS = frozenset({"char", "varchar", "nchar", "nvarchar", "text", "ntext", "xml", "json", "hierarchyid"})
_PRINTED = frozenset({"time", "datetimeoffset", "uniqueidentifier"})
_BINARIES = frozenset({"binary", "varbinary", "image", "timestamp", "geometry", "geography"})
_SIMPLE: dict[str, pa.DataType] = {
    "bit": pa.bool_(),
    "tinyint": pa.int16(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "money": pa.decimal128(19, 4),
    "smallmoney": pa.decimal128(10, 4),
    "real": pa.float32(),
    "float": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "datetime2": pa.timestamp("us"),
    "smalldatetime": pa.timestamp("us"),
}
_NAME = re.compile(r"(?P<base>[a-z0-9_]+)(?:\((?P<inside>max|\d+(?:,\d+)?)\))?")


@dataclass(frozen=True, slots=True)
class NativeType:
    """A type in parts. `length` counts characters of text, bytes of binary, -1 is `max`; digits of a
    decimal with `scale`; fraction digits of a time."""

    base: str
    length: int | None = None
    scale: int | None = None

    @classmethod
    def parse(cls, text: str) -> NativeType:
        """The inverse of `name`. Raises SourceNotReady for anything else."""
        found = _NAME.fullmatch(text)
        if found is None or found["base"] not in SYSTEM_TYPES:
            raise _refused(text)
        if found["inside"] is None:
            return cls(found["base"])
        if found["inside"] == "max":
            return cls(found["base"], -1)
        length, _, scale = found["inside"].partition(",")
        return cls(found["base"], int(length), int(scale) if scale else None)

    @classmethod
    def of(cls, base: str, max_length: int, precision: int, scale: int) -> NativeType:
        """From a row of `sys.columns`, whose lengths are bytes."""
        if base in ("char", "varchar", "binary", "varbinary"):
            return cls(base, max_length)
        if base in ("nchar", "nvarchar"):
            return cls(base, -1 if max_length == -1 else max_length // 2)
        if base == "sysname":
            return cls("nvarchar", 128)
        if base in ("decimal", "numeric"):
            return cls("decimal", precision, scale)
        return cls(base, scale) if base in ("time", "datetime2", "datetimeoffset") else cls(base)

    @property
    def name(self) -> str:
        if self.length is None:
            return self.base
        inside = "max" if self.length == -1 else str(self.length)
        return f"{self.base}({inside}{'' if self.scale is None else f',{self.scale}'})"

    @property
    def is_large(self) -> bool:
        """Whether values may be of any size. Old values of such a column come with changes of it only."""
        return self.length == -1 or self.base in OLD_LOBS | {"xml", "json", "geometry", "geography"}

    @property
    def may_be_odd(self) -> bool:
        return self.base == "datetime2" and self.length == 7


def column_of(name: str, native: NativeType, nullable: bool) -> Column:
    """A column as it is stored. Its number is left out: change tables do not tell it.

    Raises:
        SourceNotReady: the type is refused.
    """
    return Column(name, native.name, stored_type(native), nullable)


def stored_type(native: NativeType) -> pa.DataType:
    """The Arrow type of every value of the type. Raises SourceNotReady for one that is refused."""
    base = native.base
    if base == "decimal" and native.length is not None:
        return pa.decimal128(native.length, native.scale or 0)
    if base in _TEXTS or base in _PRINTED:
        return pa.string()
    if base in _BINARIES:
        return pa.binary()
    simple = _SIMPLE.get(base)
    if simple is None:
        raise _refused(native.name)
    return simple


def _refused(name: str) -> SourceNotReady:
    return SourceNotReady(
        f"columns of type {name.partition('(')[0]} cannot be stored",
        fix="read the table through a view that casts the column to a known type",
    )


# --- from what the driver gives --------------------------------------------------------------

_DRIVER_TYPES: dict[str, pa.DataType] = {
    "tinyint": pa.uint8(),
}
"""Where the driver's Arrow type of a column is not the stored one, but for the width of offsets."""


def stored(column: Column, values: pa.Array) -> pa.Array:
    """Values of `column.arrow` from those that the driver makes of the column's expression.

    Raises:
        DecodeError: the driver gives another type than the one that was asked for. Nothing is cast to fit.
    """
    base = NativeType.parse(column.source_type).base
    found = values.type
    if pa.types.is_large_string(found):
        values, found = values.cast(pa.string()), pa.string()
    elif pa.types.is_large_binary(found):
        values, found = values.cast(pa.binary()), pa.binary()
    if found == _DRIVER_TYPES.get(base, column.arrow) or pa.types.is_null(found):
        values, found = values.cast(column.arrow), column.arrow
    if found != column.arrow:
        raise DecodeError(
            f"column {column.name!r} ({column.source_type}) came as {found} instead of {column.arrow}",
            fix="the table changed since its schema was read: read it again",
        )
    return pc.utf8_lower(values) if base == "uniqueidentifier" else values


def odd_texts(values: pa.Array) -> pa.StringArray | None:
    """Texts of values that their type cannot hold; None if there are none, the usual case."""
    return None if values.null_count == len(values) else values.cast(pa.string())


def texts(column: Column, typed: pa.Array, odd: pa.StringArray | None) -> pa.StringArray:
    """Canonical texts, by which old and new values are compared and shown in `_before`."""
    kind = column.arrow
    if pa.types.is_boolean(kind):
        found = typed.cast(pa.int8()).cast(pa.string())
    elif pa.types.is_binary(kind):
        found = pa.array([None if v is None else f"0x{v.hex()}" for v in typed.to_pylist()], pa.string())
    else:
        found = typed.cast(pa.string())
    return found if odd is None else pc.coalesce(odd, found)


def is_whole_number(column: Column) -> bool:
    kind = column.arrow
    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0))


def large_columns(columns: Sequence[Column]) -> tuple[Column, ...]:
    return tuple(column for column in columns if NativeType.parse(column.source_type).is_large)
