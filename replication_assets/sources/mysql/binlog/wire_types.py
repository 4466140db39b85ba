"""Column types as a TABLE_MAP describes them, in the words of `information_schema`."""

from __future__ import annotations

from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog import table_map as tm
from replication_assets.sources.mysql.binlog.charsets import Charsets
from replication_assets.sources.mysql.binlog.table_map import WireColumn
from replication_assets.sources.mysql.binlog.text_values import members_of
from replication_assets.sources.mysql.types import SPATIAL, NativeType

_INTEGERS = {
    tm.TINY: "tinyint",
    tm.SHORT: "smallint",
    tm.INT24: "mediumint",
    tm.LONG: "int",
    tm.LONGLONG: "bigint",
}
_SIMPLE = {
    tm.YEAR: "year",
    tm.DATE: "date",
    tm.JSON: "json",
    tm.GEOMETRY: "geometry",
    tm.OLD_TIME: "time",
    tm.OLD_TIMESTAMP: "timestamp",
    tm.OLD_DATETIME: "datetime",
}
_FRACTIONAL = {tm.TIME2: "time", tm.TIMESTAMP2: "timestamp", tm.DATETIME2: "datetime"}
_BLOBS = {1: "tiny", 2: "", 3: "medium", 4: "long"}


def column_type(wire: WireColumn, charsets: Charsets) -> str:
    """As `information_schema.COLUMNS` would print it, as far as the map tells.

    Raises:
        DecodeError: no type has this form.
    """
    unsigned = " unsigned" if wire.unsigned else ""
    if wire.type in _INTEGERS:
        return _INTEGERS[wire.type] + unsigned
    if wire.type in _SIMPLE:
        return _SIMPLE[wire.type]
    if wire.type in (tm.FLOAT, tm.DOUBLE):
        return ("float" if wire.type == tm.FLOAT else "double") + unsigned
    if wire.type == tm.NEWDECIMAL:
        return "decimal({},{})".format(*divmod(wire.size, 256)) + unsigned
    if wire.type == tm.BIT:
        return f"bit({wire.size})"
    if wire.type in _FRACTIONAL:
        return _FRACTIONAL[wire.type] + (f"({wire.size})" if wire.size else "")
    if wire.type in (tm.ENUM, tm.SET):
        members = ",".join("'" + member.replace("'", "''") + "'" for member in members_of(wire, charsets))
        return f"{'enum' if wire.type == tm.ENUM else 'set'}({members})"
    return _string(wire, charsets)


def _string(wire: WireColumn, charsets: Charsets) -> str:
    charset = charsets.of_collation(wire.collation)
    binary = charset == "binary"
    if wire.type in (tm.BLOB, tm.BLOB_COMPRESSED):
        return _BLOBS[wire.size] + ("blob" if binary else "text")
    if wire.type in (tm.STRING, tm.VARCHAR, tm.VAR_STRING, tm.VARCHAR_COMPRESSED):
        fixed = wire.type == tm.STRING
        # A compressed column has a byte more, which says how.
        size = wire.size - (wire.type == tm.VARCHAR_COMPRESSED)
        if binary:
            return f"{'binary' if fixed else 'varbinary'}({size})"
        return f"{'char' if fixed else 'varchar'}({size // charsets.width(charset)})"
    raise DecodeError(f"a column of wire type {wire.type} is not of a type that can be stored")


_UNSEEN = {"uuid": "binary(16)", "inet6": "binary(16)", "inet4": "binary(4)"}
"""Types that a map does not tell from others."""


def is_same_type(known: str, shown: str) -> bool:
    """Whether a known type is one that a map would show like this."""
    if known == shown:
        return True
    native, other = NativeType.parse(known), NativeType.parse(shown)
    if native.base in ("float", "double"):
        # Digits of FLOAT(7,3) round what is written, not what is stored.
        return native.base == other.base and native.unsigned == other.unsigned
    if native.base in SPATIAL:
        return other.base == "geometry"
    if native.base in _UNSEEN:
        return shown == _UNSEEN[native.base]
    if native.base in ("enum", "set"):
        return False
    if native.base == "tinyint" and not native.unsigned:
        # tinyint(1) is how a boolean is shown.
        return other.base == "tinyint" and not other.unsigned
    if native.base in ("year", "bit", "decimal"):
        return (native.base, native.length or 1, native.scale or 0, native.unsigned) == (
            other.base,
            (other.length or 1) if native.base != "year" else native.length or 1,
            other.scale or 0,
            other.unsigned,
        )
    return native.name == other.name
