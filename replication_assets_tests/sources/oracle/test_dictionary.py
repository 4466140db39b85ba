"""What is read from the data dictionary: columns, keys, structure, bounds, writers, plans, the log."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableId
from replication_assets.errors import SlotBusy, SourceNotReady
from replication_assets.ports import SourceIdentity
from replication_assets.sources.oracle.source import OracleSource
from replication_assets.sources.oracle.statements import catalog, log, rows
from replication_assets.sources.oracle.status import capture_lock
from replication_assets_tests.sources.oracle.recorded import (
    KEY,
    ORDERS,
    TABLE,
    Answer,
    RecordedServer,
    column,
    dictionary,
    ready,
)


def source(answers: dict[str, Answer]) -> OracleSource:
    return OracleSource("erp", RecordedServer(answers))


def test_columns_and_primary_key_are_reflected_and_virtual_columns_left_out() -> None:
    columns = [
        *ORDERS,
        column("TOTAL", "NUMBER", virtual=True),
        column("SECRET", "RAW", length=4, hidden=True),
    ]
    found = source(dictionary(columns)).reflect(TABLE)
    assert [(c.name, c.source_type, c.nullable) for c in found.columns] == [
        ("ID", "NUMBER(9)", False),
        ("AMOUNT", "NUMBER(10,2)", True),
        ("NOTE", "VARCHAR2(100)", True),
        ("SECRET", "RAW(4)", True),
    ]
    assert (found.key, found.not_replicated) == (("ID",), ("TOTAL",))


def test_a_number_in_the_primary_key_is_whole_and_another_is_not() -> None:
    columns = [column("ID", "NUMBER", nullable=False), column("N", "NUMBER")]
    found = source(dictionary(columns)).reflect(TABLE)
    assert [c.arrow for c in found.columns] == [pa.decimal128(38, 0), pa.decimal128(38, 10)]


def test_everything_that_is_wrong_with_a_table_is_told_at_once() -> None:
    columns = [column("ID", "NUMBER"), column("id", "NUMBER"), column("_OP", "DATE")]
    answers = dictionary([*columns, column("PLACE", "SDO_GEOMETRY", owner="MDSYS")])
    answers[rows.probe("SALES", "ORDERS")] = SourceNotReady("ORA-01031: a privilege is missing")
    with pytest.raises(SourceNotReady) as caught:
        source(answers).reflect(TABLE, key=["NONE"])
    for part in ("5 problems", 'GRANT READ, FLASHBACK ON "SALES"."ORDERS" TO "REPLICATOR"', "_OP", "'id'"):
        assert part in str(caught.value)
    for part in ("MDSYS.SDO_GEOMETRY", "'NONE' does not exist"):
        assert part in str(caught.value)


def test_a_missing_table_is_told_with_how_to_spell_it() -> None:
    with pytest.raises(SourceNotReady, match="upper case"):
        source(dictionary()).reflect(TableId("erp", "SALES", "orders"))


def test_views_and_odd_tables_are_not_captured() -> None:
    assert source(dictionary()).is_captured(TABLE)
    assert not source(dictionary(kind="VIEW")).is_captured(TABLE)
    both = dictionary()
    both[catalog.RELATION] = [
        ("MATERIALIZED VIEW", *[None] * 7),
        ("TABLE", 3, None, "N", "NO", None, "NO", "YES"),
    ]
    assert not source(both).is_captured(TABLE)


def test_a_structure_has_what_a_copy_must_have() -> None:
    key = [
        *KEY,
        ("FK_C", "R", "NOTE", "SALES", "CODES", "CODE", "CASCADE", "DEFERRABLE", "DEFERRED"),
        ("UQ_A", "U", "AMOUNT", None, None, None, None, "NOT DEFERRABLE", "IMMEDIATE"),
    ]
    columns = [
        column("ID", "NUMBER", precision=9, scale=0, nullable=False, identity=True, default=20),
        column("AMOUNT", "NUMBER", precision=10, scale=2, default=1),
        column("NOTE", "VARCHAR2", length=100, characters=100),
        column("TWICE", "NUMBER", virtual=True, default=10),
        column("AT", "TIMESTAMP(6) WITH TIME ZONE", length=13, hidden=True),
    ]
    answers = dictionary(columns, key) | {
        catalog.DEFAULTS: [("ID", '"SALES"."ISEQ$$_1".nextval'), ("AMOUNT", "0 "), ("TWICE", '"AMOUNT"*2')],
        catalog.CHECKS: [("SYS_C1", '"ID" IS NOT NULL'), ("CK", "amount >= 0")],
        catalog.INDEXES: [
            ("SALES", "PK_ORDERS", "NORMAL", "UNIQUE", "VALID", "VISIBLE", "ID", "ASC"),
            ("SALES", "IX_N", "NORMAL", "NONUNIQUE", "VALID", "VISIBLE", "NOTE", "ASC"),
            ("SALES", "IX_F", "FUNCTION-BASED NORMAL", "UNIQUE", "VALID", "VISIBLE", "SYS_NC00007$", "DESC"),
            ("SALES", "SYS_IL1", "LOB", "UNIQUE", "VALID", "VISIBLE", "NOTE", "ASC"),
        ],
        catalog.TRIGGERS: [("ORDERS_BI",)],
        catalog.COLUMN_COMMENTS: [("NOTE",)],
        catalog.TABLE_COMMENT: [(1,)],
    }
    found = source(answers).structure(TABLE)
    assert found.engine == "oracle"
    assert [(c.name, c.type, c.default, c.identity, c.generated) for c in found.columns] == [
        ("ID", "NUMBER(9)", None, "by default", None),
        ("AMOUNT", "NUMBER(10,2)", "0", None, None),
        ("NOTE", "VARCHAR2(100 CHAR)", None, None, None),
        ("TWICE", "NUMBER", None, None, '"AMOUNT"*2'),
        ("AT", "TIMESTAMP(6) WITH TIME ZONE", None, None, None),
    ]
    assert found.primary_key is not None
    assert [key.name for key in found.unique_keys] == ["UQ_A"]
    (parent,) = found.foreign_keys
    assert (parent.parent.name, parent.referred, parent.on_delete, parent.initially_deferred) == (
        "CODES",
        ("CODE",),
        "CASCADE",
        True,
    )
    assert [(index.name, index.columns) for index in found.indexes] == [("IX_N", ("NOTE",)), ("IX_F", ())]
    assert "(an expression) DESC" in (found.indexes[1].definition or "")
    assert [check.name for check in found.checks] == ["CK"]
    assert found.others == (
        "a comment on column NOTE",
        "a comment on the table",
        "column AT being invisible",
        "trigger ORDERS_BI",
    )
    assert source(dictionary(kind="VIEW")).structure(TABLE).only_columns == "a view"


def test_bounds_and_quantiles_are_keys() -> None:
    answers = dictionary() | {rows.bounds("SALES", "ORDERS", "ID"): [("-5", "12")]}
    bounds = source(answers).bounds(TABLE, "ID")
    assert (bounds.low, bounds.high, bounds.rows) == (-5, 12, 3)
    answers[rows.quantiles("SALES", "ORDERS", "ID", sampled=False)] = [("1",), ("1",), ("7",), ("12",)]
    assert source(answers).quantiles(TABLE, "ID", 4) == (1, 7)
    with pytest.raises(SourceNotReady, match="use one of ID, NOTE"):
        source(answers).bounds(TABLE, "AMOUNT")
    with pytest.raises(SourceNotReady, match="orders otherwise"):
        source(answers | {catalog.CHARACTER_SET: [("WE8ISO8859P15",)]}).bounds(TABLE, "NOTE")


def plan(answers: dict[str, Answer], *lines: tuple[object, ...]) -> OracleSource:
    query = rows.select(['"ID"', '"AMOUNT"', '"NOTE"'], "SALES", "ORDERS", '"ID" >= :lo AND "ID" < :hi', None)
    return source(
        answers
        | {
            rows.explain("REPLICATION_ASSETS", query, {"lo": 10, "hi": 20}): [],
            catalog.EXPLAINED: lines,
            catalog.FORGET_PLAN: [],
        }
    )


def test_a_plan_that_scans_is_told_with_the_index_that_would_serve() -> None:
    cut = IdRange("r000001", 1, 10, 20)
    answers = dictionary()
    schema = source(answers).reflect(TABLE)
    scan = (1, "TABLE ACCESS", "FULL", "SALES", "ORDERS", "TABLE")
    told = plan(answers, (0, "SELECT STATEMENT", None, None, None, None), scan).range_plan(
        TABLE, schema, "ID", cut
    )
    assert told.scanned == ('"SALES"."ORDERS"',)
    assert told.index == 'CREATE INDEX "SALES"."IX_ID" ON "SALES"."ORDERS" ("ID")'
    assert told.told == ("0 SELECT STATEMENT", "1 TABLE ACCESS FULL SALES.ORDERS")
    served = (1, "TABLE ACCESS", "BY INDEX ROWID BATCHED", "SALES", "ORDERS", "TABLE")
    assert plan(answers, served).range_plan(TABLE, schema, "ID", cut).index is None


def test_the_plan_of_a_view_advises_on_the_table_beneath() -> None:
    cut = IdRange("r000001", 1, 10, 20)
    base = (1, "TABLE ACCESS", "FULL", "SALES", "ORDERS_T", "TABLE")

    def columns(binds: object) -> object:
        return ORDERS

    answers = dictionary(kind="VIEW") | {
        catalog.COLUMNS: columns,
        catalog.DEPENDENCIES: [("SALES", "ORDERS_T"), ("SALES", "CODES")],
    }
    found = plan(answers, base)
    schema = found.reflect(TABLE)
    told = found.range_plan(TABLE, schema, "ID", cut)
    assert told.index == 'CREATE INDEX "SALES"."IX_ID" ON "SALES"."ORDERS_T" ("ID")'
    answers[catalog.COLUMNS] = lambda binds: ORDERS if binds["name"] == "ORDERS" else []
    told = plan(answers, base).range_plan(TABLE, schema, "ID", cut)
    assert (told.index, "does not pass ID on" in told.reason) == (None, True)


def test_writers_are_told_with_their_tables_and_their_ending() -> None:
    locks = [
        (1, 20, 5, "APP", "sqlplus", "INACTIVE", 12, "SALES", "ORDERS"),
        (1, 20, 5, "APP", "sqlplus", "INACTIVE", 12, "SALES", "CODES"),
        (2, 7, 9, "APP", None, "ACTIVE", 3, "OTHER", "TABLE"),
    ]
    answers = dictionary() | {catalog.WRITERS: locks, catalog.IN_DOUBT: [("1.2.3", "prepared")]}
    one, doubtful = source(answers).writers([TABLE])
    assert (one.session, one.seconds, one.tables) == ("session 20,5,@1", 12.0, (TABLE,))
    assert one.ending == "ALTER SYSTEM KILL SESSION '20,5,@1' IMMEDIATE;"
    assert doubtful.ending == "ROLLBACK FORCE '1.2.3';"


def test_statements_that_stop_writes_name_tables_and_grants() -> None:
    answers = dictionary() | {catalog.TABLE_GRANTS: [("APP", "INSERT"), ("APP", "UPDATE")]}
    told = source(answers).stop_writes([TABLE])
    assert 'ALTER TABLE "SALES"."ORDERS" READ ONLY;' in told
    assert 'REVOKE INSERT, UPDATE ON "SALES"."ORDERS" FROM "APP";' in told


def test_which_log_it_is_changes_with_resetlogs() -> None:
    assert source(ready()).identify() == SourceIdentity("4711", 1_000)


def test_status_and_what_remains_tell_of_the_reader() -> None:
    answers = ready() | {log.RETAINED: [(2**30, 1_000, dt.datetime(2026, 1, 1))], log.READER: [(1, 99, 4)]}
    found = source(answers).status()
    assert (found.head, found.confirmed, found.retained_bytes) == (500_000, None, 2**30)
    assert (found.active, found.state) == (True, "available")
    assert source(answers).remains() == ("session 99,4,@1 reads the redo log for this capture",)
    with pytest.raises(SlotBusy, match="stop the capture first"):
        source(answers).teardown()
    answers[log.kill(1, 99, 4)] = SourceNotReady("ORA-01031: a privilege is missing")
    with pytest.raises(SlotBusy, match="ALTER SYSTEM KILL SESSION"):
        source(answers).teardown(force=True)
    gone = source(answers | {log.READER: []})
    gone.teardown()
    assert gone.remains() == ()


def test_captures_of_two_sources_hold_two_locks() -> None:
    assert capture_lock("erp") != capture_lock("crm")
    assert 0 <= capture_lock("erp") < 2**30


def test_partitions_that_went_are_told() -> None:
    answers = dictionary() | {catalog.PARTITIONS: [(71, "ORDERS/P1"), (72, "ORDERS/P2")]}
    tree = source(answers).partition_tree(TABLE, ((70, "ORDERS/P0"), (71, "ORDERS/P1")))
    assert tree is not None
    assert "ORDERS/P0" in tree.reason
    assert source(dictionary() | {catalog.PARTITIONS: []}).partition_tree(TABLE, None) is None


def test_a_column_with_a_default_asks_for_a_load_and_one_without_does_not() -> None:
    known = source(dictionary()).reflect(TABLE)
    plain = source(dictionary([*ORDERS, column("EXTRA", "VARCHAR2", characters=5)]))
    found = plain.difference(TABLE, known, plain.reflect(TABLE))
    assert found is not None
    assert (found.reload, found.added) == (False, ("EXTRA",))
    filled = source(dictionary([*ORDERS, column("EXTRA", "VARCHAR2", characters=5, default=3)]))
    found = filled.difference(TABLE, known, filled.reflect(TABLE))
    assert found is not None
    assert found.reload
    wider = source(dictionary([*ORDERS[:2], column("NOTE", "VARCHAR2", characters=200)]))
    found = wider.difference(TABLE, known, wider.reflect(TABLE))
    assert found is not None
    assert not found.reload
    assert plain.difference(TABLE, known, known) is None
