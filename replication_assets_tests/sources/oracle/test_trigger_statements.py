"""Statements of trigger capture are of Oracle's dialect, and no name gets out of its place in them.

sqlglot parses SQL; triggers and the procedure are PL/SQL, of which their parts are looked at.
"""

from __future__ import annotations

import logging
import re

import pytest
import sqlglot
from hypothesis import given, settings
from sqlglot import exp

from replication_assets.core.schema import TableId
from replication_assets.sources.oracle.statements import trigger_log as log
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.statements.names import quoted
from replication_assets.sources.oracle.statements.triggers import LogNames
from replication_assets.sources.oracle.types import column_of
from replication_assets_tests.sources.oracle.test_statements import NAMES, constants, parsed

LOG = LogNames.of("erp")
T = TableId("erp", "SALES", "ORDERS")
C = LOG.changes(7)
TYPES = (
    *("NUMBER", "NUMBER(9)", "NUMBER(10,2)", "NUMBER(*,0)", "FLOAT(126)", "BINARY_DOUBLE", "DATE"),
    *("TIMESTAMP(9)", "RAW(16)", "CHAR(3)", "NCHAR(3)", "VARCHAR2(4000)", "NVARCHAR2(9)", "ROWID"),
    *("TIMESTAMP(6) WITH TIME ZONE", "TIMESTAMP(3) WITH LOCAL TIME ZONE"),
)
COLUMNS = [column_of(f"c {place}", native, True) for place, native in enumerate(TYPES)]

WAITS = re.compile(r" WAIT \d+$")
"""`FOR UPDATE WAIT n`: documented, and sqlglot takes the number for its own kind of wait."""

QUERIES = {
    *(log.next_number(LOG), log.read_shapes(LOG), log.read_state(LOG), log.has_fence(LOG)),
    *(log.fences_after(LOG), log.is_unshown(LOG, C), log.is_unshown(LOG, C, "known"), log.is_empty(C)),
    *(log.count(C), log.marks_of(LOG), log.shape_marks(LOG), log.has_marks(LOG), log.lock_state(LOG)),
    log.read_changes(LOG, 7, COLUMNS),
}
WRITES = {
    *(
        log.add_shape(LOG),
        log.retire(LOG),
        log.retire_all(LOG),
        log.settled(LOG),
        log.keep_segments(LOG),
        log.confirm(LOG),
    ),
    *(log.forget_shape(LOG), log.add_mark(LOG), log.add_state(LOG), log.show(LOG, C), log.add_fence(LOG)),
    log.acknowledge(LOG),
}


@pytest.mark.parametrize("statement", [text for _, text in constants(sql) if "SELECT" in text])
def test_a_fixed_query_parses(statement: str) -> None:
    assert isinstance(parsed(statement), exp.Select)


@pytest.mark.parametrize("statement", sorted(QUERIES))
def test_a_query_of_the_log_parses(statement: str) -> None:
    found = parsed(WAITS.sub("", statement))
    assert isinstance(found, exp.Select)
    assert all(each.name == "DUAL" or each.name.startswith("RA_erp_") for each in found.find_all(exp.Table))


@pytest.mark.parametrize("statement", sorted(WRITES))
def test_a_write_to_the_log_parses_and_binds_every_value(statement: str) -> None:
    found = parsed(statement)
    assert isinstance(found, exp.Insert | exp.Update | exp.Delete)
    assert all(not each.is_string for each in found.find_all(exp.Literal))


@pytest.mark.parametrize("statement", [text for _, text in sql.create(LOG)])
def test_what_makes_the_log_parses(statement: str) -> None:
    found = parsed(statement)
    assert isinstance(found, exp.Create)
    assert re.match(LOG.ours, re.findall(r'"([^"]+)"', statement)[0].removesuffix("_F"))


@pytest.mark.parametrize(
    "statement",
    [log.trim(LOG, C), log.trim_shown(LOG), log.trim_fences(LOG)],
)
def test_trimming_deletes_some_rows_in_a_transaction_of_their_own(statement: str) -> None:
    inner = re.fullmatch(r"BEGIN (DELETE .*); :gone := SQL%ROWCOUNT; COMMIT; END;", statement)
    assert inner is not None
    found = parsed(inner[1])
    assert isinstance(found, exp.Delete)
    assert {each.name for each in found.find_all(exp.Placeholder)} == {"fence"}


def test_the_log_has_a_column_that_takes_every_value_of_each_type() -> None:
    assert isinstance(parsed(sql.create_changes(LOG, 7, COLUMNS)), exp.Create)
    kinds = dict(zip(TYPES, map(sql.log_type, COLUMNS), strict=True))
    # Padded to another number of bytes, a CHAR would be another value.
    assert (kinds["CHAR(3)"], kinds["NCHAR(3)"]) == ("VARCHAR2(3 CHAR)", "NVARCHAR2(3)")
    assert kinds["VARCHAR2(4000)"] == "VARCHAR2(4000 CHAR)"
    assert all(kinds[each] == each for each in TYPES if "CHAR" not in each)


@settings(max_examples=4)
@given(NAMES, NAMES, NAMES)
def test_no_name_gets_out_of_a_trigger(owner: str, name: str, column: str) -> None:
    table = TableId("erp", owner, name)
    text = sql.trigger(LOG, LOG.trigger(3), table, 7, [column], append_only=False)
    assert text.startswith(
        f'CREATE OR REPLACE TRIGGER "RA_erp_T3" AFTER INSERT OR UPDATE OR DELETE ON {quoted(owner, name)}'
    )
    insert = text.partition("END IF; ")[2].partition("; EXCEPTION")[0]
    assert insert.endswith(f"(SYSTIMESTAMP), :OLD.{quoted(column)}, :NEW.{quoted(column)})")
    plain = insert.replace(f":OLD.{quoted(column)}", ":o").replace(f":NEW.{quoted(column)}", ":n")
    assert isinstance(parsed(plain), exp.Insert)
    logging.disable(logging.WARNING)
    try:
        assert sqlglot.tokenize(sql.settle(table), read="oracle")[2].text == owner
        assert quoted(owner) in sql.grant_release(LOG, owner)
    finally:
        logging.disable(logging.NOTSET)


@settings(max_examples=4)
@given(NAMES)
def test_no_account_gets_out_of_a_literal(user: str) -> None:
    for text in (sql.guard(LOG, LOG.guard, user), sql.release(LOG, user)):
        assert "'" + user.replace("'", "''") + "'" in text
        assert text.endswith("END;")


def test_a_disabled_trigger_is_made_disabled_and_its_statement_ends_as_plsql_does() -> None:
    trial = sql.trigger(LOG, LOG.trial, T, 7, ["ID"], append_only=True, disabled=True)
    assert ' AFTER INSERT ON "SALES"."ORDERS" FOR EACH ROW DISABLE DECLARE ' in trial
    assert trial.endswith("END;")
    assert "BEFORE ALTER OR RENAME ON DATABASE DISABLE DECLARE" in sql.guard(
        LOG, LOG.trial, "R", disabled=True
    )


@pytest.mark.parametrize(
    ("statement", "is_refused"),
    [
        ("ALTER TABLE orders DROP COLUMN note", True),
        ("alter table orders drop (note, amount)", True),
        ("ALTER TABLE orders DROP /* now */\n COLUMN note", True),
        ("ALTER TABLE orders SET UNUSED (note)", True),
        ("ALTER TABLE orders RENAME COLUMN note TO word", True),
        ("ALTER TABLE orders RENAME TO old_orders", True),
        ("ALTER TABLE orders MODIFY (note DATE)", True),
        ("ALTER TABLE orders MODIFY note CLOB", True),
        ("ALTER TABLE orders ADD (extra VARCHAR2(10))", False),
        ("ALTER TABLE orders MODIFY (note VARCHAR2(400))", False),
        ("ALTER TABLE orders MODIFY (update_date NOT NULL)", False),
        ("ALTER TABLE orders DROP PARTITION p1", False),
        ("ALTER TABLE orders DROP CONSTRAINT c", False),
        ("ALTER TABLE orders TRUNCATE PARTITION p1", False),
        ("ALTER TABLE orders DISABLE ALL TRIGGERS", False),
        ("ALTER TABLE orders READ ONLY", False),
    ],
)
def test_the_guard_refuses_what_the_trigger_would_not_outlive(statement: str, is_refused: bool) -> None:
    """Its expressions are of a kind that Python and Oracle understand alike."""
    text = sql.guard(LOG, LOG.guard, "R")
    for pattern in (sql.COMMENTS, sql.GONE, sql.RETYPED):
        assert f"'{pattern}'" in text
    bare = re.sub(sql.COMMENTS, " ", statement, flags=re.DOTALL)
    gone = re.search(sql.GONE, bare, re.IGNORECASE) is not None
    retyped = re.search(sql.RETYPED, bare, re.IGNORECASE | re.DOTALL) is not None
    assert (gone or retyped) == is_refused


def test_the_guard_names_nothing_of_ours_that_could_go() -> None:
    text = sql.guard(LOG, LOG.guard, "R")
    assert not any(quoted(name) in text for name in (LOG.state, LOG.shapes, LOG.marks, LOG.fences, LOG.shown))


def test_names_of_two_sources_never_meet() -> None:
    other = LogNames.of("erp_c1")
    mine = [LOG.state, LOG.shapes, LOG.numbers, LOG.changes(1), LOG.trigger(1), LOG.guard, LOG.trial]
    theirs = [other.state, other.shapes, other.numbers, other.changes(1), other.trigger(1), other.guard]
    assert all(re.fullmatch(LOG.ours, name) for name in mine)
    assert not any(re.fullmatch(LOG.ours, name) for name in theirs)
    with pytest.raises(ValueError, match="too long"):
        LogNames.of("x" * 81)
