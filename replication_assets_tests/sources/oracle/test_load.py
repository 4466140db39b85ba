"""A load reads one slice as of one SCN, and says where that is."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import duckdb
import oracledb
import pyarrow as pa
import pytest

from replication_assets.core.dates import EventDates
from replication_assets.core.digests import digest_of
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableSchema
from replication_assets.errors import SourceNotReady, SourceUnavailable
from replication_assets.ports import LoadSlice
from replication_assets.sources.oracle.connection import server_error
from replication_assets.sources.oracle.predicates import row_conditions
from replication_assets.sources.oracle.select_list import loaded_schema
from replication_assets.sources.oracle.source import OracleSource
from replication_assets.sources.oracle.statements import catalog, rows
from replication_assets.sources.oracle.types import column_of
from replication_assets_tests.sources.oracle.recorded import NOW, TABLE, Answer, RecordedServer, ready

CUT = IdRange("r000001", 1, 1, 100)
DATES = EventDates(None, "day", dt.date(2026, 1, 1))
READ = ['"ID"', '"AMOUNT"', '"NOTE"']
FRAME = pa.RecordBatch.from_pydict(
    {
        "ID": pa.array([1, 2], pa.int64()),
        "AMOUNT": pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
        "NOTE": pa.array(["é", None]),
    }
)


def serving(conditions: str, answer: Answer, binds: dict[str, object]) -> RecordedServer:
    query = rows.select(READ, "SALES", "ORDERS", conditions, "scn")

    def frames(given: Any) -> Any:
        assert dict(given) == {**binds, "scn": 500_000}
        if isinstance(answer, Exception):
            raise answer
        return answer

    return RecordedServer(ready({query: frames}))


def slice_of(server: RecordedServer, **changed: Any) -> LoadSlice:
    schema = OracleSource("erp", server).reflect(TABLE)
    given = {"range_column": "ID", "id_range": CUT, "event_dates": DATES} | changed
    return LoadSlice(TABLE, schema, **given)


def test_a_slice_is_read_as_of_the_scn_before_its_position() -> None:
    server = serving('"ID" >= :lo AND "ID" < :hi', [FRAME], {"lo": 1, "hi": 100})
    with OracleSource("erp", server).load(slice_of(server)) as load:
        assert (load.commit, load.taken_at) == (500_001, NOW.replace(tzinfo=dt.UTC))
        assert [column.name for column in load.columns] == ["ID", "AMOUNT", "NOTE"]
        (batch,) = load
    assert batch.to_pydict() == {
        "ID": [1, 2],
        "AMOUNT": [Decimal("1.50"), None],
        "NOTE": ["é", None],
        "_overflow": [None, None],
    }
    asked = [statement for statement, _ in server.ran]
    assert asked.index(catalog.COLUMNS) < asked.index(catalog.CURRENT_SCN)


def test_undo_that_is_gone_is_told_with_what_mends_it() -> None:
    server = serving('"ID" >= :lo AND "ID" < :hi', server_error(1555, "erp"), {"lo": 1, "hi": 100})
    with (
        pytest.raises(SourceUnavailable, match=r"UNDO_RETENTION.*smaller id ranges"),
        OracleSource("erp", server).load(slice_of(server)) as load,
    ):
        list(load)


def test_ranges_hold_every_row_once_whatever_its_key() -> None:
    server = RecordedServer(ready())
    whole = slice_of(server, id_range=IdRange("r000000", 0, None, None))
    assert row_conditions(whole).text == ""
    lowest = row_conditions(slice_of(server, id_range=IdRange("r000000", 0, None, 5)))
    assert (lowest.text, lowest.binds) == ('("ID" < :hi OR "ID" IS NULL)', {"hi": 5})
    text = slice_of(server, range_column="NOTE", id_range=IdRange("r000001", 1, "it's", None))
    assert row_conditions(text).binds == {"lo": "it's"}
    with pytest.raises(ValueError, match="cannot cut ranges"):
        row_conditions(slice_of(server, range_column="AMOUNT"))


def test_dates_are_half_open_intervals_and_odd_moments_are_in_none() -> None:
    table = TableSchema((column_of("ID", "NUMBER(9)", False), column_of("AT", "TIMESTAMP(9)", True)), ("ID",))
    dated = EventDates("AT", "day", dt.date(2026, 1, 1))
    days = (dt.date(2026, 6, 1), dt.date(2026, 6, 2))
    found = row_conditions(LoadSlice(TABLE, table, None, CUT, dated, days))
    assert found.binds == {"d0": "2026-06-01", "d1": "2026-06-03"}
    assert "NOT (1 = 0 OR TO_CHAR(\"AT\", 'FF9') NOT LIKE '%000')" in found.text
    without = row_conditions(LoadSlice(TABLE, table, None, CUT, dated, (None,)))
    assert '"AT" IS NULL OR NOT (' in without.text


def test_text_that_orders_otherwise_than_its_ranges_is_refused() -> None:
    server = RecordedServer(ready({catalog.CHARACTER_SET: [("WE8MSWIN1252",)]}))
    wanted = slice_of(server, range_column="NOTE", id_range=IdRange("r000001", 1, "a", None))
    with pytest.raises(SourceNotReady, match="WE8MSWIN1252"), OracleSource("erp", server).load(wanted):
        raise AssertionError("the load was opened")


def test_digests_are_those_of_what_a_load_stores() -> None:
    server = serving('"ID" >= :lo AND "ID" < :hi', [FRAME], {"lo": 1, "hi": 100})
    source = OracleSource("erp", server)
    schema = source.reflect(TABLE)
    found = source.digests(TABLE, schema, "ID", [CUT])
    with source.load(slice_of(server)) as load, duckdb.connect() as engine:
        assert found.digests[CUT.key] == digest_of(engine, list(load), loaded_schema(schema))
    assert (found.commit, found.compared) == (500_001, ("ID", "AMOUNT", "NOTE"))


def test_the_driver_of_the_extra_reads_frames() -> None:
    assert hasattr(oracledb.Connection, "fetch_df_batches")
