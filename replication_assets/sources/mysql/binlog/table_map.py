"""TABLE_MAP: which table the rows after it belong to, and how its columns lie in them.

With `binlog_row_metadata = FULL` it names the columns, their signs, collations, members of ENUM and
SET, and the primary key. Without, a table whose columns were moved could not be told from the one
that is known: such a map is refused.

Formats: MySQL's `Table_map_event` (libs/mysql/binlog/event/rows_event.h), which MariaDB shares.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog.events import lenenc

TINY, SHORT, LONG, FLOAT, DOUBLE, OLD_TIMESTAMP, LONGLONG, INT24 = 1, 2, 3, 4, 5, 7, 8, 9
DATE, OLD_TIME, OLD_DATETIME, YEAR, VARCHAR, BIT = 10, 11, 12, 13, 15, 16
TIMESTAMP2, DATETIME2, TIME2 = 17, 18, 19
BLOB_COMPRESSED, VARCHAR_COMPRESSED, VECTOR, JSON = 140, 141, 242, 245
NEWDECIMAL, ENUM, SET, BLOB, VAR_STRING, STRING, GEOMETRY = 246, 247, 248, 252, 253, 254, 255

_METADATA_BYTES = {
    **dict.fromkeys((FLOAT, DOUBLE, BLOB, BLOB_COMPRESSED, GEOMETRY, JSON, VECTOR), 1),
    **dict.fromkeys((TIMESTAMP2, DATETIME2, TIME2), 1),
    **dict.fromkeys((VARCHAR, VARCHAR_COMPRESSED, BIT, NEWDECIMAL, STRING, VAR_STRING, ENUM, SET), 2),
    **dict.fromkeys((TINY, SHORT, LONG, LONGLONG, INT24, DATE, YEAR), 0),
    **dict.fromkeys((OLD_TIMESTAMP, OLD_TIME, OLD_DATETIME), 0),
}
_SIGNED = frozenset({TINY, SHORT, LONG, LONGLONG, INT24, FLOAT, DOUBLE, NEWDECIMAL, YEAR})
_CHARACTERS = frozenset({VARCHAR, VARCHAR_COMPRESSED, BLOB, BLOB_COMPRESSED, STRING, VAR_STRING})
"""Types that a collation is listed for. MariaDB lists one for GEOMETRY too."""

# Kinds of optional metadata.
_SIGNEDNESS, _DEFAULT_CHARSET, _COLUMN_CHARSET, _COLUMN_NAME, _SET_VALUES, _ENUM_VALUES = 1, 2, 3, 4, 5, 6
_GEOMETRY_TYPE, _PRIMARY_KEY, _PREFIX_KEY, _ENUM_SET_DEFAULT, _ENUM_SET_CHARSET, _VISIBILITY = (
    7,
    8,
    9,
    10,
    11,
    12,
)


@dataclass(frozen=True, slots=True)
class WireColumn:
    """A column as rows hold it. `type` is the real type (ENUM, SET and STRING apart); `size` its
    metadata: a length in bytes, digits after the second, or `precision, scale` as `256 p + s`.

    `members` of ENUM and SET are in the bytes of `collation`.
    """

    type: int
    size: int
    nullable: bool
    name: str = ""
    unsigned: bool = False
    collation: int | None = None
    members: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class TableMap:
    """`key` are the columns of the primary key, in its order; empty if there is none."""

    schema: str
    name: str
    columns: tuple[WireColumn, ...]
    key: tuple[str, ...] = ()
    has_names: bool = field(default=False)


def parse_table_map(body: bytes, *, is_mariadb: bool) -> TableMap:
    """`body` is the event from its flags on: without header, table id and checksum.

    Raises:
        DecodeError: a column of a type that is not known, or metadata that does not fit.
    """
    schema, at = _name(body, 2)
    name, at = _name(body, at)
    count, at = lenenc(body, at)
    types, at = body[at : at + count], at + count
    size, at = lenenc(body, at)
    columns = _columns(types, body[at : at + size], f"{schema}.{name}")
    at += size
    nulls = int.from_bytes(body[at : at + (count + 7) // 8], "little")
    at += (count + 7) // 8
    columns = [replace(column, nullable=bool(nulls >> i & 1)) for i, column in enumerate(columns)]
    characters = _CHARACTERS | {GEOMETRY} if is_mariadb else _CHARACTERS
    return _described(TableMap(schema, name, tuple(columns)), body[at:], characters)


def names_of(body: bytes) -> tuple[str, str]:
    """Database and table alone: enough for tables that are not ours, whatever their columns."""
    schema, at = _name(body, 2)
    return schema, _name(body, at)[0]


def _name(body: bytes, at: int) -> tuple[str, int]:
    length, at = lenenc(body, at)
    return body[at : at + length].decode(), at + length + 1


def _columns(types: bytes, metadata: bytes, where: str) -> list[WireColumn]:
    columns, at = [], 0
    for kind in types:
        if kind not in _METADATA_BYTES:
            raise DecodeError(f"a column of wire type {kind} is not known", where=where)
        size = _METADATA_BYTES[kind]
        raw = metadata[at : at + size]
        at += size
        columns.append(_column(kind, raw))
    if at != len(metadata):
        raise DecodeError("metadata of columns does not fit their types", where=where)
    return columns


def _column(kind: int, raw: bytes) -> WireColumn:
    if kind == STRING:
        # The upper two bits of a length beyond 255 are in the type, inverted.
        if raw[0] & 0x30 != 0x30:
            return WireColumn(raw[0] | 0x30, raw[1] | ((raw[0] & 0x30) ^ 0x30) << 4, True)
        return WireColumn(raw[0], raw[1], True)
    if kind == NEWDECIMAL:
        return WireColumn(kind, raw[0] << 8 | raw[1], True)
    if kind == BIT:
        return WireColumn(kind, raw[1] * 8 + raw[0], True)
    return WireColumn(kind, int.from_bytes(raw, "little"), True)


def _described(table: TableMap, optional: bytes, characters: frozenset[int]) -> TableMap:
    """The map with its optional metadata, a series of type, length, value."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(optional):
        kind = optional[at]
        size, at = lenenc(optional, at + 1)
        found[kind] = optional[at : at + size]
        at += size
    columns = list(table.columns)
    _put_names(columns, found)
    _put_signs(columns, found)
    choices = [i for i, c in enumerate(columns) if c.type in (ENUM, SET)]
    with_collation = [i for i, c in enumerate(columns) if c.type in characters]
    _put_collations(columns, with_collation, found.get(_DEFAULT_CHARSET), found.get(_COLUMN_CHARSET))
    _put_collations(columns, choices, found.get(_ENUM_SET_DEFAULT), found.get(_ENUM_SET_CHARSET))
    _put_members(columns, ENUM, found.get(_ENUM_VALUES))
    _put_members(columns, SET, found.get(_SET_VALUES))
    key = tuple(columns[i].name for i in _key(found))
    return replace(table, columns=tuple(columns), key=key, has_names=_COLUMN_NAME in found)


def _put_names(columns: list[WireColumn], found: dict[int, bytes]) -> None:
    raw, at = found.get(_COLUMN_NAME, b""), 0
    for index, column in enumerate(columns if raw else ()):
        length, at = lenenc(raw, at)
        columns[index] = replace(column, name=raw[at : at + length].decode())
        at += length


def _put_signs(columns: list[WireColumn], found: dict[int, bytes]) -> None:
    raw = found.get(_SIGNEDNESS, b"")
    numeric = [i for i, column in enumerate(columns) if column.type in _SIGNED]
    for number, index in enumerate(numeric if raw else ()):
        unsigned = bool(raw[number // 8] >> (7 - number % 8) & 1)
        columns[index] = replace(columns[index], unsigned=unsigned)


def _put_collations(
    columns: list[WireColumn], which: list[int], default: bytes | None, each: bytes | None
) -> None:
    if default is not None:
        common, at = lenenc(default, 0)
        odd: dict[int, int] = {}
        while at < len(default):
            number, at = lenenc(default, at)
            odd[number], at = lenenc(default, at)
        for number, index in enumerate(which):
            columns[index] = replace(columns[index], collation=odd.get(number, common))
    elif each is not None:
        at = 0
        for index in which:
            collation, at = lenenc(each, at)
            columns[index] = replace(columns[index], collation=collation)


def _put_members(columns: list[WireColumn], kind: int, raw: bytes | None) -> None:
    if raw is None:
        return
    at = 0
    for index in (i for i, column in enumerate(columns) if column.type == kind):
        count, at = lenenc(raw, at)
        members = []
        for _ in range(count):
            length, at = lenenc(raw, at)
            members.append(raw[at : at + length])
            at += length
        columns[index] = replace(columns[index], members=tuple(members))


def _key(found: dict[int, bytes]) -> list[int]:
    indexes: list[int] = []
    if (raw := found.get(_PRIMARY_KEY)) is not None:
        at = 0
        while at < len(raw):
            index, at = lenenc(raw, at)
            indexes.append(index)
    elif (raw := found.get(_PREFIX_KEY)) is not None:
        at = 0
        while at < len(raw):
            index, at = lenenc(raw, at)
            _, at = lenenc(raw, at)
            indexes.append(index)
    return indexes
