"""Copies in the engine that the rows came from, made values of the native types again, and compared by it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa

from replication_assets_tests.mysql_servers import MariaDbServer
from replication_assets_tests.types.cases import Case
from replication_assets_tests.types.copies import BOOKS
from replication_assets_tests.types.sources import MODES, MariaDbTypes, PostgresTypes, SqliteTypes

BY_TEXT = frozenset({"pg_node_tree", "regclass"})
"""Types to which a text that they print cannot be cast: nothing is taken, or not the `-` of a zero."""


def unequal_in_postgres(source: PostgresTypes, copy: str) -> list[str]:
    """Types of which a value, cast to them again, is distinct from the source's."""
    with source.session() as session:
        return [
            each.declared for name, each in source.columns.items() if not _is_same(session, copy, name, each)
        ]


def _is_same(session: psycopg.Connection[Any], copy: str, name: str, each: Case) -> bool:
    odd = ", ".join(f"t.{book}::json->>'{name}'" for book in BOOKS)
    value = f"coalesce(t.{name}::text, {odd})"
    printed = f"CASE WHEN num_nulls(s.{name}) = 0 THEN format('%s', s.{name}) END"
    # Names of relations are printed with their schema where the path has none.
    path = "''" if each.declared in BY_TEXT else "public"
    session.execute(f"SET search_path = {path}".encode())
    if each.declared in BY_TEXT:
        return _none(session, copy, f"{value} IS DISTINCT FROM {printed}")
    try:
        return _none(session, copy, f"({value})::{each.declared} IS DISTINCT FROM s.{name}")
    except (psycopg.errors.UndefinedFunction, psycopg.errors.AmbiguousFunction):
        # A type without equality: its text decides.
        again = f"CASE WHEN {value} IS NOT NULL THEN format('%s', ({value})::{each.declared}) END"
        return _none(session, copy, f"{again} IS DISTINCT FROM {printed}")


def _none(session: psycopg.Connection[Any], copy: str, different: str) -> bool:
    query = f"SELECT count(*) FROM public.types s FULL JOIN {copy} t USING (id) WHERE {different}"
    (count,) = session.execute(query.encode()).fetchone() or (None,)
    return bool(count == 0)


def unequal_in_mariadb(source: MariaDbTypes, server: MariaDbServer, copy: str) -> list[str]:
    """Written into a table like the source's, then compared column by column: by value, and by bytes."""
    values = ", ".join(_of_copy(name, each) for name, each in source.columns.items())
    with closing(server.connect(database=source.table.schema)) as session, session.cursor() as cursor:
        cursor.execute(MODES)
        cursor.execute("CREATE OR REPLACE TABLE back LIKE types")
        cursor.execute(f"INSERT INTO back SELECT id, {values} FROM {copy} t")
        cursor.execute("SHOW WARNINGS")
        assert cursor.fetchall() == ()
        cursor.execute("SELECT (SELECT count(*) FROM types) = (SELECT count(*) FROM back)")
        assert cursor.fetchone() == (1,)
        found = []
        for name, each in source.columns.items():
            cursor.execute(
                "SELECT count(*) FROM types s JOIN back b USING (id)"
                f" WHERE NOT (s.{name} <=> b.{name} AND HEX(s.{name}) <=> HEX(b.{name}))"
            )
            found += [each.declared] if cursor.fetchone() != (0,) else []
    return found


def _of_copy(name: str, each: Case) -> str:
    if not pa.types.is_temporal(each.stored):
        return f"t.{name}"
    return f"IF(t.{name} IS NULL, JSON_VALUE(t._overflow, '$.{name}'), t.{name})"


def unequal_in_sqlite(source: SqliteTypes, copy: Path) -> list[str]:
    """As above; a literal is a value when SQLite itself reads it, and values are equal in their class."""
    names = ("id", *source.columns)
    with closing(sqlite3.connect(copy)) as session:
        rows = session.execute(f"SELECT {', '.join((*names, *BOOKS))} FROM types").fetchall()
    with closing(source.session()) as session:
        session.execute(source.created().replace("TABLE types", "TEMP TABLE back"))
        for *values, overflow, as_text in rows:
            odd, beside = json.loads(overflow or "{}"), json.loads(as_text or "{}")
            assert beside == {}
            written, given = [], []
            for name, value in zip(names, values, strict=True):
                declared = source.columns[name].declared if name != "id" else "INTEGER"
                literal = value if declared in ("", "ANY") else odd.get(name)
                written.append(literal if literal is not None else "?")
                given += [value] if literal is None else []
            session.execute(f"INSERT INTO temp.back VALUES ({', '.join(written)})", given)
        return [
            each.declared
            for name, each in source.columns.items()
            if session.execute(
                "SELECT count(*) FROM main.types s FULL JOIN temp.back b USING (id)"
                f" WHERE s.{name} IS NOT b.{name} OR typeof(s.{name}) <> typeof(b.{name})"
            ).fetchone()
            != (0,)
        ]
