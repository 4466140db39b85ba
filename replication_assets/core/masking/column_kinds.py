"""What sort of values a column holds, read from its type as the source spells it.

Only coarse kinds are told, those that rules differ by. A type that is not known is `other`: no
rule is proposed for it that would have to read its values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from replication_assets.core.structure import ColumnStructure

Kind: TypeAlias = Literal[
    "integer",
    "decimal",
    "float",
    "boolean",
    "text",
    "enum",
    "uuid",
    "date",
    "timestamp",
    "time",
    "json",
    "xml",
    "binary",
    "network",
    "array",
    "other",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_BY_NAME: Mapping[str, Kind] = {
    **dict.fromkeys(
        (
            *("smallint", "integer", "int", "bigint", "tinyint", "mediumint", "oid"),
            *("int2", "int4", "int8", "serial", "bigserial", "smallserial", "year"),
        ),
        "integer",
    ),
    **dict.fromkeys(("numeric", "decimal", "money", "number"), "decimal"),
    **dict.fromkeys(("real", "double precision", "double", "float", "float4", "float8"), "float"),
    **dict.fromkeys(("boolean", "bool", "bit"), "boolean"),
    **dict.fromkeys(
        (
            *("text", "character varying", "varchar", "character", "char", "bpchar", "citext", "name"),
            *("tinytext", "mediumtext", "longtext", "nvarchar", "nchar", "clob", "varchar2", "nvarchar2"),
        ),
        "text",
    ),
    **dict.fromkeys(("enum", "set"), "enum"),
    **dict.fromkeys(("uuid", "uniqueidentifier"), "uuid"),
    "date": "date",
    **dict.fromkeys(
        (
            *("timestamp without time zone", "timestamp with time zone", "timestamp", "timestamptz"),
            *("datetime", "datetime2", "datetimeoffset", "smalldatetime"),
        ),
        "timestamp",
    ),
    **dict.fromkeys(("time", "time without time zone", "time with time zone", "timetz", "interval"), "time"),
    **dict.fromkeys(("json", "jsonb"), "json"),
    "xml": "xml",
    **dict.fromkeys(
        (
            *("bytea", "blob", "tinyblob", "mediumblob", "longblob"),
            *("binary", "varbinary", "raw", "image"),
        ),
        "binary",
    ),
    **dict.fromkeys(("inet", "cidr", "macaddr", "macaddr8"), "network"),
}

_LENGTH = re.compile(r"\((\d+)(?: char| byte)?\)")


def bare_type(column: ColumnStructure) -> str:
    """The type's name without length, scale, sign and spaces: `character varying(20)` is `character
    varying`, `timestamp(3) without time zone` is `timestamp without time zone`."""
    without = re.sub(r"\([^)]*\)", "", column.type.lower())
    return " ".join(re.sub(r"\b(unsigned|zerofill|signed)\b", "", without).split())


def kind_of(column: ColumnStructure) -> Kind:
    """The kind of a column's values; `other` if its type is not known."""
    if column.labels:
        return "enum"
    name = bare_type(column)
    if name.endswith("[]") or name == "array":
        return "array"
    return _BY_NAME.get(name, "other")


def length_of(column: ColumnStructure) -> int | None:
    """How many characters a text column takes, as its type says; None for any number."""
    if kind_of(column) != "text":
        return None
    found = _LENGTH.search(column.type.lower())
    if found is not None:
        return int(found.group(1))
    # SQL's own default: a `character` without a length is one character.
    return 1 if bare_type(column) in ("character", "char", "nchar") else None
