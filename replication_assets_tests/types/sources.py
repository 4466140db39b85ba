"""One wide table of every type at each engine: how rows come and change, and what the engine says of them.

Rows 1 to `most` have the values of the cases in turn, the next one has none: these are loaded. Rows from 101
are copies of them that the engine itself makes while it is captured; rows from 201 are empty when they are
loaded, and then updated to be copies.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pyarrow as pa

from replication_assets.catalog import MySqlSourceConfig, PostgresSourceConfig, SqliteSourceConfig
from replication_assets.core.schema import TableId
from replication_assets.declarations import CaptureBy, SourceConfig
from replication_assets_tests.mysql_servers import MariaDbServer
from replication_assets_tests.postgres_servers import FreshDatabase
from replication_assets_tests.types import mariadb_cases, postgres_cases, sqlite_cases
from replication_assets_tests.types.cases import Case, columns
from replication_assets_tests.types.meanings import Meanings, by_text, of_sqlite

INSERTED, UPDATED = 100, 200


@dataclass
class Source:
    """A table that is written to, and asked by a client that is not ours."""

    cases: tuple[Case, ...]
    config: SourceConfig
    table: TableId

    @property
    def columns(self) -> Mapping[str, Case]:
        return columns(self.cases)

    @property
    def most(self) -> int:
        return max(len(each.values) for each in self.cases)

    @property
    def rows(self) -> range:
        return range(1, self.most + 2)

    def begin(self) -> None:
        names = ", ".join(("id", *self.columns))
        lines = [self._line(number) for number in self.rows]
        empty = [f"({number + UPDATED}{', NULL' * len(self.cases)})" for number in self.rows]
        self.execute(
            *self.prepared, self.created(), *(f"INSERT INTO types ({names}) VALUES {each}" for each in lines)
        )
        self.execute(f"INSERT INTO types ({names}) VALUES {', '.join(empty)}")

    def change(self) -> None:
        names = ", ".join(self.columns)
        self.execute(
            f"INSERT INTO types SELECT id + {INSERTED}, {names} FROM types WHERE id <= {self.most + 1}"
        )
        self.execute(self.updated())

    def _line(self, number: int) -> str:
        chosen = [self.written(each, number) for each in self.cases]
        return f"({number}, {', '.join(chosen)})"

    def written(self, each: Case, number: int) -> str:
        if number > self.most or not each.values:
            return "NULL"
        return each.values[(number - 1) % len(each.values)]

    prepared: ClassVar[Sequence[str]] = ()

    def created(self) -> str:
        declared = ", ".join(f"{name} {each.declared}" for name, each in self.columns.items())
        return f"CREATE TABLE types (id INTEGER PRIMARY KEY, {declared})"

    def updated(self) -> str:
        assigned = ", ".join(f"{name} = s.{name}" for name in self.columns)
        return f"UPDATE types AS t SET {assigned} FROM types AS s WHERE t.id = s.id + {UPDATED}"

    def execute(self, *statements: str) -> None:
        raise NotImplementedError

    def meanings(self) -> Meanings:
        """Of every row, by what the engine prints."""
        raise NotImplementedError


@dataclass
class PostgresTypes(Source):
    database: FreshDatabase

    @classmethod
    def on(cls, database: FreshDatabase, capture: CaptureBy, *, xml: bool) -> PostgresTypes:
        slot = f"types_{database.name}" if capture == "log" else None
        config = PostgresSourceConfig(
            "app",
            host="127.0.0.1",
            port=database.server.port,
            database=database.name,
            user="postgres",
            sslmode="disable",
            slot=slot,
            publication=slot,
            capture=capture,
        )
        cases = postgres_cases.cases_of(xml=xml)
        return cls(cases, config, TableId("app", "public", "types"), database)

    prepared: ClassVar[Sequence[str]] = postgres_cases.PREPARED

    def session(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.database.dsn, autocommit=True, options="-c timezone=UTC")

    def execute(self, *statements: str) -> None:
        with self.session() as session:
            for statement in statements:
                session.execute(statement.encode())

    def written(self, each: Case, number: int) -> str:
        value = super().written(each, number)
        return value if value == "NULL" else f"({value})::{each.declared}"

    def meanings(self) -> Meanings:
        # A cast to text would drop the padding of character(n); a composite of nulls IS NULL and is not null.
        printed = ", ".join(
            f"CASE WHEN num_nulls({name}) = 0 THEN format('%s', {name}) END" for name in self.columns
        )
        with self.session() as session:
            # Names of relations are printed with their schemas, so that they mean the same to everybody.
            session.execute("SET search_path = ''")
            rows = session.execute(f"SELECT id, {printed} FROM public.types".encode()).fetchall()
        return _by_text(self.columns, rows)


@dataclass
class MariaDbTypes(Source):
    server: MariaDbServer

    @classmethod
    def on(cls, server: MariaDbServer, database: str) -> MariaDbTypes:
        config = MySqlSourceConfig(
            "app", host=server.host, port=server.port, user=server.user, sslmode="disable"
        )
        return cls(mariadb_cases.CASES, config, TableId("app", database, "types"), server)

    def execute(self, *statements: str) -> None:
        with closing(self.server.connect(database=self.table.schema)) as session, session.cursor() as cursor:
            cursor.execute(MODES)
            for statement in statements:
                cursor.execute(statement)

    def updated(self) -> str:
        assigned = ", ".join(f"t.{name} = s.{name}" for name in self.columns)
        return f"UPDATE types t JOIN types s ON t.id = s.id + {UPDATED} SET {assigned}"

    def meanings(self) -> Meanings:
        printed = ", ".join(_printed(name, each) for name, each in self.columns.items())
        with closing(self.server.connect(database=self.table.schema)) as session, session.cursor() as cursor:
            cursor.execute(MODES)
            cursor.execute(f"SELECT id, {printed} FROM types")
            return _by_text(self.columns, cursor.fetchall())


MODES = "SET sql_mode = 'ALLOW_INVALID_DATES,NO_BACKSLASH_ESCAPES', time_zone = '+00:00'"


def _printed(name: str, each: Case) -> str:
    if pa.types.is_binary(each.stored):
        return f"HEX({name})"
    if pa.types.is_floating(each.stored):
        return f"CAST(CAST({name} AS DOUBLE) AS CHAR)"
    if each.declared.startswith("BIT"):
        return f"CAST(CAST({name} AS UNSIGNED) AS CHAR)"
    if each.declared.startswith("DECIMAL"):
        return f"CAST({name} + 0 AS CHAR)"
    return f"CAST({name} AS CHAR CHARACTER SET utf8mb4)"


@dataclass
class SqliteTypes(Source):
    path: Path
    strict: bool = field(default=False)

    @classmethod
    def at(cls, path: Path, *, strict: bool) -> SqliteTypes:
        cases = sqlite_cases.STRICT if strict else sqlite_cases.CASES
        config = SqliteSourceConfig("app", path=str(path))
        return cls(cases, config, TableId("app", "main", "types"), path, strict)

    def session(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None)

    def execute(self, *statements: str) -> None:
        with closing(self.session()) as session:
            session.execute("PRAGMA journal_mode = wal")
            for statement in statements:
                session.execute(statement)

    def created(self) -> str:
        return super().created() + (" STRICT" if self.strict else "")

    def meanings(self) -> Meanings:
        found: Meanings = {}
        with closing(self.session()) as session:
            session.text_factory = bytes
            for name, each in self.columns.items():
                for key, storage, raw in session.execute(f"SELECT id, typeof({name}), {name} FROM types"):
                    meaning = of_sqlite(each.declared.upper(), each.stored, storage.decode(), raw)
                    found.setdefault(key, {})[name] = meaning
        return found


def _by_text(columns: Mapping[str, Case], rows: Sequence[tuple[Any, ...]]) -> Meanings:
    return {row[0]: dict(_meant(columns, row[1:])) for row in rows}


def _meant(columns: Mapping[str, Case], texts: Sequence[str | None]) -> Iterator[tuple[str, Any]]:
    for (name, each), text in zip(columns.items(), texts, strict=True):
        yield name, by_text(each.stored, text)
