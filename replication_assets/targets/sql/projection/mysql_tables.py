"""Tables of MySQL and MariaDB as projections have them: types, keys, indexes, and what notices edits.

DDL of these engines commits by itself, so each step here is one that may be the last a killed process
did: a table counts as made when the books say so, and is made anew otherwise. Triggers mark edits of
rows; TRUNCATE fires none and shows by the lack of rows.

Texts compare by code points without padding and are LONGTEXT, so that no row is too long for its page;
in the key they are bounded, because an index has 3072 bytes. DECIMAL has 30 digits after the point:
what has more is a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from replication_assets.core.events import ID_RANGE
from replication_assets.core.schema import Column, TableId
from replication_assets.core.structure import ForeignKey, TableStructure
from replication_assets.errors import RefreshError, TargetError, TargetUnavailable
from replication_assets.targets.sql.mysql.connection import literal, quoted, translated
from replication_assets.targets.sql.mysql.local_data import LoadingConnection
from replication_assets.targets.sql.mysql.types import Collations, Form
from replication_assets.targets.sql.names import suffixed
from replication_assets.targets.sql.projection import carried
from replication_assets.targets.sql.projection.carried import Projected
from replication_assets.targets.sql.projection.layout import (
    CONTENT,
    RANGES,
    ROW_ID,
    TABLES,
    Layout,
    Place,
    fix_of,
)
from replication_assets.targets.sql.projection.values import carrier
from replication_assets.targets.sql.source_defaults import Functions

LIMIT = 64
"""Bytes that are safe in a name: MySQL counts 64 characters."""
KEY_BYTES = 3072
_FIXED_BYTES = 17
"""Bytes that a column which is no text may take of an index: the longest decimal."""
_PREFIX = 191
"""Characters of a text that an index beside the key takes."""
_NAME = "VARCHAR(191) CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL"
_FUNCTIONS = Functions(now="(UTC_TIMESTAMP(6))", uuid="(UUID())")
_WRITER = "@replication_assets_writer"
_MAKING = "replication_assets projection"
_LOCK_SECONDS = 60


class MySqlTables:
    """The defining part of a session. `place_of` tells where a table of the projection stands."""

    def __init__(
        self, connection: LoadingConnection, collations: Collations, place_of: Callable[[TableId], Place]
    ) -> None:
        self._connection = connection
        self._collations = collations
        self.place_of = place_of

    def run(self, statement: str) -> int:
        with self._connection.cursor() as cursor:
            return int(cursor.execute(statement))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def columns(self, place: Place) -> tuple[str, ...]:
        found = self.rows(
            "SELECT column_name FROM information_schema.columns"
            f" WHERE table_schema = {literal(place.schema)} AND table_name = {literal(place.name)}"
            " ORDER BY ordinal_position"
        )
        return tuple(str(row[0]) for row in found)

    @contextmanager
    def defining(self) -> Iterator[None]:
        if self.rows(f"SELECT GET_LOCK({literal(_MAKING)}, {_LOCK_SECONDS})") != [(1,)]:
            raise TargetUnavailable("another process makes tables", fix="try again")
        try:
            yield
            self._connection.commit()
        finally:
            self.rows(f"SELECT RELEASE_LOCK({literal(_MAKING)})")

    def make_home(self, schema: str) -> None:
        self.run(
            f"CREATE DATABASE IF NOT EXISTS {quoted(schema)} CHARACTER SET utf8mb4"
            f" COLLATE {self._collations.text}"
        )
        if self.columns(Place(schema, RANGES)):
            return
        name = _NAME.format(collation=self._collations.text)
        text = f"LONGTEXT CHARACTER SET utf8mb4 COLLATE {self._collations.text} NOT NULL"
        self.run(
            f"CREATE TABLE IF NOT EXISTS {quoted(schema, TABLES)}"
            f" (table_name {name} PRIMARY KEY, description {text}) ENGINE = InnoDB"
        )
        self.run(
            f"CREATE TABLE IF NOT EXISTS {quoted(schema, RANGES)} (table_name {name}, id_range {name},"
            " baseline BIGINT NOT NULL, epoch INT NOT NULL, commit_position BIGINT NOT NULL,"
            " sequence BIGINT NOT NULL, row_count BIGINT NOT NULL, edited SMALLINT NOT NULL,"
            " PRIMARY KEY (table_name, id_range)) ENGINE = InnoDB"
        )

    def make_table(self, layout: Layout, structure: TableStructure | None, projected: Projected) -> None:
        del projected
        # What a killed process left: the books do not know it, so no row of it counts.
        self.drop_table(layout.place)
        given = carried.defaults(structure, layout, _FUNCTIONS)
        parts = [] if layout.key else [f"{ROW_ID} BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY"]
        for field in layout.rows:
            name = field.name
            # A LONGTEXT takes a default in brackets; MySQL takes none for one without.
            default = f" DEFAULT {given[name]}" if name in given else ""
            null = " NOT NULL" if name in layout.key else ""
            parts.append(
                f"{quoted(name)} {self.column_type(field, layout)}{null}{default}{_logical(layout, name)}"
            )
        if layout.key:
            parts.append(f"PRIMARY KEY ({listed(layout.key)})")
        parts.append(f"KEY {quoted('_by_range')} ({quoted(ID_RANGE)})")
        if not layout.key:
            parts.append(f"KEY {quoted('_by_content')} ({quoted(CONTENT)})")
        self.run(
            f"CREATE TABLE {quoted(layout.place.schema, layout.place.name)} ({', '.join(parts)})"
            f" ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE {self._collations.text}"
        )
        for event, rows in (("INSERT", ("NEW",)), ("UPDATE", ("OLD", "NEW")), ("DELETE", ("OLD",))):
            self._trigger(layout.place, event, rows)

    def _trigger(self, place: Place, event: str, rows: Sequence[str]) -> None:
        name = suffixed(place.name, f"__edited_{event.lower()}", limit=LIMIT)
        hit = " OR ".join(f"{row}.{ID_RANGE} IS NULL OR id_range = {row}.{ID_RANGE}" for row in rows)
        self.run(
            f"CREATE TRIGGER {quoted(place.schema, name)} AFTER {event} ON {quoted(place.schema, place.name)}"
            f" FOR EACH ROW IF {_WRITER} IS NULL THEN"
            f" UPDATE {quoted(place.schema, RANGES)} SET edited = 1"
            f" WHERE table_name = {literal(place.name)} AND edited = 0 AND ({hit}); END IF"
        )

    def add_columns(self, layout: Layout, columns: Sequence[Column]) -> None:
        fields = {field.name: field for field in layout.rows}
        added = ", ".join(
            f"ADD COLUMN {quoted(column.name)} {self.column_type(fields[column.name], layout)}"
            f"{_logical(layout, column.name)}"
            for column in columns
        )
        self.run(f"ALTER TABLE {quoted(layout.place.schema, layout.place.name)} {added}")

    def carry(self, layout: Layout, structure: TableStructure, projected: Projected) -> list[str]:
        made, lines = carried.indexes(structure, layout, limit=LIMIT)
        there = {
            str(row[0])
            for row in self.rows(
                "SELECT index_name FROM information_schema.statistics"
                f" WHERE table_schema = {literal(layout.place.schema)}"
                f" AND table_name = {literal(layout.place.name)}"
            )
        }
        for each in made:
            if sum(_index_bytes(layout, name) for name in each.columns) > KEY_BYTES:
                lines.append(f"{structure.table}: index {each.name}, longer than {KEY_BYTES} bytes")
            elif each.name not in there:
                columns = ", ".join(self._indexed(layout, name) for name in each.columns)
                self.run(
                    f"CREATE INDEX {quoted(each.name)}"
                    f" ON {quoted(layout.place.schema, layout.place.name)} ({columns})"
                )
        self._declare_foreign_keys(layout, structure, projected, lines)
        return [*lines, *carried.otherwise(structure, layout, _FUNCTIONS)]

    def _indexed(self, layout: Layout, name: str) -> str:
        is_long = name not in layout.key and is_text(layout.schema.column(name).arrow)
        return quoted(name) + (f"({_PREFIX})" if is_long else "")

    def _declare_foreign_keys(
        self, layout: Layout, structure: TableStructure, projected: Projected, lines: list[str]
    ) -> None:
        for key, parent in carried.declarable(self, structure, layout, projected, lines):
            if not self._has_constraint(layout.place, key.name):
                self.run(
                    f"ALTER TABLE {quoted(layout.place.schema, layout.place.name)} ADD CONSTRAINT"
                    f" {quoted(key.name)} FOREIGN KEY ({listed(key.columns)})"
                    f" REFERENCES {quoted(parent.schema, parent.name)} ({listed(key.referred)})"
                )

    def unfit(self, layout: Layout, key: ForeignKey) -> str:
        is_long = any(is_text(layout.schema.column(name).arrow) for name in key.columns)
        return carried.TEXTS_DIFFER if is_long else ""

    def types(self, place: Place, columns: Sequence[str]) -> list[tuple[object, ...]]:
        found = self.rows(
            "SELECT column_name, column_type FROM information_schema.columns"
            f" WHERE table_schema = {literal(place.schema)} AND table_name = {literal(place.name)}"
        )
        return carried.types_among(found, columns, place)

    def _has_constraint(self, place: Place, name: str) -> bool:
        return bool(
            self.rows(
                "SELECT 1 FROM information_schema.table_constraints"
                f" WHERE table_schema = {literal(place.schema)} AND table_name = {literal(place.name)}"
                f" AND constraint_name = {literal(name)}"
            )
        )

    def drop_table(self, place: Place) -> None:
        self.run(f"DROP TABLE IF EXISTS {quoted(place.schema, place.name)}")

    def column_type(self, field: pa.Field, layout: Layout) -> str:
        kind = carrier(field.type, field.name)
        if is_text(kind) and field.name in (*layout.key, CONTENT, ID_RANGE):
            return self._bounded(kind, field.name, layout)
        if form_of(kind) == "text":
            return f"LONGTEXT CHARACTER SET utf8mb4 COLLATE {self._collations.text}"
        if pa.types.is_decimal(kind):
            return f"DECIMAL({kind.precision},{kind.scale})"
        return {
            pa.bool_(): "TINYINT(1)",
            pa.int16(): "SMALLINT",
            pa.int32(): "INT",
            pa.int64(): "BIGINT",
            # The text of a FLOAT has six digits.
            pa.float32(): "DOUBLE",
            pa.float64(): "DOUBLE",
            pa.date32(): "DATE",
            pa.timestamp("us"): "DATETIME(6)",
            # In UTC: TIMESTAMP ends in 2038.
            pa.timestamp("us", tz="UTC"): "DATETIME(6)",
            pa.binary(): "LONGBLOB",
        }[kind]

    def _bounded(self, kind: pa.DataType, name: str, layout: Layout) -> str:
        if name == CONTENT:
            return "CHAR(32) CHARACTER SET ascii COLLATE ascii_bin"
        share = 764 if name == ID_RANGE else key_share(layout)
        if pa.types.is_binary(kind):
            return f"VARBINARY({share})"
        return f"VARCHAR({share // 4}) CHARACTER SET utf8mb4 COLLATE {self._collations.text}"


def form_of(kind: pa.DataType) -> Form:
    """How values of a carrier type are written in a bulk load and selected again."""
    if pa.types.is_string(kind) or (pa.types.is_decimal(kind) and kind.scale > 30):
        return "text"
    if pa.types.is_binary(kind):
        return "binary"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "float" if pa.types.is_floating(kind) else "plain"


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type is unbounded unless it is told otherwise."""
    return form_of(kind) in ("text", "binary")


def key_share(layout: Layout) -> int:
    """Bytes that each text or binary of the key may have."""
    wide = [name for name in layout.key if is_text(layout.schema.column(name).arrow)]
    rest = KEY_BYTES - _FIXED_BYTES * (len(layout.key) - len(wide))
    return rest // max(len(wide), 1)


def _index_bytes(layout: Layout, name: str) -> int:
    if not is_text(layout.schema.column(name).arrow):
        return _FIXED_BYTES
    return key_share(layout) if name in layout.key else _PREFIX * 4


def _logical(layout: Layout, name: str) -> str:
    """What the source calls a type that is held as a text."""
    if name not in layout.schema.names:
        return ""
    column = layout.schema.column(name)
    is_own = not pa.types.is_string(column.arrow) or column.source_type == "text"
    return "" if is_own else f" COMMENT {literal(column.source_type[:1000])}"


def listed(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names)


@contextmanager
def errors(where: str, columns: Sequence[str] = ()) -> Iterator[None]:
    """Errors of the driver as the project's own, told as those of a copy are."""
    try:
        with translated(where, columns):
            yield
    except TargetUnavailable as error:
        raise TargetUnavailable(error.what, where=error.where, fix="try again") from None
    except RefreshError as error:
        fix = fix_of(error)
        if "1419" in error.what:
            fix = "SET GLOBAL log_bin_trust_function_creators = 1 (as an administrator), for triggers"
        raise TargetError(error.what, where=error.where, fix=fix) from None
