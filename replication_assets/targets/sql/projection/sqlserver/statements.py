"""Every statement that is sent, as text: no statement has a parameter but `HAND_OVER`, which has no names.

- Rows arrive as JSON: `HAND_OVER` puts the text of a piece into a temporary table, and OPENJSON makes rows
  of it in the transaction that is open. The driver's own bulk copy opens another connection: it would be
  outside of that transaction, and could see no temporary table.
- Statements over few staged rows and a large table say `INNER LOOP JOIN`: the staged ones drive.
- A comparison of texts takes trailing spaces for nothing, one of binaries trailing zero bytes, under every
  collation. `same` holds the lengths against each other as well.
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
from replication_assets.targets.sql.projection.sqlserver.names import listed, named, quoted, staged, text
from replication_assets.targets.sql.projection.sqlserver.types import (
    column_type,
    expression,
    is_sized,
    json_columns,
    length_of,
    selected,
)

LOCK_MILLISECONDS = 600_000
"""How long a writer waits for another one of the same range."""
WRITER = "replication_assets.writer"
_MAKING = "replication_assets projection"
_MAKING_MILLISECONDS = 60_000

SETTINGS = (
    "SET ANSI_NULLS ON",
    # Off, a text that is too long would be cut without a word.
    "SET ANSI_WARNINGS ON",
    "SET ANSI_PADDING ON",
    "SET ARITHABORT ON",
    "SET CONCAT_NULL_YIELDS_NULL ON",
    "SET QUOTED_IDENTIFIER ON",
    "SET NUMERIC_ROUNDABORT OFF",
    "SET NOCOUNT ON",
    "SET ROWCOUNT 0",
    "SET TEXTSIZE 2147483647",
    # A failed statement must not leave a transaction open behind it.
    "SET XACT_ABORT ON",
    f"SET LOCK_TIMEOUT {LOCK_MILLISECONDS}",
    "SET DATEFORMAT ymd",
    f"EXEC sp_set_session_context @key = {text(WRITER)}, @value = N'on'",
)
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT"
"""How our sessions read, so that they wait for no writer."""
READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
BEGIN = "BEGIN TRANSACTION"
COMMIT = "COMMIT TRANSACTION"
ROLLBACK = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"
CHANGED = "; SELECT @@ROWCOUNT"
LOCK_MAKING = (
    "DECLARE @got int; EXEC @got = sp_getapplock"
    f" @Resource = {text(_MAKING)}, @LockMode = N'Exclusive', @LockOwner = N'Transaction',"
    f" @LockTimeout = {_MAKING_MILLISECONDS}; SELECT @got"
)

# --- the catalog ------------------------------------------------------------------------------


def columns(place: Place) -> str:
    return (
        "SELECT c.name FROM sys.columns c JOIN sys.tables t ON t.object_id = c.object_id"
        " JOIN sys.schemas s ON s.schema_id = t.schema_id"
        f" WHERE s.name = {text(place.schema)} AND t.name = {text(place.name)} ORDER BY c.column_id"
    )


def touch(place: Place) -> str:
    """The state that a snapshot shows is that of the first look at data; the catalog is none."""
    return f"SELECT COUNT(*) FROM (SELECT TOP (1) table_name FROM {named(place)}) AS looked"


def has_schema(schema: str) -> str:
    return f"SELECT 1 FROM sys.schemas WHERE name = {text(schema)}"


def indexes(place: Place) -> str:
    return (
        f"SELECT name FROM sys.indexes WHERE object_id = OBJECT_ID({text(named(place))}) AND name IS NOT NULL"
    )


def types(place: Place) -> str:
    return (
        "SELECT name, system_type_id, max_length, precision, scale FROM sys.columns"
        f" WHERE object_id = OBJECT_ID({text(named(place))})"
    )


def foreign_keys(place: Place) -> str:
    return f"SELECT name FROM sys.foreign_keys WHERE parent_object_id = OBJECT_ID({text(named(place))})"


def referring(place: Place) -> str:
    """Foreign keys of others to the table: it cannot be dropped before they are."""
    return (
        "SELECT s.name, t.name, k.name FROM sys.foreign_keys k JOIN sys.tables t"
        " ON t.object_id = k.parent_object_id JOIN sys.schemas s ON s.schema_id = t.schema_id"
        f" WHERE k.referenced_object_id = OBJECT_ID({text(named(place))})"
    )


# --- tables -----------------------------------------------------------------------------------


def create_schema(schema: str) -> str:
    return f"CREATE SCHEMA {quoted(schema)}"


def create_table(table: str, parts: Sequence[str]) -> str:
    return f"CREATE TABLE {table} ({', '.join(parts)})"


def key_parts(layout: Layout, key: Sequence[str]) -> list[str]:
    """The lengths that tell values apart which are equal in a comparison, and the primary key. Texts and
    binaries are in a nonclustered index, which takes longer ones."""
    sized = [name for name in key if is_sized(layout, name)]
    parts = [
        f"{quoted(length_of(key, name))} AS DATALENGTH({quoted(name)}) PERSISTED NOT NULL" for name in sized
    ]
    kind = "NONCLUSTERED" if sized else "CLUSTERED"
    lengths = [length_of(key, name) for name in sized]
    return [*parts, f"PRIMARY KEY {kind} ({listed([*key, *lengths])})"]


def create_index(name: str, table: str, names: Sequence[str]) -> str:
    return f"CREATE NONCLUSTERED INDEX {quoted(name)} ON {table} ({listed(names)})"


def create_trigger(place: Place, name: str) -> str:
    """Fires once for a statement, whatever its number of rows; its own count is not told to anybody."""
    hits = " OR ".join(
        f"EXISTS (SELECT 1 FROM {rows} AS i WHERE i.{quoted(ID_RANGE)} IS NULL"
        f" OR i.{quoted(ID_RANGE)} = r.id_range)"
        for rows in ("inserted", "deleted")
    )
    return (
        f"CREATE TRIGGER {quoted(place.schema, name)} ON {named(place)} AFTER INSERT, UPDATE, DELETE AS"
        " BEGIN SET NOCOUNT ON;"
        f" IF ISNULL(CONVERT(nvarchar(10), SESSION_CONTEXT({text(WRITER)})), N'') <> N'on'"
        f" UPDATE r SET edited = 1 FROM {quoted(place.schema, RANGES)} AS r"
        f" WHERE r.table_name = {text(place.name)} AND r.edited = 0 AND ({hits}); END"
    )


def describe_column(place: Place, name: str, description: str) -> str:
    return (
        f"EXEC sp_addextendedproperty @name = N'MS_Description', @value = {text(description)},"
        f" @level0type = N'SCHEMA', @level0name = {text(place.schema)},"
        f" @level1type = N'TABLE', @level1name = {text(place.name)},"
        f" @level2type = N'COLUMN', @level2name = {text(name)}"
    )


def add_columns(place: Place, parts: Sequence[str]) -> str:
    return f"ALTER TABLE {named(place)} ADD {', '.join(parts)}"


def add_foreign_key(place: Place, name: str, names: Sequence[str], parent: Place, of: Sequence[str]) -> str:
    return (
        f"ALTER TABLE {named(place)} WITH NOCHECK ADD CONSTRAINT {quoted(name)}"
        f" FOREIGN KEY ({listed(names)}) REFERENCES {named(parent)} ({listed(of)})"
    )


def disable_foreign_key(place: Place, name: str) -> str:
    """Nobody's rows are held against it then, in no session."""
    return f"ALTER TABLE {named(place)} NOCHECK CONSTRAINT {quoted(name)}"


def drop_foreign_key(place: Place, name: str) -> str:
    return f"ALTER TABLE {named(place)} DROP CONSTRAINT {quoted(name)}"


def drop_table(table: str) -> str:
    return f"DROP TABLE IF EXISTS {table}"


# --- rows in ----------------------------------------------------------------------------------

PIECE = staged("_ra_piece")
MAKE_PIECE = f"CREATE TABLE {PIECE} (piece nvarchar(max) COLLATE Latin1_General_100_BIN2 NOT NULL)"
HAND_OVER = f"INSERT INTO {PIECE} (piece) VALUES (?)"


def insert_piece(into: str, rows: pa.Schema) -> str:
    """Of a piece, an array of arrays: each row has the values of `json_columns` in their order."""
    given = ", ".join(f"{name} {kind} '$[{at}]'" for at, (name, kind) in enumerate(json_columns(rows)))
    made = ", ".join(expression(at, field.type) for at, field in enumerate(rows))
    return (
        f"INSERT INTO {into} ({listed(rows.names)}) SELECT {made} FROM {PIECE} AS p"
        f" CROSS APPLY OPENJSON(p.piece) WITH ({given}) AS r"
    )


def staged_parts(layout: Layout, rows: pa.Schema, key: Sequence[str]) -> list[str]:
    parts = [
        f"{quoted(field.name)} {column_type(field, layout)} {'NOT NULL' if field.name in key else 'NULL'}"
        for field in rows
    ]
    return [*parts, *(key_parts(layout, key) if key else [])]


# --- rows out, and merged -----------------------------------------------------------------------


def select(rows: pa.Schema, source: str) -> str:
    chosen = ", ".join(
        f"{selected(field, 's' if field.name.startswith('_ra_') else 't')} AS c{at}"
        for at, field in enumerate(rows)
    )
    return f"SELECT {chosen} FROM {source}"


def same(layout: Layout, key: Sequence[str]) -> str:
    """Rows `s` and `t` have one key. Both tables have the lengths as columns of their keys."""
    names = [*key, *(length_of(key, name) for name in key if is_sized(layout, name))]
    return " AND ".join(f"{quoted('t', name)} = {quoted('s', name)}" for name in names)


def delete_older(layout: Layout, name: str, id_range: str, *, whatever: bool) -> str:
    older = "" if whatever else f" AND ({is_older(quoted)})"
    return (
        f"DELETE t FROM {staged(name)} AS s INNER LOOP JOIN {named(layout.place)} AS t"
        f" ON {same(layout, layout.key)} WHERE {quoted('t', ID_RANGE)} = {text(id_range)}{older}"
    )


def insert_missing(layout: Layout, name: str, names: Sequence[str]) -> str:
    return (
        f"INSERT INTO {named(layout.place)} ({listed(names)}) SELECT {listed(names, 's')}"
        f" FROM {staged(name)} AS s LEFT LOOP JOIN {named(layout.place)} AS t"
        f" ON {same(layout, layout.key)} WHERE {quoted('t', layout.key[0])} IS NULL"
    )


def delete_copies(layout: Layout, name: str, id_range: str) -> str:
    table, row, content = named(layout.place), quoted(ROW_ID), quoted(CONTENT)
    return (
        f"DELETE d FROM (SELECT t.{row}, s.copies, ROW_NUMBER() OVER"
        f" (PARTITION BY t.{content} ORDER BY t.{row}) AS copy"
        f" FROM {staged(name)} AS s INNER LOOP JOIN {table} AS t ON t.{content} = s.{content}"
        f" WHERE t.{quoted(ID_RANGE)} = {text(id_range)}) AS f"
        f" INNER LOOP JOIN {table} AS d ON d.{row} = f.{row} WHERE f.copy <= f.copies"
    )
