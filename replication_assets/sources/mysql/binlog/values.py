"""Values of row images as what the event store holds: the capture's way of `sources.mysql.types`.

Each column is decoded by its stored type and by the type that the log describes; `shapes` has seen to
it that the two belong together.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from replication_assets.core.schema import Column
from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog import number_values, table_map, temporal_values, text_values
from replication_assets.sources.mysql.binlog.charsets import Charsets
from replication_assets.sources.mysql.binlog.json_binary import json_text
from replication_assets.sources.mysql.binlog.row_images import PieceBytes, Spans
from replication_assets.sources.mysql.binlog.table_map import WireColumn
from replication_assets.sources.mysql.types import NativeType

Values = tuple[pa.Array, pa.StringArray | None]
"""Values of the column's stored type, and texts of odd ones; None when there are none."""

_INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_FIXED_TEXTS: dict[str, tuple[int, Callable[[bytes], str]]] = {
    "uuid": (16, text_values.uuid_text),
    "inet6": (16, text_values.inet6_text),
    "inet4": (4, text_values.inet4_text),
}
_OLD = frozenset({table_map.OLD_TIME, table_map.OLD_TIMESTAMP, table_map.OLD_DATETIME})
_COMPRESSED = frozenset({table_map.BLOB_COMPRESSED, table_map.VARCHAR_COMPRESSED})


def decode(piece: PieceBytes, spans: Spans, column: Column, wire: WireColumn, charsets: Charsets) -> Values:
    """One column of some images.

    Raises:
        DecodeError: a value that is not of the type, or a form of it that is not known.
    """
    native = NativeType.parse(column.source_type)
    if wire.type in _OLD:
        raise DecodeError(
            f"column {column.name!r} is stored in the format of MySQL 5.5",
            fix="ALTER TABLE ... FORCE, which rewrites it; then load the table again",
        )
    try:
        if native.base in ("date", "datetime", "timestamp"):
            return _dated(piece, spans, native, wire)
        return _plain(piece, spans, column, native, wire, charsets), None
    except DecodeError as error:
        raise DecodeError(f"column {column.name!r}: {error.what}", where=error.where, fix=error.fix) from None
    except (pa.ArrowInvalid, ValueError, UnicodeDecodeError, OverflowError):
        # Messages of these quote the value.
        raise DecodeError(f"a value of column {column.name!r} is not a {native.base}") from None


def _dated(piece: PieceBytes, spans: Spans, native: NativeType, wire: WireColumn) -> Values:
    if native.base == "date":
        return temporal_values.dates(piece, spans)
    if native.base == "datetime":
        return temporal_values.datetimes(piece, wire.size, spans)
    return temporal_values.timestamps(piece, wire.size, spans)


def _plain(
    piece: PieceBytes,
    spans: Spans,
    column: Column,
    native: NativeType,
    wire: WireColumn,
    charsets: Charsets,
) -> pa.Array:
    kind, base = column.arrow, native.base
    if base in _INTEGERS:
        return number_values.integers(piece, wire, spans, kind)
    if base == "year":
        return number_values.years(piece, spans, kind, two_digits=native.name == "year(2)")
    if base in ("float", "double"):
        return number_values.floats(piece, wire, spans, kind)
    if base == "decimal":
        return number_values.decimals(piece, wire, spans, kind)
    if base == "bit":
        return number_values.bits(piece, wire, spans, kind)
    if base == "time":
        return temporal_values.times(piece, wire.size, spans)
    if base == "enum":
        return text_values.enums(piece, wire, spans, text_values.members_of(wire, charsets))
    if base == "set":
        return text_values.sets(piece, wire, spans, text_values.members_of(wire, charsets))
    return _bytes(text_values.raw_bytes(piece, spans), kind, base, wire, charsets)


def _bytes(
    raw: pa.BinaryArray, kind: pa.DataType, base: str, wire: WireColumn, charsets: Charsets
) -> pa.Array:
    if base in _FIXED_TEXTS:
        size, text_of = _FIXED_TEXTS[base]
        return text_values.printed(text_values.padded(raw, size), text_of)
    if wire.type == table_map.JSON:
        return text_values.printed(raw, json_text)
    if wire.type in _COMPRESSED:
        raw = text_values.uncompressed(raw)
    if pa.types.is_binary(kind):
        return text_values.padded(raw, wire.size) if base == "binary" else raw
    if not pa.types.is_string(kind):
        raise DecodeError(f"a {base} cannot be stored as {kind}")
    return charsets.to_text(charsets.of_collation(wire.collation), raw)
