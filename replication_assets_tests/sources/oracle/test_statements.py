"""Every statement is one of Oracle's dialect, and no name or value gets out of its place in it.

What sqlglot's dialect does not know of the documented language is listed, statement by statement.
"""

from __future__ import annotations

import logging
from types import ModuleType

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import SourceNotReady
from replication_assets.sources.oracle import preflight
from replication_assets.sources.oracle.logminer.row_keys import conditions
from replication_assets.sources.oracle.select_list import read_expression
from replication_assets.sources.oracle.statements import catalog, log, mending, rows
from replication_assets.sources.oracle.statements.names import quoted
from replication_assets.sources.oracle.types import column_of

NOT_SQL = frozenset({"_CONTENTS", "KEEP_ARCHIVED", "UNDO_RETENTION"})
"""Parts of statements, and a line for RMAN."""

BLOCKS = frozenset({"FENCE", "ADD_FIRST_FILE", "ADD_FILE", "START", "TAKE_LOCK"})
"""Anonymous PL/SQL blocks: sqlglot parses SQL alone."""

OPAQUE = ("ALTER ", "GRANT ", "REVOKE ", "EXPLAIN PLAN ", "ROLLBACK FORCE ", "CREATE INDEX ")
"""What sqlglot takes as it stands: administrative statements, and an index with an owner."""

UNKNOWN = {
    "XMLTYPE": 'XMLSERIALIZE(CONTENT "A B" AS CLOB)',
    "JSON": 'JSON_SERIALIZE("A B" RETURNING CLOB)',
    "VECTOR": 'FROM_VECTOR("A B" RETURNING CLOB)',
}
"""Documented (SQL Language Reference), and unknown to sqlglot: by type, letter by letter."""

NAMES = st.text(min_size=1, max_size=30).filter(
    lambda name: (
        '"' not in name
        and "\0" not in name
        and len(name.encode(errors="replace")) <= 120
        and not any("\ud800" <= character <= "\udfff" for character in name)
    )
)


def parsed(statement: str) -> exp.Expression:
    found = sqlglot.parse(statement, read="oracle")
    assert len(found) == 1
    assert found[0] is not None
    assert not isinstance(found[0], exp.Command), statement
    return found[0]


def constants(module: ModuleType) -> list[tuple[str, str]]:
    return [
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, str) and name.strip("_").isupper() and not name.startswith("__")
    ]


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        each
        for module in (catalog, log)
        for each in constants(module)
        if each[0] not in BLOCKS and each[0] not in NOT_SQL
    ],
)
def test_a_fixed_statement_parses(name: str, statement: str) -> None:
    assert isinstance(parsed(statement), exp.Select | exp.Union | exp.Delete)


def test_blocks_call_what_is_documented_and_bind_every_value() -> None:
    texts = {name: text for name, text in constants(log) if name in BLOCKS}
    assert set(texts) == BLOCKS
    for text in texts.values():
        assert text.endswith("END;")
        assert "'" not in text


@pytest.mark.parametrize("probe", preflight.VIEW_PROBES)
def test_a_probe_of_a_view_parses_and_reads_nothing(probe: str) -> None:
    assert parsed(probe).args["where"] is not None


@pytest.mark.parametrize(
    "native",
    [
        *("NUMBER", "NUMBER(9)", "NUMBER(10,2)", "NUMBER(5,-2)", "NUMBER(2,5)", "NUMBER(*,0)", "FLOAT(126)"),
        *("BINARY_FLOAT", "BINARY_DOUBLE", "DATE", "TIMESTAMP(0)", "TIMESTAMP(9)", "BOOLEAN", "RAW(16)"),
        *("TIMESTAMP(6) WITH TIME ZONE", "TIMESTAMP(3) WITH LOCAL TIME ZONE", "INTERVAL YEAR(2) TO MONTH"),
        *("INTERVAL DAY(2) TO SECOND(6)", "CHAR(3)", "NVARCHAR2(9)", "CLOB", "NCLOB", "BLOB", "LONG"),
        *("LONG RAW", "ROWID", "UROWID", "XMLTYPE", "JSON", "VECTOR"),
    ],
)
def test_what_is_read_of_a_column_parses(native: str) -> None:
    expression = read_expression(column_of("A B", native, True))
    if native in UNKNOWN:
        assert expression == UNKNOWN[native]
        return
    select = parsed(rows.select([expression], "S", "T", '"A B" >= :lo', "scn"))
    assert [each.name for each in select.find_all(exp.Column)] == ["A B", "A B"]
    assert {each.name for each in select.find_all(exp.Placeholder)} == {"scn", "lo"}


@settings(max_examples=8)
@given(NAMES, NAMES, NAMES)
def test_no_name_gets_out_of_its_quotes(owner: str, name: str, column: str) -> None:
    statements = [
        rows.select([quoted(column)], owner, name, f"{quoted(column)} < :hi", "scn"),
        rows.probe(owner, name),
        rows.flashback_probe(owner, name),
        rows.bounds(owner, name, column),
        rows.count(owner, name),
        rows.quantiles(owner, name, column, sampled=True),
    ]
    for statement in statements:
        tables = list(parsed(statement).find_all(exp.Table))
        told = {(each.db, each.name) for each in tables if each.name != "DUAL"}
        assert told == {(owner, name)}
    explained = rows.explain("X", statements[0].replace(" AS OF SCN :scn", ""), {"hi": "it's"})
    inner = parsed(explained.partition(" FOR ")[2])
    assert [each.this for each in inner.find_all(exp.Literal)] == ["it's"]
    assert {each.name for each in inner.find_all(exp.Column)} == {column}


@settings(max_examples=8)
@given(NAMES, NAMES, st.lists(NAMES, min_size=1, max_size=3, unique=True), st.integers(1, 16))
def test_rows_are_found_by_keys_that_are_bound(owner: str, name: str, key: list[str], count: int) -> None:
    types = ("NUMBER(9)", "DATE", "RAW(16)")
    columns = tuple(column_of(each, kind, False) for each, kind in zip(key, types, strict=False))
    text, binds = conditions(TableSchema(columns, tuple(key)), [("it's :x",) * len(key)] * count)
    found = parsed(rows.select([quoted(each) for each in key], owner, name, text, "scn"))
    assert {(each.db, each.name) for each in found.find_all(exp.Table)} == {(owner, name)}
    assert {each.name for each in found.find_all(exp.Placeholder)} == {"scn", *binds}
    assert len(binds) == count * len(key)
    assert {each.name for each in found.find_all(exp.Column)} == set(key)


@given(NAMES, NAMES)
def test_statements_for_people_quote_as_well(owner: str, name: str) -> None:
    told = [
        mending.supplemental(owner, name),
        mending.read_only(owner, name),
        mending.create_index(owner, name, "C"),
        mending.logging(owner, name),
        mending.primary_key(owner, name),
        mending.grant_object("READ, FLASHBACK", owner, name, "U"),
        mending.revoke(["INSERT"], owner, name, "U"),
        mending.grant_system("LOGMINING", name),
    ]
    logging.disable(logging.WARNING)
    try:
        for statement in told:
            assert statement.startswith(OPAQUE)
            assert quoted(name) in statement
            # One statement, as far as its tokens tell.
            assert len(sqlglot.tokenize(statement, read="oracle")) < 16
    finally:
        logging.disable(logging.NOTSET)


@settings(max_examples=5)
@given(st.integers(1, 4), st.sampled_from([0, 1, 2_500]), st.booleans(), st.booleans())
def test_what_is_mined_parses_whatever_the_tables(
    tables: int, objects: int, container: bool, xid: bool
) -> None:
    found = parsed(log.contents(tables, range(objects), container=container, xid=xid))
    bound = {each.name for each in found.find_all(exp.Placeholder)}
    wanted = {"first", "last", *(f"{letter}{each}" for letter in "on" for each in range(tables))}
    assert bound == wanted | ({"container"} if container else set()) | ({"xid"} if xid else set())
    assert all(len(each.expressions) <= 1000 for each in found.find_all(exp.In))


@pytest.mark.parametrize("name", ["", 'a"b', "a\0b", "x" * 129])
def test_a_name_that_oracle_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(SourceNotReady, match="no name of Oracle"):
        quoted(name)


def test_a_column_is_read_by_its_quoted_name() -> None:
    assert read_expression(Column("a.b", "DATE", column_of("a", "DATE", True).arrow)) == (
        "TO_CHAR(\"a.b\", 'SYYYY-MM-DD HH24:MI:SS')"
    )
