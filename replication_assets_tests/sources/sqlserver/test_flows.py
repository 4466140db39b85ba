"""The flows over recorded answers: what is loaded and captured folds to the rows of the source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from replication_assets import Catalog, EventStoreConfig, Replication, SqlServerSourceConfig, Table
from replication_assets.errors import SlotLost
from replication_assets.flows.capture import capture
from replication_assets.flows.check import check
from replication_assets.flows.load import load_range
from replication_assets.flows.prepare import open_table, prepare
from replication_assets.flows.read import read_table
from replication_assets.ports import ChangeSource, EventStore
from replication_assets.sources.sqlserver.source import CdcSource, TrackingSource, TriggerSource
from replication_assets.sources.sqlserver.statements import catalog, cdc, extent, tracking
from replication_assets.sources.sqlserver.statements import triggers as statements
from replication_assets.sources.sqlserver.statements.values import select_rows
from replication_assets.sources.sqlserver.triggers.stream import ROUND_TRANSACTIONS
from replication_assets.sources.sqlserver.triggers.trimming import TRIMMED
from replication_assets_tests.sources.sqlserver.captured import (
    BOOKS,
    NUMBER,
    at,
    book_row,
    captured_columns,
    change_rows_of,
    harvested,
    lsn,
    standing,
    window,
    with_books,
    without_books,
)
from replication_assets_tests.sources.sqlserver.recorded import (
    ID,
    Recorded,
    T,
    V,
    batch,
    recorded_server,
    recorded_table,
)
from replication_assets_tests.sources.sqlserver.test_cdc_decoding import ID as ID_COLUMN
from replication_assets_tests.sources.sqlserver.test_cdc_decoding import V as V_COLUMN
from replication_assets_tests.sources.sqlserver.test_cdc_decoding import changed
from replication_assets_tests.sources.sqlserver.test_tracking import net
from replication_assets_tests.sources.sqlserver.test_trigger_decoding import images
from replication_assets_tests.sources.sqlserver.test_triggers import LOG, ROW, by_triggers

TABLE = Table("erp.dbo.orders")
LOADED = [batch(pa.array([1, 2, 3], pa.int32()), pa.array([10, 20, 30], pa.int32()))]


def with_rows(recorded: Recorded, source: ChangeSource) -> None:
    schema = source.reflect(T)
    recorded.answers |= {
        select_rows(T, schema.columns, "1 = 1"): LOADED,
        extent.bounds(T, schema.column("id")): [(1, 3)],
        catalog.structure_columns(T): [
            (*c, False, False, None, None, None, False, False, False, False) for c in (ID, V)
        ],
        catalog.indexes(T): [],
        catalog.foreign_keys(T): [],
        catalog.checks(T): [],
        catalog.others(T): [],
        catalog.partition_scheme(T): [(1,)],
    }


def opened(folder: Path) -> EventStore:
    return Replication(Catalog(EventStoreConfig(str(folder)))).store()


def loaded(source: ChangeSource, store: EventStore) -> None:
    (table,) = prepare(source, store, [TABLE])
    for id_range in table.loads(3):
        load_range(source, store, table, id_range)


def folded(store: EventStore) -> list[dict[str, object]]:
    rows = pa.Table.from_batches(read_table(store, T)).to_pylist()
    return sorted(({"id": row["id"], "v": row["v"]} for row in rows), key=lambda row: row["id"])


def test_change_tracking_folds_to_the_rows_of_the_source(tmp_path: Path) -> None:
    recorded = recorded_server(tracked=1)
    recorded_table(recorded, columns=(ID, V))
    source, store = TrackingSource("erp", recorded), opened(tmp_path)
    with_books(recorded, [book_row(instance=None, began=40, began_lsn=None)], began=40, acknowledged=40)
    recorded.answers |= {
        tracking.VERSION: [(41,)],
        tracking.TRACKED_TABLES: [(NUMBER, 40, 40)],
        tracking.RETENTION: [(3, "DAYS", True)],
        tracking.is_tracked(T): [(40,)],
        tracking.SPACE: [(0,)],
    }
    recorded.knows(BOOKS.begin(41), BOOKS.begin(44), *(BOOKS.acknowledge(each) for each in range(40, 45)))
    with_rows(recorded, source)
    loaded(source, store)
    recorded.answers[tracking.VERSION] = [(44,)]
    schema = source.reflect(T)
    # The change of row 1 is older than the load, and its rows know it.
    query = tracking.changes(T, schema.columns, ("id",), after=40, upto=44)
    recorded.answers[query] = [net((41, "U", 1, 10), (42, "U", 2, 21), (43, "D", 3, None), (44, "I", 4, 40))]
    capture(source, store, [open_table(source, store, TABLE)], upto=44)
    assert folded(store) == [{"id": 1, "v": 10}, {"id": 2, "v": 21}, {"id": 4, "v": 40}]
    assert BOOKS.acknowledge(44) in recorded.sent
    assert recorded.open == 0


def test_change_tables_fold_to_the_rows_of_the_source(tmp_path: Path) -> None:
    recorded = recorded_server(by_cdc=True)
    recorded_table(recorded, columns=(ID, V))
    source, store = CdcSource("erp", recorded), opened(tmp_path)
    with_books(recorded, [book_row()])
    standing(recorded, ("ra_erp_1", lsn(8)))
    harvested(recorded, lsn(9))
    recorded.answers |= {
        cdc.retention_minutes(): [(4320,)],
        cdc.AGENT: [("Running",)],
        cdc.CHANGE_TABLE_BYTES: [(0,)],
    }
    recorded.knows(BOOKS.begin(at(9) - 1), BOOKS.begin(at(11) - 1))
    recorded.knows(*(BOOKS.acknowledge(at(block)) for block in range(8, 12)))
    with_rows(recorded, source)
    loaded(source, store)
    harvested(recorded, lsn(11))
    window(recorded, at(8), at(11), lsn(11))
    captured_columns(recorded, "ra_erp_1", "id", "v")
    # The first update is in the rows already: a load stands at a lower bound, and it comes again.
    changes = changed(
        (at(10), 1, 1, 3, 10, (1, 9)),
        (at(10), 1, 2, 4, 10, (1, 10)),
        (at(11), 1, 1, 1, 11, (2, 20)),
        (at(11), 1, 2, 2, 11, (5, 20)),
        (at(11), 1, 3, 1, 12, (3, 30)),
    )
    change_rows_of(recorded, "ra_erp_1", (ID_COLUMN, V_COLUMN), [changes], after=at(8), upto=at(11))
    capture(source, store, [open_table(source, store, TABLE)], upto=at(11))
    assert folded(store) == [{"id": 1, "v": 10}, {"id": 5, "v": 20}]
    assert recorded.open == 0
    without_books(recorded)
    with pytest.raises(SlotLost):
        prepare(source, store, [TABLE])


def test_what_triggers_kept_folds_to_the_rows_of_the_source(tmp_path: Path) -> None:
    recorded = by_triggers()
    source, store = TriggerSource("erp", recorded), opened(tmp_path)
    with_books(recorded, [ROW], began=40, acknowledged=40)
    with_rows(recorded, source)
    recorded.knows(BOOKS.begin(40), *(BOOKS.acknowledge(each) for each in range(40, 50)))
    recorded.answers |= {
        statements.MIN_ACTIVE: [(41,)],
        LOG.waiting(40): [(0,)],
        LOG.first_kept(49): [(None,)],
        LOG.trim_images(1, 50, TRIMMED): [(5,)],
        LOG.trim_runs(50, TRIMMED): [(4,)],
    }
    loaded(source, store)
    # Row 1 had changed when the load began, behind a transaction that was open: it comes again.
    recorded.answers |= {
        statements.MIN_ACTIVE: [(50,)],
        LOG.window(40, 49, ROUND_TRANSACTIONS): [(2, 48)],
        LOG.changes(1, (ID_COLUMN, V_COLUMN), ("id",), after=40, upto=49): [
            images([(43, 43, "U", 1, "O", 1, 1, 9), (43, 43, "U", 1, "N", 0, 1, 10)]),
            images([(48, 46, "D", 1, "O", 0, 3, 30), (48, 47, "U", 1, "O", 0, 2, 20)]),
            images([(48, 47, "U", 1, "N", 0, 5, 21)]),
        ],
    }
    capture(source, store, [open_table(source, store, TABLE)], upto=49)
    assert folded(store) == [{"id": 1, "v": 10}, {"id": 5, "v": 21}]
    assert BOOKS.acknowledge(49) in recorded.sent
    assert recorded.open == 0


@dataclass(frozen=True)
class Recordings:
    """The adapters of a catalog, of a source that answers from a record."""

    folder: Path
    recorded: Recorded

    @property
    def catalog(self) -> Catalog:
        declared = SqlServerSourceConfig("erp", host="db", database="shop", user="u", capture="triggers")
        return Catalog(EventStoreConfig(str(self.folder)), sources=[declared], tables=[TABLE])

    def source(self, name: str) -> ChangeSource:
        return TriggerSource(name, self.recorded)

    def store(self) -> EventStore:
        return opened(self.folder)

    def target(self, *_: object) -> None:
        raise AssertionError("there are no projections")


def test_a_check_tells_what_triggers_mean_for_applications(tmp_path: Path) -> None:
    recorded = by_triggers()
    with_rows(recorded, TriggerSource("erp", recorded))
    found = [each for part in check(Recordings(tmp_path, recorded)) for each in part.findings]  # type: ignore[arg-type]
    told = [each for each in found if "error 334" in each.what or "TRUNCATE TABLE" in each.what]
    assert [each.severity for each in told] == ["advice", "advice"]
    assert "OUTPUT ... INTO" in told[0].fix
    assert [each for each in found if each.severity == "problem"] == []
