"""What the source tells of tables besides rows: structure, plans of ranges, writers; and of the driver's
errors nothing but names."""

from __future__ import annotations

import datetime as dt

import mssql_python
import pytest

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableId
from replication_assets.core.structure import TableStructure
from replication_assets.errors import (
    DecodeError,
    LoadBlocked,
    SlotBusy,
    SourceError,
    SourceNotReady,
    SourceUnavailable,
)
from replication_assets.sources.sqlserver import lease
from replication_assets.sources.sqlserver.sessions import driver_errors
from replication_assets.sources.sqlserver.source import TrackingSource
from replication_assets.sources.sqlserver.statements import catalog, extent, server
from replication_assets.sources.sqlserver.statements.predicates import range_conditions
from replication_assets.sources.sqlserver.statements.values import select_rows
from replication_assets_tests.sources.sqlserver.captured import without_books
from replication_assets_tests.sources.sqlserver.recorded import (
    ID,
    Recorded,
    T,
    V,
    recorded_server,
    recorded_table,
)

CANARY = "canary-88d1"
RANGE = IdRange("r000001", 1, 100, 200)
PLAN = """<ShowPlanXML xmlns="http://schemas.microsoft.com/sqlserver/2004/07/showplan"><BatchSequence><Batch>
<Statements><StmtSimple><QueryPlan><RelOp PhysicalOp="Filter" EstimateRows="7"><OutputList/><Filter>
<RelOp PhysicalOp="{operation}" EstimateRows="1e6"><OutputList>
<ColumnReference Schema="[dbo]" Table="[OrderEvents]" Column="Id"/>
<ColumnReference Schema="[dbo]" Table="[OrderEvents]" Column="Body"/></OutputList>
<IndexScan><Object Database="[shop]" Schema="[dbo]" Table="[OrderEvents]" Index="[PK]"/>
<Predicate><ScalarOperator ScalarString="secret {canary}"><Identifier>
<ColumnReference Schema="[dbo]" Table="[OrderEvents]" Column="Id"/></Identifier></ScalarOperator></Predicate>
</IndexScan></RelOp></Filter></RelOp></QueryPlan></StmtSimple></Statements></Batch></BatchSequence>
</ShowPlanXML>"""


@pytest.fixture
def recorded() -> Recorded:
    found = recorded_server()
    recorded_table(found, columns=(ID, V))
    found.knows(extent.SHOWPLAN_ON, extent.SHOWPLAN_OFF)
    return found


def planned(recorded: Recorded, plan: str, table: TableId = T):  # type: ignore[no-untyped-def]
    source = TrackingSource("erp", recorded)
    schema = source.reflect(table)
    condition = " AND ".join(range_conditions(schema.column("id"), RANGE))
    recorded.answers[select_rows(table, schema.columns, condition)] = [(plan,)]
    return source.range_plan(table, schema, "id", RANGE)


def test_a_scan_per_range_is_told_with_the_covering_index(recorded: Recorded) -> None:
    view = TableId("erp", "dbo", "vw_Dynamodbmigration")
    recorded_table(recorded, view, columns=(ID, V), key=(), kind="V ")
    found = planned(recorded, PLAN.format(operation="Clustered Index Scan", canary=CANARY), view)
    assert found.scanned == ("[dbo].[OrderEvents]",)
    assert found.index == "CREATE INDEX [IX_Id] ON [dbo].[OrderEvents] ([Id]) INCLUDE ([Body])"
    assert found.told == ("Clustered Index Scan of [dbo].[OrderEvents], 1e6 rows by estimate",)
    assert CANARY not in str(found)


@pytest.mark.parametrize(
    ("cardinality", "is_told"),
    [("9999", False), ("10000", True), ("1.2e+006", True), ("", True), ("?", True)],
)
def test_a_table_that_the_server_holds_for_small_is_read_whole_without_a_word(
    recorded: Recorded, cardinality: str, is_told: bool
) -> None:
    """Where the plan does not tell how many rows there are, nothing is known to be small."""
    plan = PLAN.format(operation="Table Scan", canary="").replace(
        'EstimateRows="1e6"', f'EstimateRows="12" TableCardinality="{cardinality}"'
    )
    found = planned(recorded, plan)
    assert (found.index is not None, bool(found.scanned)) == (is_told, is_told)
    assert is_told or "small" in found.reason


def test_a_seek_needs_no_index(recorded: Recorded) -> None:
    found = planned(recorded, PLAN.format(operation="Clustered Index Seek", canary=""))
    assert (found.scanned, found.index, found.reason) == ((), None, "an index serves the range")
    assert recorded.sent[-1] == extent.SHOWPLAN_OFF


def test_a_whole_table_has_no_range_to_serve(recorded: Recorded) -> None:
    source = TrackingSource("erp", recorded)
    schema = source.reflect(T)
    found = source.range_plan(T, schema, "id", IdRange("r000000", 0, None, None))
    assert (found.scanned, found.index) == ((), None)


@pytest.mark.parametrize(
    "plan",
    [
        '<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><p>&b;</p>',
        '<!DOCTYPE p SYSTEM "file:///etc/passwd"><p/>',
        "<p>",
        "",
    ],
)
def test_a_plan_with_entities_is_refused_before_they_are_expanded(recorded: Recorded, plan: str) -> None:
    with pytest.raises(DecodeError, match="no plain XML"):
        planned(recorded, plan)


def test_structure_is_what_a_copy_must_have(recorded: Recorded) -> None:
    base = ("nvarchar", 100, 0, 0)
    recorded.answers |= {
        catalog.structure_columns(T): [
            ("id", "int", 4, 10, 0, False, True, None, None, None, False, False, False, False),
            ("s", *base, True, False, "Latin1_General_CI_AS", "(N'x')", None, True, False, False, False),
            ("twice", "int", 4, 10, 0, True, False, None, None, "([id]*(2))", False, False, False, False),
        ],
        catalog.indexes(T): [
            ("PK_orders", "CLUSTERED", True, True, False, None, "id", False, False, False),
            ("UQ_s", "NONCLUSTERED", True, False, True, None, "s", False, False, False),
            ("IX_s", "NONCLUSTERED", False, False, False, None, "s", False, False, False),
            ("IX_f", "NONCLUSTERED", False, False, False, "([s] IS NOT NULL)", "s", False, True, False),
            ("IX_f", "NONCLUSTERED", False, False, False, "([s] IS NOT NULL)", "id", True, False, False),
        ],
        catalog.foreign_keys(T): [
            ("FK_c", "id", "dbo", "customers", "id", "NO_ACTION", "SET_NULL", False),
        ],
        catalog.checks(T): [("CK_s", "([s]<>'')", False), ("CK_off", "(1=1)", True)],
        catalog.others(T): [("trigger audit",)],
        catalog.partition_scheme(T): [(4,)],
    }
    found = TrackingSource("erp", recorded).structure(T)
    assert TableStructure.from_json(found.to_json()) == found
    assert [(c.name, c.type, c.identity, c.default, c.generated) for c in found.columns] == [
        ("id", "int", "always", None, None),
        ("s", "nvarchar(50)", None, "(N'x')", None),
        ("twice", "int", None, None, "([id]*(2))"),
    ]
    assert found.primary_key is not None
    assert found.primary_key.columns == ("id",)
    assert [key.name for key in found.unique_keys] == ["UQ_s"]
    assert [index.definition for index in found.indexes] == [
        None,
        "CREATE INDEX [IX_f] ON [dbo].[orders] ([s] DESC) INCLUDE ([id]) WHERE ([s] IS NOT NULL)",
    ]
    (foreign,) = found.foreign_keys
    assert (foreign.parent, foreign.on_update) == (TableId("erp", "dbo", "customers"), "SET NULL")
    assert found.others == (
        "column s being sparse",
        "partitioning",
        "the disabled check CK_off",
        "trigger audit",
    )


def test_writers_are_named_with_the_statement_that_ends_them(recorded: Recorded) -> None:
    recorded.answers[server.writers(T)] = [(71, "app", "web", "sleeping", 12), (53, "job", "", "running", 90)]
    found = TrackingSource("erp", recorded).writers([T])
    assert [(each.session, each.seconds, each.ending, each.tables) for each in found] == [
        ("session 53", 90.0, "KILL 53;", (T,)),
        ("session 71", 12.0, "KILL 71;", (T,)),
    ]
    recorded.answers[server.granted_writers(T)] = [("INSERT", "web]")]
    told = TrackingSource("erp", recorded).stop_writes([T])
    assert "DENY INSERT, UPDATE, DELETE ON [dbo].[orders] TO [public];" in told
    assert "REVOKE INSERT ON [dbo].[orders] FROM [web]]];" in told
    recorded.answers[server.PERMISSIONS] = [(0, 0, 0, "reader")]
    with pytest.raises(SourceNotReady, match="GRANT VIEW DATABASE STATE"):
        TrackingSource("erp", recorded).writers([T])


def test_a_running_capture_is_ended_only_by_force(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_END_SECONDS", 0.0)
    name = lease.lock_name("erp")
    without_books(recorded)
    recorded.knows("KILL 64", *TrackingSource("erp", recorded).books.drop())
    recorded.turns[server.lock_is_free(name)] = [[(0,)], [(0,)], [(0,)], [(1,)]]
    recorded.answers[server.lock_holder(name)] = [(64,)]
    source = TrackingSource("erp", recorded)
    with pytest.raises(SlotBusy):
        source.teardown()
    source.teardown(force=True)
    assert recorded.ran("KILL") == ["KILL 64"]
    assert len(name) <= 32


@pytest.mark.parametrize(
    ("error", "kind", "named"),
    [
        (
            mssql_python.ProgrammingError("Syntax error", "SELECT permission was denied on the object 't'"),
            SourceNotReady,
            "permission was denied on the object 't'",
        ),
        (mssql_python.IntegrityError("Integrity", f"duplicate key ({CANARY})"), SourceError, "Integrity"),
        (mssql_python.OperationalError("Timeout", f"x {CANARY}"), SourceUnavailable, "Timeout"),
        (
            mssql_python.ProgrammingError("Refused", "snapshot isolation is not allowed in this database"),
            SourceNotReady,
            "ALLOW_SNAPSHOT_ISOLATION ON",
        ),
        (
            mssql_python.DatabaseError("Refused", "because it was modified by a DDL statement in another"),
            LoadBlocked,
            "was altered while it was read",
        ),
        (RuntimeError(f"Communication link failure {CANARY}"), SourceUnavailable, "connection was lost"),
        (mssql_python.OperationalError("x", "Failed to load the driver."), SourceNotReady, "native part"),
    ],
)
def test_errors_of_the_driver_are_told_without_values(
    error: Exception, kind: type[SourceError], named: str
) -> None:
    with pytest.raises(SourceError) as raised, driver_errors("here"):
        raise error
    assert type(raised.value) is kind
    assert named in str(raised.value)
    assert CANARY not in str(raised.value)
    assert raised.value.__suppress_context__


def test_the_clock_is_the_servers(recorded: Recorded) -> None:
    without_books(recorded)
    status = TrackingSource("erp", recorded).status()
    assert (status.state, status.read_at.tzinfo) == ("missing", dt.UTC)
