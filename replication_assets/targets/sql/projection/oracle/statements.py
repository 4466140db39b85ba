"""Every statement that is sent, as text. Binds are those of `insert`, by position.

- DDL commits by itself. Nothing of it is sent while rows change but private temporary tables, whose making
  ends no transaction.
- Statements over few staged rows and a large table say by hints that the staged ones drive, by nested loops.
- Empty texts are NULL, so that no constant of ours is one.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from replication_assets.core.events import ID_RANGE
from replication_assets.targets.sql.projection.layout import (
    CONTENT,
    RANGES,
    ROW_ID,
    Layout,
    Place,
    is_older,
)
from replication_assets.targets.sql.projection.oracle.names import listed, named, quoted, staged, text
from replication_assets.targets.sql.projection.oracle.types import column_type, expression, selected

LOCK_SECONDS = 600
"""How long a writer waits for another one of the same range."""
WRITER = "replication_assets.writer"
BUSY = 20_601
"""The number of the error that says that another process makes tables."""
_MAKING = 0x7261_7072 % 2**30
"""Of user locks: `rapr`, within the numbers that they may have."""
_MAKING_SECONDS = 60

SETTINGS = (
    "ALTER SESSION SET TIME_ZONE = '+00:00'",
    "ALTER SESSION SET NLS_CALENDAR = 'GREGORIAN'",
    "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,'",
    "ALTER SESSION SET NLS_COMP = BINARY",
    "ALTER SESSION SET NLS_SORT = BINARY",
    f"ALTER SESSION SET DDL_LOCK_TIMEOUT = {_MAKING_SECONDS}",
    f"BEGIN DBMS_SESSION.SET_IDENTIFIER({text(WRITER)}); END;",
)
CHARACTER_SET = "SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'"
SNAPSHOT = "SET TRANSACTION READ ONLY"
LOCK_MAKING = (
    f"DECLARE taken INTEGER; BEGIN taken := DBMS_LOCK.REQUEST({_MAKING}, DBMS_LOCK.X_MODE,"
    f" {_MAKING_SECONDS}, FALSE); IF taken NOT IN (0, 4) THEN"
    f" RAISE_APPLICATION_ERROR(-{BUSY}, 'tables are made'); END IF; END;"
)
RELEASE_MAKING = f"DECLARE released INTEGER; BEGIN released := DBMS_LOCK.RELEASE({_MAKING}); END;"

# --- the dictionary ---------------------------------------------------------------------------


def _of(place: Place) -> str:
    return f"owner = {text(place.schema)} AND table_name = {text(place.name)}"


def columns(place: Place) -> str:
    return f"SELECT column_name FROM all_tab_columns WHERE {_of(place)} ORDER BY column_id"


def has_schema(schema: str) -> str:
    return f"SELECT 1 FROM all_users WHERE username = {text(schema)}"


def indexes(place: Place) -> str:
    """A line for each column; no two indexes may have the same ones."""
    return (
        "SELECT index_name, column_name FROM all_ind_columns"
        f" WHERE table_owner = {text(place.schema)} AND table_name = {text(place.name)}"
        " ORDER BY index_name, column_position"
    )


def types(place: Place) -> str:
    return (
        "SELECT column_name, data_type, data_length, data_precision, data_scale FROM all_tab_columns"
        f" WHERE {_of(place)}"
    )


def foreign_keys(place: Place) -> str:
    return f"SELECT constraint_name FROM all_constraints WHERE {_of(place)} AND constraint_type = 'R'"


# --- tables -----------------------------------------------------------------------------------


def create_table(table: str, parts: Sequence[str]) -> str:
    return f"CREATE TABLE {table} ({', '.join(parts)})"


def create_index(schema: str, name: str, table: str, names: Sequence[str]) -> str:
    return f"CREATE INDEX {quoted(schema, name)} ON {table} ({listed(names)})"


def create_trigger(place: Place, name: str) -> str:
    """Fires for each row; ours are passed over at once."""
    marker = f"NVL(SYS_CONTEXT('USERENV', 'CLIENT_IDENTIFIER'), '-') <> {text(WRITER)}"
    marks = "".join(
        f" IF NOT {without} THEN UPDATE {quoted(place.schema, RANGES)} SET edited = 1"
        f" WHERE table_name = {text(place.name)} AND edited = 0"
        f" AND (:{row}.{quoted(ID_RANGE)} IS NULL OR id_range = :{row}.{quoted(ID_RANGE)}); END IF;"
        for without, row in (("INSERTING", "OLD"), ("DELETING", "NEW"))
    )
    return (
        f"CREATE TRIGGER {quoted(place.schema, name)} AFTER INSERT OR UPDATE OR DELETE ON {named(place)}"
        f" FOR EACH ROW BEGIN IF {marker} THEN{marks} END IF; END;"
    )


def comment(place: Place, name: str, description: str) -> str:
    return f"COMMENT ON COLUMN {named(place)}.{quoted(name)} IS {text(description)}"


def add_columns(place: Place, parts: Sequence[str]) -> str:
    return f"ALTER TABLE {named(place)} ADD ({', '.join(parts)})"


def add_foreign_key(place: Place, name: str, names: Sequence[str], parent: Place, of: Sequence[str]) -> str:
    """Nobody's rows are held against it, in no session."""
    return (
        f"ALTER TABLE {named(place)} ADD CONSTRAINT {quoted(name)} FOREIGN KEY ({listed(names)})"
        f" REFERENCES {named(parent)} ({listed(of)}) DISABLE NOVALIDATE"
    )


def drop_table(place: Place) -> str:
    return f"DROP TABLE {named(place)} CASCADE CONSTRAINTS PURGE"


# --- rows in and out ----------------------------------------------------------------------------


def create_staged(name: str, rows: pa.Schema, layout: Layout) -> str:
    """It has no key: Oracle indexes no such table. Two rows of one key fail in the table's own."""
    parts = ", ".join(f"{quoted(field.name)} {column_type(field, layout)}" for field in rows)
    return f"CREATE PRIVATE TEMPORARY TABLE {staged(name)} ({parts}) ON COMMIT DROP DEFINITION"


def insert(into: str, rows: pa.Schema, layout: Layout) -> str:
    made = ", ".join(expression(at, field, layout) for at, field in enumerate(rows))
    return f"INSERT INTO {into} ({listed(rows.names)}) VALUES ({made})"


def select(rows: pa.Schema, source: str, layout: Layout) -> str:
    chosen = ", ".join(
        f"{selected(field, 's' if field.name.startswith('_ra_') else 't', layout)} AS c{at}"
        for at, field in enumerate(rows)
    )
    return f"SELECT {chosen} FROM {source}"


def same(key: Sequence[str]) -> str:
    return " AND ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in key)


_DRIVEN = "/*+ LEADING(s) USE_NL(t) */"


def delete_older(layout: Layout, name: str, id_range: str, *, whatever: bool) -> str:
    older = "" if whatever else f" AND ({is_older(_aliased)})"
    table = named(layout.place)
    return (
        f"DELETE FROM {table} WHERE ROWID IN (SELECT {_DRIVEN} t.ROWID FROM {staged(name)} s"
        f" JOIN {table} t ON {same(layout.key)} WHERE t.{quoted(ID_RANGE)} = {text(id_range)}{older})"
    )


def insert_missing(layout: Layout, name: str, names: Sequence[str]) -> str:
    table = named(layout.place)
    return (
        f"INSERT INTO {table} ({listed(names)}) SELECT {_DRIVEN} {listed(names, 's')}"
        f" FROM {staged(name)} s LEFT JOIN {table} t ON {same(layout.key)}"
        f" WHERE t.{quoted(layout.key[0])} IS NULL"
    )


def delete_copies(layout: Layout, name: str, id_range: str) -> str:
    table, content = named(layout.place), quoted(CONTENT)
    return (
        f"DELETE FROM {table} WHERE ROWID IN (SELECT f.place FROM (SELECT {_DRIVEN} t.ROWID AS place,"
        f' s."copies" AS copies, ROW_NUMBER() OVER (PARTITION BY t.{content} ORDER BY t.{quoted(ROW_ID)})'
        f" AS copy FROM {staged(name)} s JOIN {table} t ON t.{content} = s.{content}"
        f" WHERE t.{quoted(ID_RANGE)} = {text(id_range)}) f WHERE f.copy <= f.copies)"
    )


def _aliased(alias: str, name: str) -> str:
    return f"{alias}.{quoted(name)}"
