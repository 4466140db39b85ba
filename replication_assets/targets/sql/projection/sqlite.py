"""SQLite as a projection target: a file for each schema, in a folder.

One process writes to a file at a time; readers see the last committed state meanwhile (write-ahead log).
Decimals, dates and timestamps are texts, as everywhere in SQLite; tables are STRICT. The driver takes
rows as Python objects, a cost that no columnar path avoids.

Our own changes are told from anybody else's by a line that our transactions alone can see: it is added
when one begins and deleted before it ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from replication_assets.core.events import ID_RANGE, OVERFLOW, POSITION
from replication_assets.core.schema import Column, TableId
from replication_assets.errors import TargetError
from replication_assets.targets.sql.names import text
from replication_assets.targets.sql.projection.arriving import KeyLimits
from replication_assets.targets.sql.projection.layout import (
    CONTENT,
    ROW_ID,
    Layout,
    Named,
    Place,
    refuse_names,
    standing,
)
from replication_assets.targets.sql.projection.sqlite_tables import (
    LIMIT,
    WRITING,
    SqliteTables,
    declared,
    errors,
    listed,
)
from replication_assets.targets.sql.projection.values import carriers, negative_zero_or_odd
from replication_assets.targets.sql.sqlite.tables import quoted
from replication_assets.targets.sql.sqlite.values import read_batch, stored_rows

READ_ROWS = 16_384


class SqliteDatabase:
    """The files of a folder. `into` names the one file that all tables go to, instead of one for each
    schema."""

    engine = "sqlite"

    def __init__(self, folder: Path, *, into: str | None = None, called: Named | None = None) -> None:
        self._folder = folder
        self._into = into
        self._called = called or {}

    def __repr__(self) -> str:
        return f"SqliteDatabase({str(self._folder)!r})"

    @property
    def where(self) -> str:
        return f"sqlite {self._folder}"

    def place(self, table: TableId) -> Place:
        return standing(table, self._into, self._called)

    def file(self, schema: str) -> Path:
        safe = quote(schema, safe="").replace(".", "%2E").replace("~", "%7E")
        return self._folder / f"{safe}.db"

    @contextmanager
    def session(self) -> Iterator[SqliteSession]:
        session = SqliteSession(self.file, self.place)
        try:
            with errors(self.where):
                yield session
        finally:
            session.close()

    def named(self, place: Place) -> str:
        return quoted("main", place.name)

    def staged(self, place: Place, name: str) -> str:  # noqa: ARG002
        return quoted("temp", name)

    def quoted(self, name: str) -> str:
        return quoted(name)

    def text(self, value: str) -> str:
        return text(value)

    def same_key(self, layout: Layout) -> str:
        return _same(layout.key)

    def locking(self, table: str) -> tuple[str, str]:
        return table, ""

    def unheld(self, values: pa.Array, column: Column) -> pa.Array | None:  # noqa: ARG002
        """SQLite makes NULL of NaN, and a zero of the negative one."""
        return negative_zero_or_odd(values, infinity=True) if pa.types.is_floating(values.type) else None

    def longest_key(self, layout: Layout) -> KeyLimits:  # noqa: ARG002
        return KeyLimits()

    def refuse_names(self, layout: Layout) -> None:
        refuse_names(layout, layout.names, folds=True, limit=LIMIT, where=f"{layout.place} in {self.where}")
        if layout.place.name.lower().startswith("sqlite_"):
            raise TargetError("SQLite keeps such names for itself", where=str(layout.place))


class SqliteSession(SqliteTables):
    """A connection to the file of one schema, opened with the first statement that needs it."""

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def longest_row(self) -> int | None:
        connection = self._opened or sqlite3.connect(":memory:")
        found = connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)
        if self._opened is None:
            connection.close()
        return found

    @contextmanager
    def writing(self) -> Iterator[None]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(f"INSERT INTO {WRITING} VALUES (1)")
            yield
            connection.execute(f"DELETE FROM {WRITING}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    @contextmanager
    def defining(self) -> Iterator[None]:
        # The file may not be there yet: `make_home` opens and locks it.
        if self._opened is not None:
            self._opened.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._opened is not None and self._opened.in_transaction:
                self._opened.execute("ROLLBACK")
            raise
        if self._opened is not None and self._opened.in_transaction:
            self._opened.execute("COMMIT")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._snapshot = True
        if self._opened is not None:
            self._opened.execute("BEGIN")
        yield

    def make_staged(self, layout: Layout, name: str, columns: pa.Schema, key: Sequence[str]) -> None:
        del layout
        self.run(f"DROP TABLE IF EXISTS {quoted('temp', name)}")
        parts = [f"{quoted(field.name)} {declared(field)}" for field in columns]
        parts += [f"PRIMARY KEY ({listed(key)})"] if key else []
        self.run(f"CREATE TEMP TABLE {quoted(name)} ({', '.join(parts)}) STRICT")

    def load(self, into: str, batch: pa.RecordBatch, layout: Layout) -> None:
        del layout
        marks = ", ".join("?" * batch.num_columns)
        names = listed(batch.schema.names)
        plain = [f"c{at}" for at in range(batch.num_columns)]
        nothing = pa.nulls(batch.num_rows, pa.string())
        given = pa.RecordBatch.from_arrays([*batch.columns, nothing], names=[*plain, OVERFLOW])
        self._connection.executemany(f"INSERT INTO {into} ({names}) VALUES ({marks})", stored_rows(given))

    def read(self, columns: pa.Schema, source: str, layout: Layout) -> Iterator[pa.RecordBatch]:
        selected = ", ".join(
            f"{'s' if name.startswith('_ra_') else 't'}.{quoted(name)}" for name in columns.names
        )
        plain = [pa.field(f"c{at}", field.type) for at, field in enumerate(columns)]
        schema = pa.schema([*plain, pa.field(OVERFLOW, pa.string())])
        with errors(str(layout.place)):
            cursor = self._connection.execute(f"SELECT {selected} FROM {source}")
        with closing(cursor):
            while True:
                with errors(str(layout.place)):
                    rows = cursor.fetchmany(READ_ROWS)
                if not rows:
                    return
                found = read_batch(rows, schema)
                yield pa.RecordBatch.from_arrays(found.columns[:-1], schema=columns)

    def delete_older(self, layout: Layout, staged: str, id_range: str, *, whatever: bool = False) -> int:
        table = quoted("main", layout.place.name)
        older = "" if whatever else f" AND ({_position('t')}) < ({_position('s')})"
        return self.run(
            f"DELETE FROM {table} WHERE rowid IN (SELECT t.rowid FROM {quoted('temp', staged)} s"
            f" CROSS JOIN {table} t ON {_same(layout.key)}"
            f" WHERE t.{ID_RANGE} = {text(id_range)}{older})"
        )

    def insert_missing(self, layout: Layout, staged: str) -> int:
        names = listed(carriers(layout.rows).names)
        return self.run(
            f"INSERT INTO {quoted('main', layout.place.name)} ({names}) SELECT {names}"
            f" FROM {quoted('temp', staged)} WHERE true ON CONFLICT ({listed(layout.key)}) DO NOTHING"
        )

    def delete_copies(self, layout: Layout, staged: str, id_range: str) -> int:
        table = quoted("main", layout.place.name)
        return self.run(
            f"DELETE FROM {table} WHERE {ROW_ID} IN (SELECT {ROW_ID} FROM (SELECT t.{ROW_ID}, s.copies,"
            f" row_number() OVER (PARTITION BY t.{CONTENT} ORDER BY t.{ROW_ID}) AS copy"
            f" FROM {quoted('temp', staged)} s CROSS JOIN {table} t ON t.{CONTENT} = s.{CONTENT}"
            f" WHERE t.{ID_RANGE} = {text(id_range)}) WHERE copy <= copies)"
        )


def _same(key: Sequence[str]) -> str:
    return " AND ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in key)


def _position(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in POSITION)
