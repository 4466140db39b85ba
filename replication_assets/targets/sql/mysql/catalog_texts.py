"""What the server's catalog says around the rows of a copy, and which tables in it are of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from replication_assets.targets.sql.mysql.connection import literal, run
from replication_assets.targets.sql.mysql.places import INCOMING, OUTGOING, SYSTEM, Places
from replication_assets.targets.sql.records import Made

# Every column of the catalog in which somebody could have left a text, by the column of its database.
_TEXTS = (
    ("table_schema", "tables", ("table_name", "table_comment", "create_options")),
    (
        "table_schema",
        "columns",
        ("column_name", "column_default", "column_type", "column_comment", "generation_expression"),
    ),
    ("table_schema", "statistics", ("index_name", "column_name", "comment", "index_comment")),
    ("table_schema", "key_column_usage", ("constraint_name", "column_name", "referenced_column_name")),
    ("constraint_schema", "check_constraints", ("constraint_name", "check_clause")),
    ("table_schema", "views", ("table_name", "view_definition")),
    (
        "routine_schema",
        "routines",
        ("routine_name", "routine_definition", "routine_comment", "dtd_identifier"),
    ),
    ("trigger_schema", "triggers", ("trigger_name", "action_statement")),
    ("event_schema", "events", ("event_name", "event_definition", "event_comment")),
    ("table_schema", "partitions", ("partition_name", "partition_expression", "partition_description")),
)


def texts_of(connection: sa.Connection, databases: Sequence[str]) -> Iterator[str]:
    """Names, comments, defaults, types with their labels, checks, and sources of views and routines."""
    yield from databases
    if not databases:
        return
    within = ", ".join(literal(each) for each in databases)
    for schema, view, columns in _TEXTS:
        rows = run(
            connection,
            f"SELECT {', '.join(columns)} FROM information_schema.{view} WHERE {schema} IN ({within})",
        )
        for row in rows:
            yield from (_text(each) for each in row if each is not None)


def _text(found: object) -> str:
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def foreign_tables(connection: sa.Connection, places: Places, made: Sequence[Made]) -> tuple[str, ...]:
    """Tables and views below the prefix that no copy of ours has."""
    ours = {table for each in made for table in each.tables}
    shadows = {place for each in made if not each.tables for place in each.places}
    rows = run(connection, "SELECT table_schema, table_name FROM information_schema.tables")
    return tuple(
        f"{database}.{name}"
        for database, name in sorted(rows)
        if database.startswith(places.prefix)
        and database not in (*SYSTEM, places.records)
        and database not in shadows
        and not (database.endswith((INCOMING, OUTGOING)) and made)
        and (database, name) not in ours
    )
