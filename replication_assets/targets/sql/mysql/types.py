"""What a PostgreSQL column becomes in MySQL or MariaDB, so that values come back as they were.

Types that differ from the obvious ones, and why: `real` is DOUBLE, because FLOAT prints six digits;
`timestamptz` is DATETIME(6) in UTC, because TIMESTAMP ends in 2038; `character(n)` is VARCHAR, because
CHAR drops the padding; JSON is kept as text, because MySQL's own JSON type rewrites it; what the event
store keeps as text (arrays, ranges, intervals, unconstrained numerics ...) is text here. Texts compare
by code points without padding, so that a unique key means what it meant.

Columns in keys and foreign keys need a bounded type: an index of InnoDB has 3072 bytes at most.
Longer values are refused when they are loaded; nothing is cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from replication_assets.core.schema import TableId
from replication_assets.core.structure import ColumnStructure, TableStructure
from replication_assets.errors import RefreshError
from replication_assets.targets.sql.source_defaults import spelled

Form: TypeAlias = Literal["text", "plain", "time", "boolean", "float", "binary"]
"""How a value is written in a bulk load and selected again."""

INDEX_BYTES = 3072
ROW_BYTES = 48_000
"""For VARCHARs, of the 65,535 bytes that a row may have without its LONGTEXTs."""
CHARACTER_BYTES = 4
LONGEST_VARCHAR = 1000
_ENUM_LABELS = 3000

_PLAIN: Mapping[str, type[TypeEngine[Any]]] = {
    "smallint": mysql.SMALLINT,
    "integer": mysql.INTEGER,
    "bigint": mysql.BIGINT,
    "oid": mysql.BIGINT,
    "date": mysql.DATE,
}
_INTEGERS = ("smallint", "integer", "bigint")
_FIXED_BYTES = 16
"""Bytes that a column which is no text may take of an index: the longest decimal of a key."""


@dataclass(frozen=True, slots=True)
class Collations:
    """Names that MariaDB and MySQL give to comparison by code points without padding."""

    text: str
    ascii: str

    @classmethod
    def of(cls, mariadb: bool) -> Collations:
        return (
            cls("utf8mb4_nopad_bin", "ascii_nopad_bin") if mariadb else cls("utf8mb4_0900_bin", "ascii_bin")
        )


@dataclass(frozen=True, slots=True)
class Held:
    """How a column is held; `note` says what of its type is otherwise, for `not_carried`."""

    type: TypeEngine[Any]
    form: Form
    note: str | None = None


class ColumnTypes:
    """Types of all columns of a copy; they hang together by their foreign keys."""

    def __init__(self, tables: Sequence[TableStructure], collations: Collations) -> None:
        self._collations = collations
        self._tables = {each.table: each for each in tables}
        _require_postgres(tables)
        self._keyed = {each.table: _shares(each, tables) for each in tables}
        self._integers = _widened(tables)
        self._held = {each.table: self._of_table(each) for each in tables}

    def held(self, table: TableId, column: str) -> Held:
        return self._held[table][column]

    def type_of(self, structure: TableStructure, column: ColumnStructure) -> TypeEngine[Any]:
        return self.held(structure.table, column.name).type

    def keyed(self, table: TableId) -> frozenset[str]:
        """Columns of unique keys and foreign keys."""
        return frozenset(self._keyed[table])

    def _of_table(self, structure: TableStructure) -> dict[str, Held]:
        left = ROW_BYTES
        found = {}
        for column in structure.columns:
            held = self._of_column(structure.table, column, left)
            if isinstance(held.type, mysql.VARCHAR):
                left -= (held.type.length or 0) * CHARACTER_BYTES
            found[column.name] = held
        return found

    def _of_column(self, table: TableId, column: ColumnStructure, left: int) -> Held:
        base, arguments = spelled(column)
        share = self._keyed[table].get(column.name)
        if column.labels:
            return self._enum(column, share)
        if base in _INTEGERS:
            return Held(_PLAIN[self._integers.get((table, column.name), base)](), "plain")
        if base in _PLAIN:
            return Held(_PLAIN[base](), "plain")
        if base == "boolean":
            return Held(mysql.TINYINT(1), "boolean")
        if base in ("real", "double precision"):
            return Held(mysql.DOUBLE(asdecimal=False), "float")
        if base == "bytea":
            return Held(mysql.LONGBLOB() if share is None else mysql.VARBINARY(share), "binary")
        if base == "numeric" and _is_decimal(arguments):
            scale = arguments[1] if len(arguments) > 1 else 0
            return Held(mysql.DECIMAL(arguments[0], scale), "plain")
        return self._temporal(base) or self._text(base, arguments, share, left)

    def _temporal(self, base: str) -> Held | None:
        if base == "timestamp without time zone":
            return Held(mysql.DATETIME(fsp=6), "plain")
        if base == "timestamp with time zone":
            return Held(mysql.DATETIME(fsp=6), "plain", "is a DATETIME(6) in UTC")
        if base == "time without time zone":
            return Held(mysql.TIME(fsp=6), "time")
        return None

    def _text(self, base: str, arguments: tuple[int, ...], share: int | None, left: int) -> Held:
        if base == "uuid":
            return Held(mysql.CHAR(36, charset="ascii", collation=self._collations.ascii), "text")
        limit = arguments[0] if base in ("character varying", "character") and arguments else None
        note = None if base in ("text", "character varying", "character") else "is kept as its text"
        if share is not None:
            share //= CHARACTER_BYTES
            if limit is not None and limit <= share:
                return self._varchar(limit, note)
            most = f"holds {share} characters at most, because it is in a key"
            return self._varchar(share, f"{note}, and {most}" if note else most)
        if limit is not None and limit <= LONGEST_VARCHAR and limit * CHARACTER_BYTES <= left:
            return self._varchar(limit, note)
        if limit is not None:
            note = f"has no limit of {limit} characters"
        return Held(mysql.LONGTEXT(charset="utf8mb4", collation=self._collations.text), "text", note)

    def _varchar(self, length: int, note: str | None) -> Held:
        return Held(mysql.VARCHAR(length, charset="utf8mb4", collation=self._collations.text), "text", note)

    def _enum(self, column: ColumnStructure, share: int | None) -> Held:
        longest = max(len(label) for label in column.labels)
        # MySQL drops spaces at the end of a label.
        kept = all(label == label.rstrip() for label in column.labels)
        if kept and longest <= 255 and len(column.labels) <= _ENUM_LABELS:
            return Held(
                mysql.ENUM(*column.labels, charset="utf8mb4", collation=self._collations.text), "text"
            )
        if share is not None and longest * CHARACTER_BYTES > share:
            raise RefreshError(f"labels of {column.type} are too long for a key of MySQL")
        return self._varchar(max(longest, 1), "is a text: MySQL does not keep such labels")


def _is_decimal(arguments: tuple[int, ...]) -> bool:
    """Whether MySQL's DECIMAL has as many digits: 65, of them 30 after the point."""
    if not arguments:
        return False
    scale = arguments[1] if len(arguments) > 1 else 0
    return arguments[0] <= 65 and 0 <= scale <= min(30, arguments[0])


def _require_postgres(tables: Sequence[TableStructure]) -> None:
    others = sorted({each.engine for each in tables} - {"postgresql"})
    if others:
        raise RefreshError(f"types of {', '.join(others)} are not known to copies in MySQL")


def _shares(structure: TableStructure, tables: Sequence[TableStructure]) -> dict[str, int]:
    """Columns that need a bounded type, and the bytes that each may take of its tightest key."""
    keys = [structure.primary_key, *structure.unique_keys]
    lists = [key.columns for key in keys if key is not None]
    lists += [each.columns for each in structure.indexes if each.unique and each.definition is None]
    lists += [each.columns for each in structure.foreign_keys]
    lists += [key.referred for other in tables for key in other.foreign_keys if key.parent == structure.table]
    shares: dict[str, int] = {}
    for columns in lists:
        wide = [name for name in columns if _is_wide(structure.column(name))]
        rest = INDEX_BYTES - _FIXED_BYTES * (len(columns) - len(wide))
        for name in columns:
            shares[name] = min(shares.get(name, INDEX_BYTES), rest // max(len(wide), 1))
    return shares


def _is_wide(column: ColumnStructure) -> bool:
    base, arguments = spelled(column)
    fixed = {*_PLAIN, "boolean", "real", "double precision", "timestamp without time zone"}
    fixed |= {"timestamp with time zone", "time without time zone"}
    return not (column.labels or base in fixed or (base == "numeric" and _is_decimal(arguments)))


def _widened(tables: Sequence[TableStructure]) -> dict[tuple[TableId, str], str]:
    """Integer types of columns that a foreign key ties to one of another size: InnoDB wants them equal,
    so that each takes the widest of those it is tied to."""
    found = {
        (each.table, column.name): spelled(column)[0]
        for each in tables
        for column in each.columns
        if spelled(column)[0] in _INTEGERS
    }
    pairs = [
        ((each.table, column), (key.parent, referred))
        for each in tables
        for key in each.foreign_keys
        for column, referred in zip(key.columns, key.referred, strict=True)
    ]
    changed = True
    while changed:
        changed = False
        for one, other in pairs:
            if one in found and other in found and found[one] != found[other]:
                widest = max(found[one], found[other], key=_INTEGERS.index)
                found[one] = found[other] = widest
                changed = True
    return found
