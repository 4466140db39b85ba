"""Tables of SQLite as projections have them: types, keys, indexes, and what notices edits.

Tables are STRICT; what the source calls the type of a column stands as a comment in the statement that
made it. Our own changes are told from anybody else's by a line that our transactions alone can see: it
is added when one begins and deleted before it ends.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from replication_assets.core.events import ID_RANGE
from replication_assets.core.schema import Column, TableId
from replication_assets.core.structure import TableStructure
from replication_assets.errors import ReplicationError, TargetError, TargetUnavailable
from replication_assets.targets.sql.names import suffixed, text
from replication_assets.targets.sql.projection import carried
from replication_assets.targets.sql.projection.carried import Projected
from replication_assets.targets.sql.projection.layout import CONTENT, RANGES, ROW_ID, TABLES, Layout, Place
from replication_assets.targets.sql.projection.values import carrier
from replication_assets.targets.sql.source_defaults import Functions
from replication_assets.targets.sql.sqlite.tables import quoted

BUSY_SECONDS = 600
"""How long a writer waits for another: as long as the longest fill of one range may take."""
_AGAIN_SECONDS = 0.01
LIMIT = 200
WRITING = "_replication_assets_writing"
_FUNCTIONS = Functions(now="(strftime('%Y-%m-%d %H:%M:%f', 'now') || 'Z')")


class SqliteTables:
    """The defining part of a session. `file_of` gives the file of a schema, `place_of` tells where a
    table of the projection stands."""

    def __init__(self, file_of: Callable[[str], Path], place_of: Callable[[TableId], Place]) -> None:
        self._file_of = file_of
        self.place_of = place_of
        self._opened: sqlite3.Connection | None = None
        self._snapshot = False

    def _at(self, schema: str, *, make: bool = False) -> sqlite3.Connection | None:
        if self._opened is None:
            path = self._file_of(schema)
            if not path.exists() and not make:
                return None
            if make:
                path.parent.mkdir(parents=True, exist_ok=True)
            mode = "rwc" if make else "rw"
            self._opened = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            self._opened.execute("PRAGMA synchronous = FULL")
            self._opened.execute("PRAGMA foreign_keys = OFF")
            if self._snapshot:
                self._opened.execute("BEGIN")
        return self._opened

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            raise TargetError("there is no file yet", fix="fill a range first")
        return self._opened

    def run(self, statement: str) -> int:
        return int(self._connection.execute(statement).rowcount)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()

    def columns(self, place: Place) -> tuple[str, ...]:
        connection = self._at(place.schema)
        if connection is None:
            return ()
        return tuple(row[1] for row in connection.execute(f"PRAGMA main.table_info({quoted(place.name)})"))

    def make_home(self, schema: str) -> None:
        connection = self._at(schema, make=True)
        assert connection is not None
        if not connection.in_transaction:
            _log_ahead(connection)
            connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS main.{TABLES} (table_name TEXT PRIMARY KEY, description TEXT) STRICT"
        )
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS main.{RANGES} (table_name TEXT, id_range TEXT, baseline INTEGER,"
            " epoch INTEGER, commit_position INTEGER, sequence INTEGER, row_count INTEGER, edited INTEGER,"
            " PRIMARY KEY (table_name, id_range)) STRICT"
        )
        connection.execute(f"CREATE TABLE IF NOT EXISTS main.{WRITING} (one INTEGER) STRICT")

    def make_table(self, layout: Layout, structure: TableStructure | None, projected: Projected) -> None:
        given = carried.defaults(structure, layout, _FUNCTIONS)
        parts = [] if layout.key else [f"{ROW_ID} INTEGER PRIMARY KEY"]
        for field in layout.rows:
            default = f" DEFAULT {given[field.name]}" if field.name in given else ""
            null = " NOT NULL" if field.name in layout.key else ""
            parts.append(
                f"{quoted(field.name)} {declared(field)}{null}{default}{_logical(layout, field.name)}"
            )
        if layout.key:
            parts.append(f"PRIMARY KEY ({listed(layout.key)})")
        parts += self._references(layout, structure, projected)
        place = layout.place
        self.run(f"CREATE TABLE {quoted('main', place.name)} (\n" + ",\n".join(parts) + "\n) STRICT")
        self._index(place, "by_range", (ID_RANGE,))
        if not layout.key:
            self._index(place, "by_content", (CONTENT,))
        for event, rows in (("INSERT", ("NEW",)), ("UPDATE", ("OLD", "NEW")), ("DELETE", ("OLD",))):
            self._trigger(place, event, rows)

    def _references(
        self, layout: Layout, structure: TableStructure | None, projected: Projected
    ) -> Iterator[str]:
        """SQLite takes foreign keys with the table alone; the parent need not be there yet."""
        keys = carried.foreign_keys(structure, layout, projected)[0] if structure is not None else []
        for key in keys:
            parent = self.place_of(key.parent)
            if parent.schema == layout.place.schema:
                yield (
                    f"CONSTRAINT {quoted(key.name)} FOREIGN KEY ({listed(key.columns)})"
                    f" REFERENCES {quoted(parent.name)} ({listed(key.referred)})"
                )

    def _index(self, place: Place, suffix: str, columns: Sequence[str]) -> None:
        name = suffixed(f"{place.name}.", suffix, limit=LIMIT)
        self.run(
            f"CREATE INDEX IF NOT EXISTS {quoted('main', name)} ON {quoted(place.name)} ({listed(columns)})"
        )

    def _trigger(self, place: Place, event: str, rows: Sequence[str]) -> None:
        name = suffixed(f"{place.name}.edited_", event.lower(), limit=LIMIT)
        hit = " OR ".join(f"{row}.{ID_RANGE} IS NULL OR id_range = {row}.{ID_RANGE}" for row in rows)
        self.run(
            f"CREATE TRIGGER {quoted('main', name)} AFTER {event} ON {quoted(place.name)}"
            f" WHEN NOT EXISTS (SELECT 1 FROM {WRITING}) BEGIN"
            f" UPDATE {RANGES} SET edited = 1 WHERE table_name = {text(place.name)} AND edited = 0"
            f" AND ({hit});"
            " END"
        )

    def add_columns(self, layout: Layout, columns: Sequence[Column]) -> None:
        for column in columns:
            field = pa.field(column.name, column.arrow)
            self.run(
                f"ALTER TABLE {quoted('main', layout.place.name)} ADD COLUMN {quoted(column.name)}"
                f" {declared(field)}"
            )

    def carry(self, layout: Layout, structure: TableStructure, projected: Projected) -> list[str]:
        made, lines = carried.indexes(structure, layout, limit=LIMIT)
        for each in made:
            self.run(
                f"CREATE INDEX IF NOT EXISTS {quoted('main', each.name)}"
                f" ON {quoted(layout.place.name)} ({listed(each.columns)})"
            )
        keys, others = carried.foreign_keys(structure, layout, projected)
        lines += others
        lines += [
            f"{structure.table}: foreign key {key.name} to {key.parent}, which is in another file"
            for key in keys
            if self.place_of(key.parent).schema != layout.place.schema
        ]
        return [*lines, *carried.otherwise(structure, layout, _FUNCTIONS)]

    def drop_table(self, place: Place) -> None:
        self.run(f"DROP TABLE IF EXISTS {quoted('main', place.name)}")


def declared(field: pa.Field) -> str:
    kind = carrier(field.type, field.name)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "INTEGER"
    if pa.types.is_floating(kind):
        return "REAL"
    return "BLOB" if pa.types.is_binary(kind) else "TEXT"


def _logical(layout: Layout, name: str) -> str:
    """What the text of a column means, where SQLite keeps the statement that made it."""
    if name not in layout.schema.names:
        return ""
    logical = layout.schema.column(name).source_type
    plain = "".join(each for each in logical if each.isalnum() or each in " (),_[]")
    return f" /* {plain} */" if plain else ""


def listed(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Change a file to WAL. SQLite does not wait for others here, who may be changing it as well."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(_AGAIN_SECONDS)


@contextmanager
def errors(where: str) -> Iterator[None]:
    """Errors of SQLite as the project's own. Messages may quote values: only names are told."""
    try:
        yield
    except ReplicationError:
        raise
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        if name.startswith(
            ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_CANTOPEN")
        ):
            raise TargetUnavailable(f"SQLite answered {name}", where=where, fix="try again") from None
        raise TargetError(f"SQLite refused with {name}", where=where) from None
