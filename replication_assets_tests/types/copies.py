"""What stands in each target, as a client of the target's own engine reads it."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pyarrow as pa
from deltalake import DeltaTable

from replication_assets_tests.mysql_servers import MariaDbServer
from replication_assets_tests.types.cases import Case
from replication_assets_tests.types.meanings import Meanings, exact, single

Convert: TypeAlias = Callable[[pa.DataType, Any], Any]
BOOKS = ("_overflow", "_as_text")


def in_delta(uri: str, columns: Mapping[str, Case]) -> Meanings:
    rows = DeltaTable(uri).to_pyarrow_table(columns=["id", *columns, "_overflow"])
    for name, each in columns.items():
        assert rows.schema.field(name).type == each.stored, name
    lines = [tuple(row.values()) for row in rows.to_pylist()]
    return _meanings(columns, [(*line, None) for line in lines], lambda _, value: value)


def in_postgres(dsn: str, table: str, columns: Mapping[str, Case]) -> Meanings:
    # UUIDs and documents are of these types there; a client would make objects of them.
    chosen = [f"{name}::text" if pa.types.is_string(each.stored) else name for name, each in columns.items()]
    with psycopg.connect(dsn, options="-c timezone=UTC") as session:
        query = f"SELECT id, {', '.join((*chosen, *BOOKS))} FROM {table}"
        return _meanings(columns, session.execute(query.encode()).fetchall(), _as_it_is)


def in_mariadb(server: MariaDbServer, table: str, columns: Mapping[str, Case]) -> Meanings:
    with closing(server.connect()) as session, session.cursor() as cursor:
        cursor.execute(f"SELECT id, {', '.join((*columns, *BOOKS))} FROM {table}")
        return _meanings(columns, cursor.fetchall(), _of_mariadb)


def in_sqlite(path: Path, columns: Mapping[str, Case]) -> Meanings:
    with closing(sqlite3.connect(path)) as session:
        rows = session.execute(f"SELECT id, {', '.join((*columns, *BOOKS))} FROM types").fetchall()
    return _meanings(columns, rows, _of_sqlite)


def _meanings(columns: Mapping[str, Case], rows: Iterable[Sequence[Any]], convert: Convert) -> Meanings:
    found: Meanings = {}
    for key, *values, overflow, as_text in rows:
        odd, beside = json.loads(overflow or "{}"), json.loads(as_text or "{}")
        assert not set(odd) & set(beside), "a value stands in two places"
        found[int(key)] = {}
        for (name, each), value in zip(columns.items(), values, strict=True):
            assert value is None or name not in {**odd, **beside}, "a value stands in two places"
            if name in beside:
                value = _from_text(each.stored, beside[name])
            elif value is not None:
                value = convert(each.stored, value)
            found[int(key)][name] = (exact(value), odd.get(name))
    return found


def _from_text(kind: pa.DataType, text: str) -> Any:
    return float(text) if pa.types.is_floating(kind) else text


def _as_it_is(kind: pa.DataType, value: Any) -> Any:
    return single(value) if pa.types.is_float32(kind) else value


def _of_mariadb(kind: pa.DataType, value: Any) -> Any:
    if pa.types.is_boolean(kind):
        assert value in (0, 1)
        return bool(value)
    if pa.types.is_decimal(kind):
        return Decimal(value)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return value.replace(tzinfo=dt.UTC)
    return value


def _of_sqlite(kind: pa.DataType, value: Any) -> Any:
    if pa.types.is_boolean(kind):
        assert value in (0, 1)
        return bool(value)
    if pa.types.is_decimal(kind):
        return Decimal(value)
    if pa.types.is_date(kind):
        return dt.date.fromisoformat(value)
    if pa.types.is_timestamp(kind):
        found = dt.datetime.fromisoformat(value)
        assert (found.tzinfo is None) == (kind.tz is None)
        return found
    return value
