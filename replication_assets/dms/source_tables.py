"""Tables as a mapping is applied to them: names, columns, key, and a few rows to show.

They come from a JSON file (`read_tables`), or from a source. Types are those of DMS; native ones are
translated by their names, as far as the documentation's tables of source types go.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from replication_assets.dms.findings import Findings
from replication_assets.dms.json_source import Node, Object, Scalar, parse_json, plain
from replication_assets.dms.members import Members
from replication_assets.dms.rules import DataType, TableKind
from replication_assets.dms.transformations import DATA_TYPES

LOBS = {"blob", "clob", "nclob"}

_NATIVE: dict[str, str] = {
    "tinyint": "int1", "smallint": "int2", "int2": "int2", "mediumint": "int4", "integer": "int4",
    "int": "int4",
    "serial": "int4", "bigserial": "int8", "bigint": "int8", "decimal": "numeric", "number": "numeric",
    "money": "numeric", "float": "real8", "double": "real8", "double precision": "real8", "real": "real4",
    "float4": "real4", "float8": "real8", "bool": "boolean", "bit": "boolean", "char": "wstring",
    "character": "wstring", "varchar": "wstring", "varchar2": "string", "nvarchar": "wstring",
    "nvarchar2": "wstring", "nchar": "wstring", "bpchar": "wstring", "character varying": "wstring",
    "uuid": "string", "uniqueidentifier": "string", "enum": "wstring", "inet": "string", "interval": "string",
    "text": "nclob", "tinytext": "wstring", "mediumtext": "nclob", "longtext": "nclob", "ntext": "nclob",
    "json": "nclob", "jsonb": "nclob", "xml": "nclob", "clob": "clob", "nclob": "nclob", "bytea": "blob",
    "blob": "blob", "longblob": "blob", "mediumblob": "blob", "tinyblob": "bytes", "image": "blob",
    "binary": "bytes", "varbinary": "bytes", "raw": "bytes", "timestamp": "datetime", "datetime": "datetime",
    "datetime2": "datetime", "smalldatetime": "datetime", "timestamptz": "datetime",
    "timestamp with time zone": "datetime", "timestamp without time zone": "datetime", "date": "date",
    "time": "time", "time without time zone": "time", "time with time zone": "string", "year": "int2",
    "set": "wstring", "xmltype": "clob", "datetimeoffset": "wstring", "rowversion": "bytes",
    "smallmoney": "numeric", "hierarchyid": "string", "sql_variant": "wstring", "long raw": "blob",
    "long": "clob", "bfile": "blob", "rowid": "string", "urowid": "string", "binary_float": "real4",
    "binary_double": "real8", "smallserial": "int2", "cidr": "string", "macaddr": "string",
    "bit varying": "wstring", "varbit": "wstring", "tsvector": "nclob", "point": "string", "geometry": "blob",
    "interval day to second": "string", "interval year to month": "string",
}  # fmt: skip
_TYPE = re.compile(
    r"\s*([A-Za-z_]\w*(?: +\w+)*)\s*"
    r"(?:\(\s*(?:(\d+|max)(?:\s+(?:char|byte))?\s*(?:,\s*(-?\d+)\s*)?|'[^()]*)\))?\s*([A-Za-z ]*)",
    re.I,
)


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """`native` is the type as it was given; `type` is None where DMS's is not known for it. `arrow` is what
    the event store keeps, where a source was asked."""

    name: str
    native: str
    type: DataType | None
    nullable: bool = True
    arrow: pa.DataType | None = None

    @property
    def is_lob(self) -> bool:
        return self.type is not None and self.type.type in LOBS


@dataclass(frozen=True, slots=True)
class SourceTable:
    """`columns` is None where they are not known. `rows` are samples: columns to texts, numbers, None."""

    schema: str
    name: str
    kind: TableKind = "table"
    columns: tuple[SourceColumn, ...] | None = None
    key: tuple[str, ...] = ()
    rows: Sequence[dict[str, object]] = ()

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> SourceColumn | None:
        return next((each for each in self.columns or () if each.name == name), None)


def dms_type(native: str) -> DataType | None:
    """The DMS type of a column type; None where its name is not known."""
    if native.strip().endswith("[]"):
        return DataType("nclob")
    found = _TYPE.fullmatch(native.strip())
    if found is None:
        return None
    bare, first, second, rest = found.groups()
    name = f"{bare} {rest}".strip().lower()
    unsigned = name.endswith(" unsigned")
    name = name.removesuffix(" unsigned").strip()
    kind = name if name in DATA_TYPES else _NATIVE.get(name) or _NATIVE.get(bare.lower())
    if kind is None:
        return None
    if unsigned and kind.startswith("int"):
        kind = f"u{kind}"
    if bare.lower() == "datetimeoffset":
        # Its figure is digits of a second, not letters.
        return DataType(kind)
    if kind in ("string", "wstring", "bytes"):
        if (first or "").lower() == "max":
            return DataType("blob" if kind == "bytes" else "nclob")
        return DataType(kind, length=int(first) if first else None)
    if kind == "numeric" and first:
        return DataType(kind, precision=int(first), scale=int(second) if second else 0)
    return DataType(kind, precision=int(first) if kind == "datetime" and first else None)


def read_tables(text: str, file: str) -> tuple[tuple[SourceTable, ...], Findings]:
    """Tables of a JSON file::

    {"tables": [{"schema": "dbo", "name": "orders", "type": "view", "key": ["Id"],
                 "columns": {"Id": "bigint", "Note": "varchar(50)"}, "rows": [{"Id": 1, "Note": null}]}]}
    """
    findings = Findings()
    node = parse_json(text, file, findings)
    tables = []
    if isinstance(node, Object):
        document = Members(node, findings, "file of tables")
        for each in document.objects("tables", "table", required=True):
            table = _table(each)
            if table is not None:
                tables.append(table)
        document.finish()
    elif node is not None:
        findings.error("wrong-type", "not an object with tables", 'write {"tables": [...]}', node.place)
    return tuple(tables), findings


def _table(members: Members) -> SourceTable | None:
    schema, name = members.text("schema", required=True), members.text("name", required=True)
    kind: TableKind = "view" if members.word("type", ("table", "view")) == "view" else "table"
    key = members.texts("key")
    columns = _columns(members, members.take("columns"))
    rows = tuple(_row(each) for each in members.array("rows"))
    members.finish()
    if columns is not None:
        for missing in set(key) - {column.name for column in columns}:
            members.error("unknown-column", f"key column {missing!r} is no column", "spell it as the column")
    return SourceTable(schema, name, kind, columns, key, rows) if schema and name else None


def _columns(members: Members, node: Node | None) -> tuple[SourceColumn, ...] | None:
    if node is None:
        return None
    if not isinstance(node, Object):
        members.error("wrong-type", "columns are no object", 'write {"name": "type"}', node.place)
        return None
    found = []
    for member in node.members:
        native = str(member.value.value) if isinstance(member.value, Scalar) else ""
        kind = dms_type(native)
        if kind is None:
            what = f"type {native[:40]!r} of {member.name!r} is not known"
            members.warn("unknown-type", what, f"write one of {', '.join(DATA_TYPES)}", member.place)
        found.append(SourceColumn(member.name, native, kind))
    return tuple(found)


def _row(node: Node) -> dict[str, object]:
    """Values as JSON has them, numbers by their digits."""
    if not isinstance(node, Object):
        return {}
    return {
        member.name: _number(member.value.value)
        if isinstance(member.value, Scalar) and member.value.number
        else plain(member.value)
        for member in node.members
    }


def _number(digits: object) -> object:
    text = str(digits)
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
