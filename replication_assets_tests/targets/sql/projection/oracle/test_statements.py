"""Every statement for Oracle is one of its dialect, and names stay names in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp
from sqlglot.dialects import Oracle

from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import TargetError
from replication_assets.targets.sql.projection.database import DELETES
from replication_assets.targets.sql.projection.layout import Layout, Place
from replication_assets.targets.sql.projection.oracle import names, statements
from replication_assets.targets.sql.projection.oracle.types import column_type
from replication_assets.targets.sql.projection.values import carriers
from replication_assets_tests.targets.sql.projection.test_types import VALUES

HOSTILE = ("a]", "'; DROP TABLE t--", "x'y", "[", "a.b", "  ", "é\n-- ", "/*", ":p", "%s", "{0}", "?", "_x")
NAMES = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters='\0"'), min_size=1, max_size=12),
)
UNKNOWN = ("ALTER SESSION", "COMMENT ON", "CREATE TRIGGER", "BEGIN ", "DECLARE ", "SET TRANSACTION")


def layouts(place: Place, column: str) -> tuple[Layout, Layout]:
    """With every type and a key of texts, and without a key."""
    key = (f"{column}1", f"{column}2")
    columns = (
        Column(key[0], "text", pa.string()),
        Column(key[1], "timestamptz", pa.timestamp("us", tz="UTC")),
        *(Column(f"{column}{name}", kind, arrow) for name, (kind, arrow, _) in VALUES.items()),
    )
    return Layout(place, TableSchema(columns, key)), Layout(place, TableSchema(columns))


def every(schema: str, table: str, column: str) -> Iterator[str]:
    """Everything that is sent about a table and its columns."""
    place = Place(schema, table)
    keyed, keyless = layouts(place, column)
    yield from (*statements.SETTINGS, statements.SNAPSHOT, statements.CHARACTER_SET)
    yield from (statements.LOCK_MAKING, statements.RELEASE_MAKING)
    for about in (statements.columns, statements.indexes, statements.types, statements.foreign_keys):
        yield about(place)
    yield statements.has_schema(schema)
    yield statements.create_index(schema, column, names.named(place), (column, "x"))
    yield statements.create_trigger(place, column)
    yield statements.comment(place, column, column)
    parts = [f"{names.quoted(each.name)} {column_type(each, keyed)}" for each in keyed.rows]
    yield statements.create_table(names.named(place), [*parts, f"PRIMARY KEY ({names.listed(keyed.key)})"])
    yield statements.add_columns(place, parts)
    yield statements.add_foreign_key(place, column, (column,), place, (column,))
    yield statements.drop_table(place)
    for layout in (keyed, keyless):
        rows = carriers(layout.rows)
        yield statements.create_staged(DELETES, rows, layout)
        yield statements.insert(names.named(place), rows, layout)
        ranges = f'{names.named(place)} t WHERE t."_id_range" IN ({names.text(column)})'
        yield statements.select(rows, ranges, layout)
    yield statements.delete_older(keyed, DELETES, column, whatever=False)
    yield statements.delete_older(keyed, DELETES, column, whatever=True)
    yield statements.insert_missing(keyed, DELETES, carriers(keyed.rows).names)
    yield statements.delete_copies(keyless, DELETES, column)


def parsed(statement: str) -> exp.Expression:
    """Private temporary tables, the schema of an index and DISABLE NOVALIDATE are beyond the parser."""
    statement = re.sub(r'^CREATE INDEX "[^"]*"\.', "CREATE INDEX ", statement)
    statement = re.sub(r"(?<=[( ]):(\d+)", r":b\1", statement)
    known = statement.replace("CREATE PRIVATE TEMPORARY", "CREATE GLOBAL TEMPORARY")
    known = known.replace("DROP DEFINITION", "DELETE ROWS").replace(" DISABLE NOVALIDATE", "")
    known = re.sub(r"VARCHAR2\((\d+) BYTE\)", r"VARCHAR2(\1)", known)
    return sqlglot.parse_one(known, dialect="oracle", error_level=sqlglot.ErrorLevel.RAISE)


def test_every_statement_is_of_the_dialect() -> None:
    for statement in every("PUBLIC", "orders", "id"):
        if statement.startswith("CREATE TRIGGER"):
            for body in re.findall(r'UPDATE "PUBLIC".*?(?=; END IF)', statement):
                assert isinstance(parsed(body.replace(":OLD.", "old.").replace(":NEW.", "new.")), exp.Update)
        elif not statement.startswith(UNKNOWN):
            assert not isinstance(parsed(statement), exp.Command), statement


@given(schema=NAMES, table=NAMES, column=NAMES)
@settings(max_examples=15)
def test_names_stay_names_in_every_statement(schema: str, table: str, column: str) -> None:
    for expected, found in zip(every("s", "t", "c"), every(schema, table, column), strict=True):
        kinds, wanted = (
            [token.token_type for token in Oracle().tokenize(each)] for each in (found, expected)
        )
        assert kinds == wanted, found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_quoted_name_and_a_constant_are_read_back(name: str) -> None:
    query = parsed(f"SELECT {names.quoted('x', name)}, {names.text(name)} FROM {names.quoted(name, name)}")
    assert isinstance(query, exp.Select)
    assert [column.name for column in query.find_all(exp.Column)] == [name]
    assert query.expressions[1].this == name
    (table,) = query.find_all(exp.Table)
    assert (table.db, table.name) == (name, name)


@pytest.mark.parametrize("name", ["", 'a"b', "a\0", "é" * 65])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(TargetError, match="no name of Oracle"):
        names.quoted("s", name)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.integers(0, 900))
def test_a_long_constant_is_pieces_that_fit_and_are_the_whole(word: str, times: int) -> None:
    value = word * times
    text = names.text(value)
    pieces = re.findall(r"'((?:[^']|'')*)'", text)
    assert "".join(piece.replace("''", "'") for piece in pieces) == value
    assert all(len(piece.replace("''", "'").encode()) <= 4_000 for piece in pieces)


def test_the_only_statements_with_binds_are_those_of_rows() -> None:
    placed = [each for each in every("PUBLIC", "orders", "id") if re.search(r"[( ]:\d", each)]
    assert {each.split(" (")[0] for each in placed} == {'INSERT INTO "PUBLIC"."orders"'}
