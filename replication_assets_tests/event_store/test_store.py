"""What the store promises wherever it lives: on a disk and in an object store alike."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from replication_assets.core.controls import RangeReplaced, SchemaChanged
from replication_assets.core.events import stored_schema
from replication_assets.core.positions import Position
from replication_assets.errors import CommitConflict, SchemaConflict, StoreCorrupt, StoreError
from replication_assets.event_store import DeltaEventStore
from replication_assets.ports import CellCount
from replication_assets_tests.event_store.samples import (
    DATES,
    NOON,
    ORDERS,
    RANGES,
    SCHEMA,
    append,
    events,
    everything,
    inserts,
    ready,
    stored_ids,
)

MARCH_1, MARCH_2 = dt.date(2026, 3, 1), dt.date(2026, 3, 2)


def test_a_log_exists_from_ensure_on_and_remembers_its_declaration(store: DeltaEventStore) -> None:
    log = store.log(ORDERS)
    assert not log.exists()
    with pytest.raises(StoreError, match="ensure"):
        log.snapshot()
    ready(log)
    ready(store.log(ORDERS))
    snapshot = store.log(ORDERS).snapshot()
    assert log.exists()
    assert (snapshot.schema, snapshot.id_ranges, snapshot.event_dates) == (SCHEMA, RANGES, DATES)
    assert snapshot.captured is None
    assert snapshot.range_keys() == ()
    assert snapshot.events("r000000").to_table().num_rows == 0


def test_rows_are_read_back_from_the_partition_they_belong_to(store: DeltaEventStore) -> None:
    log = ready(store.log(ORDERS))
    rows = events(
        [
            {"id": 1, "note": "a", "_sequence": 1},
            {"id": 150, "note": None, "_sequence": 2, "_id_range": "r000001"},
            {"id": 2, "note": "b", "_sequence": 3, "_event_date": None},
            {"id": 3, "note": "c", "_sequence": 4, "_event_date": MARCH_2},
            {"id": 4, "note": "d", "_sequence": 5},
        ]
    )
    writer = log.writer()
    writer.write(rows)
    assert stored_ids(log) == []
    cells = writer.commit()
    assert set(cells) == {
        CellCount("r000000", MARCH_1, 2),
        CellCount("r000000", MARCH_2, 1),
        CellCount("r000000", None, 1),
        CellCount("r000001", MARCH_1, 1),
    }
    snapshot = log.snapshot()
    assert set(snapshot.counts()) == set(cells)
    assert snapshot.range_keys() == ("r000000", "r000001")
    stored = snapshot.events("r000000")
    assert stored.schema.equals(stored_schema(SCHEMA), check_metadata=True)
    first = stored.to_table().sort_by("_sequence")
    assert first.equals(rows.filter(pc.equal(rows["_id_range"], "r000000")))


def test_the_checkpoint_moves_with_the_rows_and_only_forward(store: DeltaEventStore) -> None:
    log = ready(store.log(ORDERS))
    writer = log.writer()
    writer.write(inserts([1, 2], commit=7))
    writer.commit(captured=Position(1, 7))
    assert log.snapshot().captured == Position(1, 7).end_of_commit()
    log.writer().commit(captured=Position(1, 9, 4))
    assert log.snapshot().captured == Position(1, 9).end_of_commit()
    log.writer().commit(captured=Position(2, 3))
    assert log.snapshot().captured == Position(2, 3).end_of_commit()
    late = log.writer()
    late.write(inserts([1, 2], commit=7))
    with pytest.raises(CommitConflict, match="already"):
        late.commit(captured=Position(1, 10))
    assert stored_ids(log) == [1, 2]


def test_of_two_captures_from_one_checkpoint_one_stands_and_its_rows_are_there_once(
    store: DeltaEventStore,
) -> None:
    ready(store.log(ORDERS))
    first, second = (store.log(ORDERS).writer() for _ in range(2))
    first.write(inserts([1, 2], commit=5))
    second.write(inserts([1, 2], commit=5))
    first.commit(captured=Position(1, 5))
    with pytest.raises(CommitConflict):
        second.commit(captured=Position(1, 5))
    second.abort()
    assert stored_ids(store.log(ORDERS)) == [1, 2]
    assert len(store.log(ORDERS).snapshot().files()) == 1


def test_a_load_beside_a_capture_does_not_disturb_it(store: DeltaEventStore) -> None:
    log = ready(store.log(ORDERS))
    capture, load = log.writer(), log.writer()
    capture.write(inserts([1], commit=5))
    load.write(inserts([2], commit=4, _op="R", _load_id="l1", _sequence=0))
    load.commit()
    capture.commit(captured=Position(1, 5))
    assert stored_ids(log) == [1, 2]


def test_an_aborted_writer_leaves_neither_rows_nor_files(store: DeltaEventStore) -> None:
    log = ready(store.log(ORDERS))
    writer = log.writer()
    writer.write(inserts(range(200_000), commit=1))
    writer.abort()
    writer.abort()
    with pytest.raises(StoreError, match="closed"):
        writer.write(inserts([1], commit=2))
    assert stored_ids(log) == []
    assert data_files(store) == []


def test_control_events_come_back_in_the_order_of_their_positions(store: DeltaEventStore) -> None:
    log = ready(store.log(ORDERS))
    late = SchemaChanged(Position(1, 9, 2), True, "rename", ("a",), ("b",))
    early = RangeReplaced(Position(1, 4), "load-1", None, 100, 7, (MARCH_1, None))
    common = {"_id_range": "all", "_event_date": None}
    append(
        log,
        events(
            [
                {"_op": "S", "_commit_position": 9, "_sequence": 2, "_control": late.body(), **common},
                {"_op": "T", "_commit_position": 6, "_sequence": 3, **common},
                {"_op": "X", "_commit_position": 4, "_sequence": 0, "_load_id": "load-1",
                 "_control": early.body(), **common},
            ]
        ),
    )  # fmt: skip
    snapshot = log.snapshot()
    controls = snapshot.controls()
    assert controls.loads == (early,)
    assert controls.schema_changes == (late,)
    assert [event.position for event in controls.truncates] == [Position(1, 6, 3)]
    assert snapshot.range_keys() == ()
    assert snapshot.counts() == ()


def test_a_snapshot_does_not_see_later_commits(store: DeltaEventStore) -> None:
    log = ready(store.log(ORDERS))
    append(log, inserts([1], commit=1))
    before = log.snapshot()
    append(log, inserts([2], commit=2))
    assert before.events("r000000").to_table()["id"].to_pylist() == [1]
    assert log.snapshot().version == before.version + 1


def test_files_that_end_before_a_position_are_not_read(store: DeltaEventStore) -> None:
    log = ready(store.log(ORDERS))
    for commit in (1, 2, 3):
        append(log, inserts([commit], commit=commit))
    append(log, inserts([9], commit=1, _epoch=2))
    snapshot = log.snapshot()

    def ids(after: Position) -> list[int]:
        return sorted(snapshot.events("r000000", after=after).to_table()["id"].to_pylist())

    assert ids(Position(1, 2, 0)) == [2, 3, 9]
    assert ids(Position(1, 2).end_of_commit()) == [3, 9]
    assert ids(Position(1, 3).end_of_commit()) == [9]
    assert ids(Position(2, 1).end_of_commit()) == []


def test_compaction_keeps_the_rows_and_reports_the_files(store: DeltaEventStore) -> None:
    log = ready(store.log(ORDERS))
    for commit in range(1, 11):
        append(log, inserts([commit, commit + 1000], commit=commit))
    before = everything(log.snapshot())
    assert log.compact() == 10
    snapshot = log.snapshot()
    assert everything(snapshot) == before
    assert len(snapshot.files()) == 1
    positions = snapshot.events("r000000").to_table()["_commit_position"].to_pylist()
    assert positions == sorted(positions)
    assert log.compact() == 0


def test_rows_that_do_not_fit_the_log_are_refused_before_anything_is_written(store: DeltaEventStore) -> None:
    log = ready(store.log(ORDERS))
    good = inserts([1], commit=1)
    bad = {
        "no column 'extra'": good.append_column("extra", pa.array([1])),
        "stored as int64": good.set_column(11, "id", pa.array([1], pa.int32())),
        "'_epoch' is missing": good.drop_columns(["_epoch"]),
        "no position": good.set_column(3, "_sequence", pa.array([None], pa.int64())),
        "no id range": good.set_column(13, "_id_range", pa.array([None], pa.string())),
    }
    for message, rows in bad.items():
        writer = log.writer()
        with pytest.raises(SchemaConflict, match=message):
            writer.write(rows)
        writer.abort()
    assert stored_ids(log) == []
    assert data_files(store) == []


def test_a_missing_file_is_named_when_it_is_read(store: DeltaEventStore) -> None:
    log = ready(store.log(ORDERS))
    append(log, inserts([1], commit=1))
    snapshot = log.snapshot()
    (path,) = snapshot.files()
    log._place.filesystem().delete_file(path)
    with pytest.raises(StoreCorrupt, match="is missing"):
        snapshot.events("r000000").to_table()


def test_committed_times_keep_their_zone_and_microseconds(store: DeltaEventStore) -> None:
    log = ready(store.log(ORDERS))
    exact = NOON.replace(microsecond=123456)
    append(log, inserts([1], commit=1, _committed_at=exact))
    column = log.snapshot().events("r000000").to_table()["_committed_at"]
    assert column.type == pa.timestamp("us", "UTC")
    assert column.to_pylist() == [exact]


def data_files(store: DeltaEventStore) -> list[str]:
    """Every Parquet file of the log's folder, known to the log or not."""
    files = store.log(ORDERS)._place.filesystem()
    found = files.get_file_info(pa.fs.FileSelector("", recursive=True))
    return [info.path for info in found if info.path.endswith(".parquet")]
