"""Tables of PostgreSQL as projections have them: types, keys, indexes, and what notices edits.

Columns have the engine's own types; text that is a UUID or JSON of the source is one here. Edits are
noticed by triggers that do nothing in our own transactions, and fire in sessions that replicate, too.

Foreign keys are NOT ENFORCED, which PostgreSQL has from version 18 on: tools read them, and nothing
checks them. Before that they are listed as not carried, since a check cannot be put off between tables
that are brought forward in transactions of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa

from replication_assets.core.events import ID_RANGE
from replication_assets.core.schema import Column, TableId
from replication_assets.core.structure import ForeignKey, TableStructure
from replication_assets.errors import RefreshError, TargetError
from replication_assets.targets.sql.names import suffixed, text
from replication_assets.targets.sql.postgres.connection import target_errors
from replication_assets.targets.sql.postgres.expressions import identifier, qualified
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

LIMIT = 63
"""Bytes of a name (NAMEDATALEN - 1)."""
_FUNCTIONS = Functions(now="now()", uuid="gen_random_uuid()")
_NATIVE = ("uuid", "json", "jsonb")
_EDITED = "_replication_assets_edited"


def named(place: Place) -> str:
    return qualified(place.schema, place.name)


class PostgresTables:
    """The defining part of a session. `place_of` tells where a table of the projection stands."""

    def __init__(self, connection: psycopg.Connection[Any], place_of: Callable[[TableId], Place]) -> None:
        self._connection = connection
        self.place_of = place_of

    def run(self, statement: str) -> int:
        return self._connection.execute(statement.encode()).rowcount

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode()).fetchall()

    def columns(self, place: Place) -> tuple[str, ...]:
        found = self.rows(
            "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {text(place.schema)}"
            f" AND c.relname = {text(place.name)} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        )
        return tuple(str(row[0]) for row in found)

    def make_home(self, schema: str) -> None:
        if not self.rows(f"SELECT 1 FROM pg_namespace WHERE nspname = {text(schema)}"):
            self.run(f"CREATE SCHEMA {identifier(schema)}")
        if self.columns(Place(schema, RANGES)):
            return
        ranges = qualified(schema, RANGES)
        self.run(
            f"CREATE TABLE {qualified(schema, TABLES)}"
            " (table_name text PRIMARY KEY, description text NOT NULL)"
        )
        self.run(
            f"CREATE TABLE {ranges} (table_name text, id_range text, baseline bigint NOT NULL,"
            " epoch integer NOT NULL, commit_position bigint NOT NULL, sequence bigint NOT NULL,"
            " row_count bigint NOT NULL, edited smallint NOT NULL, PRIMARY KEY (table_name, id_range))"
        )
        self.run(
            f"CREATE FUNCTION {qualified(schema, _EDITED)}() RETURNS trigger LANGUAGE plpgsql"
            " SECURITY DEFINER SET search_path = pg_catalog AS $body$ BEGIN"
            f" IF TG_OP = 'TRUNCATE' THEN UPDATE {ranges} SET edited = 1"
            "  WHERE table_name = TG_TABLE_NAME AND edited = 0; RETURN NULL; END IF;"
            + "".join(
                f" IF TG_OP <> '{other}' THEN UPDATE {ranges} SET edited = 1 WHERE table_name = TG_TABLE_NAME"
                f"  AND edited = 0 AND ({row}.{ID_RANGE} IS NULL OR id_range = {row}.{ID_RANGE}); END IF;"
                for other, row in (("INSERT", "OLD"), ("DELETE", "NEW"))
            )
            + " RETURN NULL; END $body$"
        )

    def make_table(self, layout: Layout, structure: TableStructure | None, projected: Projected) -> None:
        del projected
        given = carried.defaults(structure, layout, _FUNCTIONS)
        table = named(layout.place)
        parts = [] if layout.key else [f"{ROW_ID} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"]
        for field in layout.rows:
            default = f" DEFAULT {given[field.name]}" if field.name in given else ""
            parts.append(f"{identifier(field.name)} {column_type(field, layout)}{default}")
        if layout.key:
            parts.append(f"PRIMARY KEY ({listed(layout.key)})")
        self.run(f"CREATE TABLE {table} ({', '.join(parts)})")
        for column in layout.schema.columns:
            self._comment(layout, column)
        self._index(layout.place, "by_range", (ID_RANGE,))
        if not layout.key:
            self._index(layout.place, "by_content", (CONTENT,))
        edited = f"EXECUTE FUNCTION {qualified(layout.place.schema, _EDITED)}()"
        ours = "(current_setting('replication_assets.writer', true) IS DISTINCT FROM 'on')"
        for name, events in (("edited", "INSERT OR UPDATE OR DELETE"), ("truncated", "TRUNCATE")):
            trigger = identifier(f"_replication_assets_{name}")
            each = "STATEMENT" if name == "truncated" else "ROW"
            self.run(
                f"CREATE TRIGGER {trigger} AFTER {events} ON {table} FOR EACH {each} WHEN {ours} {edited}"
            )
            # Also in sessions that replicate, where others do not fire.
            self.run(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")

    def _comment(self, layout: Layout, column: Column) -> None:
        """What the source calls a type that is held as a text."""
        if pa.types.is_string(column.arrow) and column.source_type not in ("text", *_NATIVE):
            self.run(
                f"COMMENT ON COLUMN {named(layout.place)}.{identifier(column.name)}"
                f" IS {text(column.source_type)}"
            )

    def _index(self, place: Place, suffix: str, columns: Sequence[str]) -> None:
        self._make_index(place, suffixed(f"{place.name}.", suffix, limit=LIMIT), columns)

    def _make_index(self, place: Place, name: str, columns: Sequence[str]) -> None:
        self.run(f"CREATE INDEX IF NOT EXISTS {identifier(name)} ON {named(place)} ({listed(columns)})")

    def add_columns(self, layout: Layout, columns: Sequence[Column]) -> None:
        fields = {field.name: field for field in layout.rows}
        for column in columns:
            self.run(
                f"ALTER TABLE {named(layout.place)} ADD COLUMN {identifier(column.name)}"
                f" {column_type(fields[column.name], layout)}"
            )
            self._comment(layout, column)

    def carry(self, layout: Layout, structure: TableStructure, projected: Projected) -> list[str]:
        made, lines = carried.indexes(structure, layout, limit=LIMIT)
        for each in made:
            if any(_is_unordered(layout, name) for name in each.columns):
                lines.append(f"{structure.table}: index {each.name}, of a type that has no order")
            elif structure.engine != "postgresql" and any(_is_long(layout, name) for name in each.columns):
                lines.append(f"{structure.table}: index {each.name}, of texts that an index may not take")
            else:
                self._make_index(layout.place, each.name, each.columns)
        self._declare_foreign_keys(layout, structure, projected, lines)
        return [*lines, *carried.otherwise(structure, layout, _FUNCTIONS)]

    def _declare_foreign_keys(
        self, layout: Layout, structure: TableStructure, projected: Projected, lines: list[str]
    ) -> None:
        for key, parent in carried.declarable(self, structure, layout, projected, lines):
            if not self._has_constraint(layout.place, key.name):
                self.run(
                    f"ALTER TABLE {named(layout.place)} ADD CONSTRAINT {identifier(key.name)}"
                    f" FOREIGN KEY ({listed(key.columns)}) REFERENCES {named(parent)}"
                    f" ({listed(key.referred)}) NOT ENFORCED"
                )

    def unfit(self, layout: Layout, key: ForeignKey) -> str:  # noqa: ARG002
        checks = self._connection.info.server_version < 180_000
        return ": this server checks every foreign key" if checks else ""

    def types(self, place: Place, columns: Sequence[str]) -> tuple[()]:  # noqa: ARG002
        return ()

    def _has_constraint(self, place: Place, name: str) -> bool:
        return bool(
            self.rows(
                "SELECT 1 FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
                f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {text(place.schema)}"
                f" AND c.relname = {text(place.name)} AND k.conname = {text(name)}"
            )
        )

    def drop_table(self, place: Place) -> None:
        # With foreign keys of others to it, which `tidy` makes again.
        self.run(f"DROP TABLE IF EXISTS {named(place)} CASCADE")


def column_type(field: pa.Field, layout: Layout) -> str:
    """The type of a column of the table, or of a staged one of the same name."""
    kind = carrier(field.type, field.name)
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if pa.types.is_string(kind) and field.name in layout.schema.names:
        source_type = layout.schema.column(field.name).source_type
        return source_type if source_type in _NATIVE else "text"
    return {
        pa.bool_(): "boolean",
        pa.int16(): "smallint",
        pa.int32(): "integer",
        pa.int64(): "bigint",
        pa.float32(): "real",
        pa.float64(): "double precision",
        pa.date32(): "date",
        pa.timestamp("us"): "timestamp without time zone",
        pa.timestamp("us", tz="UTC"): "timestamp with time zone",
        pa.string(): "text",
        pa.binary(): "bytea",
    }[kind]


def _is_unordered(layout: Layout, name: str) -> bool:
    return layout.schema.column(name).source_type == "json"


def _is_long(layout: Layout, name: str) -> bool:
    kind = layout.schema.column(name).arrow
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def listed(names: Sequence[str]) -> str:
    return ", ".join(identifier(name) for name in names)


@contextmanager
def errors(where: str, columns: Sequence[str] = ()) -> Iterator[None]:
    """Errors of the driver as the project's own, told as those of a copy are."""
    try:
        with target_errors(where, columns):
            yield
    except RefreshError as error:
        raise TargetError(error.what, where=error.where, fix=fix_of(error)) from None
