"""Everything that is sent is Transact-SQL as a parser of the dialect knows it, whatever names are in it.

The parser (sqlglot) is no SQL Server: it knows the grammar, and nothing of which columns there are. What it
does not know is rewritten here to the nearest that it does, and listed.
"""

from __future__ import annotations

import re

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp
from sqlglot.dialects.tsql import TSQL

from replication_assets.core.schema import TableId
from replication_assets.sources.sqlserver.sessions import SqlServerConnection
from replication_assets.sources.sqlserver.statements import server
from replication_assets.sources.sqlserver.statements.names import hexadecimal, literal, quoted
from replication_assets_tests.sources.sqlserver.all_statements import statements

HOSTILE = ("a]", "]]; DROP TABLE t--", "x'y", 'q"', "[", "a.b", "  ", "é\n-- ", "/*", "@p", "%s", "{0}", "?")
names = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=12),
)

COMMANDS = ("ALTER DATABASE CURRENT SET CHANGE_TRACKING", "ALTER TABLE ")
"""Beginnings of statements that the parser takes without looking inside."""
UNKNOWN = (server.SNAPSHOT,)
"""Constant statements that it does not know."""


def parsed(statement: str) -> list[exp.Expression]:
    known = statement.replace("CHANGETABLE(CHANGES ", "CHANGETABLE(")
    known = re.sub(r"^DENY (.*) TO ", r"GRANT \1 TO ", known, flags=re.DOTALL)
    found = sqlglot.parse(known, dialect="tsql", error_level=sqlglot.ErrorLevel.RAISE)
    return [each for each in found if each is not None]


def refuse_what_is_not_known(statement: str) -> None:
    if statement in UNKNOWN:
        return
    for each in parsed(statement):
        if isinstance(each, exp.Command) and each.name.upper() in ("ALTER",):
            assert statement.startswith(COMMANDS), statement


def test_every_statement_is_of_the_dialect() -> None:
    for statement in statements(TableId("erp", "dbo", "orders"), "id"):
        refuse_what_is_not_known(statement)


@given(schema=names, table=names, column=names)
@settings(max_examples=15)
def test_names_stay_names_in_every_statement(schema: str, table: str, column: str) -> None:
    plain = list(statements(TableId("erp", "s", "t"), "c"))
    hostile = list(statements(TableId("erp", schema, table), column))
    for expected, found in zip(plain, hostile, strict=True):
        kinds, wanted = ([token.token_type for token in TSQL().tokenize(each)] for each in (found, expected))
        assert kinds == wanted, found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_quoted_name_is_read_back(name: str) -> None:
    (query,) = parsed(f"SELECT {quoted('x', name)} FROM {quoted(name, name)}")
    assert [column.name for column in query.find_all(exp.Column)] == [name]
    (table,) = query.find_all(exp.Table)
    assert (table.db, table.name) == (name, name)


@given(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30))
def test_a_constant_is_read_back(text: str) -> None:
    (query,) = parsed(f"SELECT {literal(text)}")
    (found,) = query.expressions
    assert found.this == text


def test_a_binary_constant_is_read_back() -> None:
    (query,) = parsed(f"SELECT {hexadecimal(bytes([0, 255, 16]))}")
    assert query.expressions[0].this in ("00ff10", str(0xFF10))


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=20))
def test_a_password_cannot_leave_its_place_in_a_connection_string(password: str) -> None:
    from mssql_python.connection_string_parser import _ConnectionStringParser

    connection = SqlServerConnection("h", "d;Encrypt=no", "u", password)
    found = _ConnectionStringParser(validate_keywords=True)._parse(connection.connection_string())
    assert (found.get("pwd", ""), found["encrypt"], found["database"]) == (password, "yes", "d;Encrypt=no")


def test_a_password_is_in_no_repr() -> None:
    assert "canary-7f3" not in repr(SqlServerConnection("h", "d", "u", "canary-7f3"))
