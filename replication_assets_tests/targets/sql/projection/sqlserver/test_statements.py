"""Every statement for SQL Server is one of its dialect, and names stay names in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp
from sqlglot.dialects import TSQL

from replication_assets.core.schema import Column, TableSchema
from replication_assets.targets.sql.projection.database import DELETES
from replication_assets.targets.sql.projection.layout import Layout, Place
from replication_assets.targets.sql.projection.sqlserver import names, statements
from replication_assets.targets.sql.projection.sqlserver.types import column_type
from replication_assets.targets.sql.projection.values import carriers
from replication_assets_tests.targets.sql.projection.test_types import VALUES

HOSTILE = ("a]", "]]; DROP TABLE t--", "x'y", 'q"', "[", "a.b", "  ", "é\n-- ", "/*", "@p", "%s", "{0}", "?")
NAMES = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12),
)
COMMANDS = ("ALTER TABLE", "CREATE TRIGGER", "EXEC ", "IF ", "SET ")
"""Beginnings of statements that the parser takes without looking inside."""


def layouts(place: Place, column: str) -> tuple[Layout, Layout]:
    """With every type and a key of texts, and without a key."""
    key = (f"{column}1", f"{column}2")
    columns = (
        Column(key[0], "text", pa.string()),
        Column(key[1], "bytea", pa.binary()),
        *(Column(f"{column}{name}", kind, arrow) for name, (kind, arrow, _) in VALUES.items()),
    )
    return Layout(place, TableSchema(columns, key)), Layout(place, TableSchema(columns))


def every(schema: str, table: str, column: str) -> Iterator[str]:
    """Everything that is sent about a table and its columns."""
    place = Place(schema, table)
    keyed, keyless = layouts(place, column)
    yield from (*statements.SETTINGS, statements.SNAPSHOT, statements.READ_COMMITTED)
    yield from (statements.BEGIN, statements.COMMIT, statements.ROLLBACK, statements.LOCK_MAKING)
    yield from (statements.MAKE_PIECE, statements.HAND_OVER)
    for about in (
        statements.columns,
        statements.touch,
        statements.indexes,
        statements.types,
        statements.foreign_keys,
        statements.referring,
    ):
        yield about(place)
    yield from (statements.has_schema(schema), statements.create_schema(schema))
    yield statements.create_index(column, names.named(place), (column, "x"))
    yield statements.create_trigger(place, column)
    yield statements.describe_column(place, column, column)
    parts = [f"{names.quoted(each.name)} {column_type(each, keyed)} NULL" for each in keyed.rows]
    yield statements.add_columns(place, parts)
    yield statements.add_foreign_key(place, column, (column,), place, (column,))
    yield from (statements.disable_foreign_key(place, column), statements.drop_foreign_key(place, column))
    yield statements.drop_table(names.named(place))
    for layout in (keyed, keyless):
        rows = carriers(layout.rows)
        yield statements.create_table(
            names.staged(DELETES), statements.staged_parts(layout, rows, layout.key)
        )
        yield statements.insert_piece(names.named(place), rows) + statements.CHANGED
        yield statements.select(rows, f"{names.named(place)} t WHERE t.[_id_range] IN ({names.text(column)})")
    yield statements.delete_older(keyed, DELETES, column, whatever=False) + statements.CHANGED
    yield statements.delete_older(keyed, DELETES, column, whatever=True)
    yield statements.insert_missing(keyed, DELETES, carriers(keyed.rows).names)
    yield statements.delete_copies(keyless, DELETES, column)


def parsed(statement: str) -> list[exp.Expression]:
    """`PRIMARY KEY NONCLUSTERED` is beyond the parser."""
    known = re.sub(r"PRIMARY KEY (NON)?CLUSTERED", "PRIMARY KEY", statement)
    found = sqlglot.parse(known, dialect="tsql", error_level=sqlglot.ErrorLevel.RAISE)
    return [each for each in found if each is not None]


def test_every_statement_is_of_the_dialect() -> None:
    for statement in every("dbo", "orders", "id"):
        if statement.startswith("CREATE TRIGGER"):
            body = statement[statement.index("UPDATE r") : statement.rindex("; END")]
            assert isinstance(parsed(body)[0], exp.Update)
            continue
        if statement in (statements.SNAPSHOT, statements.ROLLBACK):
            continue
        for each in parsed(statement):
            if isinstance(each, exp.Command):
                assert statement.startswith(COMMANDS), statement


@given(schema=NAMES, table=NAMES, column=NAMES)
@settings(max_examples=15)
def test_names_stay_names_in_every_statement(schema: str, table: str, column: str) -> None:
    for expected, found in zip(every("s", "t", "c"), every(schema, table, column), strict=True):
        kinds, wanted = ([token.token_type for token in TSQL().tokenize(each)] for each in (found, expected))
        assert kinds == wanted, found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_quoted_name_and_a_constant_are_read_back(name: str) -> None:
    (query,) = parsed(f"SELECT {names.quoted('x', name)}, {names.text(name)} FROM {names.quoted(name, name)}")
    assert [column.name for column in query.find_all(exp.Column)] == [name]
    assert query.expressions[1].this == name
    (table,) = query.find_all(exp.Table)
    assert (table.db, table.name) == (name, name)


def test_the_only_statement_with_a_parameter_has_no_name_of_anybody() -> None:
    assert [each for each in every("dbo", "orders", "id") if "?" in each] == [statements.HAND_OVER]
    assert statements.HAND_OVER == "INSERT INTO [#_ra_piece] (piece) VALUES (?)"
