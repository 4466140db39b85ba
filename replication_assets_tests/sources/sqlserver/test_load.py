"""Loads: what is read, at which position, and what is refused before a row is."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from replication_assets.core.dates import EventDates
from replication_assets.core.digests import digest_of
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableId
from replication_assets.errors import LoadBlocked, SourceNotReady
from replication_assets.ports import LoadSlice
from replication_assets.sources.sqlserver.load import loaded_schema
from replication_assets.sources.sqlserver.source import CdcSource, TrackingSource
from replication_assets.sources.sqlserver.statements import catalog, cdc, extent, server, tracking
from replication_assets.sources.sqlserver.statements.predicates import row_conditions
from replication_assets.sources.sqlserver.statements.values import select_rows
from replication_assets_tests.sources.sqlserver.recorded import (
    ID,
    NOW,
    T,
    V,
    batch,
    recorded_server,
    recorded_table,
)

WHOLE = IdRange("r000000", 0, None, None)
DATES = EventDates(None, "day", dt.date(2026, 1, 1))
AT = ("at", "datetime2", 8, 27, 7)
MAX = bytes.fromhex("0000002a000001f00003")


def ready(tracked: int = 1, by_cdc: bool = False):  # type: ignore[no-untyped-def]
    recorded = recorded_server(tracked=tracked, by_cdc=by_cdc)
    recorded_table(recorded, columns=(ID, AT))
    recorded.answers[tracking.VERSION] = [(41,)]
    return recorded


def test_rows_come_typed_with_odd_values_as_text_beside_them() -> None:
    recorded = ready()
    source = TrackingSource("erp", recorded)
    schema = source.reflect(T)
    assert (schema.key, schema.names) == (("id",), ("id", "at"))
    query = select_rows(T, schema.columns, "1 = 1")
    recorded.answers[query] = [
        batch(
            pa.array([1, 2], pa.int32()),
            pa.array([dt.datetime(2026, 1, 1), None], pa.timestamp("us")),
            pa.array([None, "2026-01-01 00:00:00.0000001"], pa.large_string()),
        ),
        batch(
            pa.array([3], pa.int32()),
            pa.array([None], pa.timestamp("us")),
            pa.array([None], pa.large_string()),
        ),
    ]
    with source.load(LoadSlice(T, schema, None, WHOLE, DATES)) as load:
        rows = pa.Table.from_batches(list(load))
        assert (load.commit, load.taken_at) == (42, NOW.replace(tzinfo=dt.UTC))
        assert [column.name for column in load.columns] == ["id", "at"]
    assert rows.schema.equals(loaded_schema(schema), check_metadata=True)
    assert rows.to_pylist() == [
        {"id": 1, "at": dt.datetime(2026, 1, 1), "_overflow": None},
        {"id": 2, "at": None, "_overflow": '{"at":"2026-01-01 00:00:00.0000001"}'},
        {"id": 3, "at": None, "_overflow": None},
    ]
    assert recorded.open == 0


def test_the_version_is_asked_for_within_the_snapshot_and_before_the_rows() -> None:
    recorded = ready()
    source = TrackingSource("erp", recorded)
    schema = source.reflect(T)
    recorded.answers[select_rows(T, schema.columns, "1 = 1")] = []
    recorded.sent.clear()
    with source.load(LoadSlice(T, schema, None, WHOLE, DATES)) as load:
        assert list(load) == []
    order = [server.SNAPSHOT, server.BEGIN, tracking.VERSION, server.touch(T), tracking.VERSION]
    assert [each for each in recorded.sent if each in order] == order


def test_a_snapshot_is_begun_again_until_no_version_came_before_it_stood() -> None:
    recorded = ready()
    source = TrackingSource("erp", recorded)
    schema = source.reflect(T)
    recorded.turns[tracking.VERSION] = [[(41,)], [(43,)], [(43,)], [(43,)]]
    with source.load(LoadSlice(T, schema, None, WHOLE, DATES)) as load:
        assert load.commit == 44
    assert recorded.ran(server.BEGIN, server.ROLLBACK) == [server.BEGIN, server.ROLLBACK, server.BEGIN]
    recorded.turns[tracking.VERSION] = [[(version,)] for version in range(50, 90)]
    with source.load(LoadSlice(T, schema, None, WHOLE, DATES)) as load:
        # Ten were begun. The last is told by the version before it, which is safe.
        assert load.commit == 50 + 2 * 9 + 1


def test_the_newest_lsn_is_asked_for_before_the_snapshot() -> None:
    recorded = ready(by_cdc=True)
    recorded.answers[cdc.MAX_LSN] = [(MAX,)]
    recorded.answers[cdc.LAST_SCAN] = [(3, 0, 2)]
    source = CdcSource("erp", recorded)
    schema = source.reflect(T)
    recorded.sent.clear()
    with source.load(LoadSlice(T, schema, None, WHOLE, DATES)) as load:
        assert load.commit == 0x2A_000001F0
    order = [cdc.MAX_LSN, server.SNAPSHOT, server.BEGIN, server.touch(T)]
    assert [each for each in recorded.sent if each in order] == order


def test_views_are_loaded_from_a_database_that_nothing_is_captured_from() -> None:
    recorded = ready(by_cdc=False)
    view = TableId("erp", "dbo", "vw_Dynamodbmigration")
    recorded_table(recorded, view, kind="V ", key=())
    source = CdcSource("erp", recorded)
    assert not source.is_captured(view)
    schema = source.reflect(view)
    assert schema.key == ()
    with source.load(LoadSlice(view, schema, None, WHOLE, DATES)) as load:
        assert load.commit == 0


def test_a_column_that_is_gone_and_an_altered_table_stop_the_load() -> None:
    recorded = ready()
    source = TrackingSource("erp", recorded)
    schema = source.reflect(T)
    recorded_table(recorded, columns=(ID,))
    with pytest.raises(SourceNotReady, match=r"\['at'\] are not in the table"):
        source.load(LoadSlice(T, schema, None, WHOLE, DATES)).__enter__()
    recorded.runs.discard(server.touch(T))
    recorded.answers[server.touch(T)] = LoadBlocked("altered")
    with pytest.raises(LoadBlocked):
        source.load(LoadSlice(T, schema, None, WHOLE, DATES)).__enter__()
    assert recorded.open == 0


def test_digests_are_those_of_the_rows_that_a_load_reads() -> None:
    recorded = ready()
    recorded_table(recorded, columns=(ID, V))
    source = TrackingSource("erp", recorded)
    schema = source.reflect(T)
    low, high = IdRange("r000000", 0, None, 10), IdRange("r000001", 1, 10, None)
    rows = {
        low: batch(pa.array([1, 2], pa.int32()), pa.array([None, 5], pa.int32())),
        high: batch(pa.array([12], pa.int32()), pa.array([7], pa.int32())),
    }
    for id_range, found in rows.items():
        condition = row_conditions(LoadSlice(T, schema, "id", id_range, DATES))
        recorded.answers[select_rows(T, schema.columns, condition)] = [found]
    taken = source.digests(T, schema, "id", [low, high])
    for id_range in rows:
        with source.load(LoadSlice(T, schema, "id", id_range, DATES)) as load, duckdb.connect() as engine:
            assert digest_of(engine, list(load), loaded_schema(schema)) == taken.digests[id_range.key]
    assert (taken.commit, taken.compared) == (42, ("id", "v"))


@pytest.mark.parametrize(
    ("column", "condition"),
    [
        (ID, "([c] >= 1 AND [c] < 9 OR [c] IS NULL)"),
        (
            ("c", "uniqueidentifier", 16, 0, 0),
            "CAST(LOWER(CONVERT(char(36), [c])) AS varbinary(36)) >= 0x31",
        ),
        (
            ("c", "varchar", 20, 0, 0),
            "CAST(CAST([c] COLLATE Latin1_General_100_BIN2_UTF8 AS varchar(max)) AS varbinary(max)) >= 0x31",
        ),
    ],
)
def test_ranges_are_cut_in_the_order_of_the_store(
    column: tuple[str, str, int, int, int], condition: str
) -> None:
    recorded = ready()
    recorded_table(recorded, columns=(("c", *column[1:]),), key=("c",))
    schema = TrackingSource("erp", recorded).reflect(T)
    numbers = column is ID
    id_range = IdRange("r", 0, 1, 9) if numbers else IdRange("r", 1, "1", None)
    assert row_conditions(LoadSlice(T, schema, "c", id_range, DATES)) == condition


def test_rows_without_a_usable_date_are_one_bucket_odd_ones_among_them() -> None:
    recorded = ready()
    schema = TrackingSource("erp", recorded).reflect(T)
    dates = EventDates("at", "year", dt.date(2026, 1, 1))
    condition = row_conditions(LoadSlice(T, schema, None, WHOLE, dates, (dt.date(2026, 1, 1), None)))
    low, high = ("CAST(N'2026-01-01' AS datetime2(7))", "CAST(N'2027-01-01' AS datetime2(7))")
    odd = "DATEPART(NANOSECOND, [at]) % 1000 <> 0"
    assert f"([at] >= {low} AND [at] < {high} AND NOT {odd})" in condition
    assert condition.endswith(f"OR ({odd}))")
    assert "[at] IS NULL OR NOT" in condition


def test_bounds_and_quantiles_are_keys() -> None:
    recorded = ready()
    source = TrackingSource("erp", recorded)
    schema = source.reflect(T)
    key = schema.column("id")
    recorded.answers[extent.bounds(T, key)] = [(Decimal(-5), 99)]
    recorded.answers[extent.quantiles(T, key, 4, None)] = [(10,), (20,), (20,)]
    bounds = source.bounds(T, "id")
    assert (bounds.low, bounds.high, bounds.rows) == (-5, 99, 3)
    assert source.quantiles(T, "id", 4) == (10, 20)
    with pytest.raises(SourceNotReady, match="'at' cannot cut id ranges"):
        source.bounds(T, "at")


def test_what_hides_values_or_rows_is_refused_with_the_statement_that_mends_it() -> None:
    recorded = ready()
    columns = (ID, ("variant", "sql_variant", 8016, 0, 0), ("secret", "varchar", 20, 0, 0))
    recorded_table(recorded, columns=columns, masked=("secret",))
    recorded.answers[catalog.hiding_policies(T)] = [("tenants",)]
    recorded.answers[catalog.may_select(T)] = [(0, 0, "reader")]
    with pytest.raises(SourceNotReady) as raised:
        TrackingSource("erp", recorded).reflect(T)
    told = str(raised.value)
    for fix in (
        "GRANT SELECT ON [dbo].[orders] TO [reader]",
        "GRANT UNMASK TO [reader]",
        "ALTER SECURITY POLICY [tenants] WITH (STATE = OFF)",
        "columns of type sql_variant cannot be stored",
    ):
        assert fix in told


def test_what_is_no_plain_table_or_column_is_refused_by_name() -> None:
    recorded = ready()
    recorded_table(recorded, columns=(ID, ("place", "GeoPoint", 16, 0, 0), ("card", "varchar", 20, 0, 0)))
    columns = recorded.answers[catalog.columns(T)]
    columns[2] = (*columns[2][:8], 1, False)
    recorded.answers[catalog.find_relation(T)] = [("U ", 9, 3, True, False, 0)]
    with pytest.raises(SourceNotReady) as raised:
        TrackingSource("erp", recorded).reflect(T)
    told = str(raised.value)
    assert "columns of type GeoPoint cannot be stored" in told
    assert "'card': it is encrypted by the client's key" in told
    assert "it is memory-optimized" in told
    recorded.answers[catalog.find_relation(T)] = [("TF", 9, 0, False, False, 0)]
    with pytest.raises(SourceNotReady, match="only tables and views can be read"):
        TrackingSource("erp", recorded).reflect(T)
    recorded.answers[catalog.find_relation(T)] = []
    with pytest.raises(SourceNotReady, match="there is no table or view"):
        TrackingSource("erp", recorded).reflect(T)


def test_computed_columns_are_left_out_and_listed() -> None:
    recorded = ready()
    recorded_table(recorded, computed=("v",))
    schema = TrackingSource("erp", recorded).reflect(T)
    assert (schema.names, schema.not_replicated) == (("id", "s"), ("v",))
    with pytest.raises(SourceNotReady, match="is computed"):
        TrackingSource("erp", recorded).reflect(T, key=("v",))
