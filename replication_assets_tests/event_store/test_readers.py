"""The log as others see it: any reader of Delta tables, in place, and no editor."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import StoreError
from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store.log import DeltaEventLog
from replication_assets_tests.event_store.samples import (
    DATES,
    NOON,
    ORDERS,
    RANGES,
    SCHEMA,
    append,
    events,
    inserts,
    stored_ids,
)

MARCH_2 = dt.date(2026, 3, 2)


@pytest.fixture
def delta(log: DeltaEventLog, local_store: DeltaEventStore) -> DeltaTable:
    """Three rows in three partitions, one of them without a date, one from before a column was added."""
    append(log, inserts([1], commit=1))
    grown = TableSchema((*SCHEMA.columns, Column("total", "numeric(9,2)", pa.decimal128(9, 2))), ("id",))
    log.ensure(grown, RANGES, DATES)
    append(log, events([{"id": 2, "_event_date": MARCH_2}, {"id": 150, "_id_range": "r000001",
                                                           "_event_date": None}], grown))  # fmt: skip
    return DeltaTable(local_store.uri(ORDERS))


def test_polars_reads_it(delta: DeltaTable) -> None:
    rows = pl.scan_delta(delta.table_uri).filter(pl.col("_id_range") == "r000000").collect()
    assert sorted(rows["id"].to_list()) == [1, 2]


def test_pandas_reads_it(delta: DeltaTable) -> None:
    frame = delta.to_pandas()
    assert sorted(frame["id"]) == [1, 2, 150]
    assert frame.set_index("id").loc[2, "_event_date"] == MARCH_2


def test_duckdb_reads_it_as_a_dataset_and_as_files(delta: DeltaTable) -> None:
    log = delta.to_pyarrow_dataset()
    assert log.count_rows() == 3
    with duckdb.connect() as connection:
        connection.register("log", log)
        by_date = connection.execute("select _event_date, count(*) from log group by 1 order by 1 nulls last")
        assert by_date.fetchall() == [(dt.date(2026, 3, 1), 1), (MARCH_2, 1), (None, 1)]
        files = connection.execute(
            "select id, _id_range, _event_date::varchar from"
            " read_parquet($1, hive_partitioning = true, union_by_name = true) order by id",
            [delta.file_uris()],
        )
        assert files.fetchall() == [
            (1, "r000000", "2026-03-01"),
            (2, "r000000", "2026-03-02"),
            (150, "r000001", None),
        ]


def test_delta_s_own_reader_sees_the_same_partitions_and_prunes_by_them(delta: DeltaTable) -> None:
    found = {(partition["_id_range"], partition["_event_date"]) for partition in delta.partitions()}
    assert found == {("r000000", "2026-03-01"), ("r000000", "2026-03-02"), ("r000001", None)}
    assert len(delta.file_uris(file_pruning_predicate="_id_range = 'r000001'")) == 1


def test_rows_can_be_neither_deleted_nor_updated_nor_overwritten(delta: DeltaTable) -> None:
    for edit in (
        lambda: delta.delete("id = 1"),
        lambda: delta.update(updates={"note": "'x'"}),
    ):
        with pytest.raises(Exception, match=r"(?i)append"):
            edit()
    assert DeltaTable(delta.table_uri).to_pyarrow_dataset().count_rows() == 3


def test_bounds_in_the_log_are_those_of_the_positions_alone(log: DeltaEventLog) -> None:
    append(
        log,
        events(
            [
                {"id": 1, "_commit_position": 2**62, "_sequence": 2**63 - 1},
                {"id": None, "_commit_position": 3, "_epoch": 7},
            ]
        ),
    )
    assert stats_of(log) == [
        {
            "numRecords": 2,
            "minValues": {"_epoch": 1, "_commit_position": 3, "_sequence": 1},
            "maxValues": {"_epoch": 7, "_commit_position": 2**62, "_sequence": 2**63 - 1},
            "nullCount": {"_epoch": 0, "_commit_position": 0, "_sequence": 0},
        }
    ]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_no_filter_of_another_reader_loses_rows(
    log: DeltaEventLog, local_store: DeltaEventStore, *, checkpointed: bool
) -> None:
    rows = [{"id": 1, "note": "a"}, {"id": None, "note": None, "_op": "T"}, {"id": 3, "note": "😀" * 99}]
    for row in rows:
        append(log, events([row]))
    append(log, events([{"id": 4, "note": "a", "_commit_position": 2}, {"id": None, "note": "b"}]))
    if checkpointed:
        DeltaTable(local_store.uri(ORDERS)).create_checkpoint()
    delta = DeltaTable(local_store.uri(ORDERS)).to_pyarrow_dataset()
    note, key = pc.field("note"), pc.field("id")
    filters = [
        (note == "a", 2), (note == "😀" * 99, 1), (note.is_null(), 1), (key == 3, 1), (key.is_null(), 2),
        (key >= 1, 3), (pc.field("_op") == "T", 1), (pc.field("_committed_at") == NOON, 5),
        (pc.field("_load_id").is_null(), 5), (pc.field("_commit_position") == 2, 1),
        (pc.field("_event_date") == NOON.date(), 5),
    ]  # fmt: skip
    found = [delta.to_table(filter=chosen).num_rows for chosen, _ in filters]
    assert found == [count for _, count in filters]


def stats_of(log: DeltaEventLog) -> list[dict[str, dict[str, object]]]:
    place = log._place.local
    assert place is not None
    paths = sorted((place / "_delta_log").glob("*.json"))
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return [json.loads(add["add"]["stats"]) for add in map(json.loads, lines) if "add" in add]


# --- many partitions, large rows ---------------------------------------------------------


def test_rows_of_hundreds_of_interleaved_partitions_keep_their_order_in_each(log: DeltaEventLog) -> None:
    count, cells = 6_000, 300
    rows = events(
        [
            {"id": n, "_sequence": n, "_id_range": f"r{n % cells:06d}"}
            for n in range(count)
        ]
    )  # fmt: skip
    writer = log.writer()
    for start in range(0, count, 1_000):
        writer.write(rows.slice(start, 1_000))
    written = writer.commit()
    assert len(written) == cells
    snapshot = log.snapshot()
    assert len(snapshot.files()) == cells
    for key in ("r000000", "r000007", "r000299"):
        ids = snapshot.events(key).to_table()["id"].to_pylist()
        assert ids == list(range(int(key[1:]), count, cells))


def test_open_files_and_waiting_rows_are_bounded(log: DeltaEventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    from replication_assets.event_store import writer as module

    monkeypatch.setattr(module, "BUFFER_BYTES", 20_000)
    monkeypatch.setattr(module, "OPEN_PARTS", 4)
    writer = log.writer()
    for commit in range(1, 31):
        writer.write(
            events([{"id": n, "note": "x" * 200, "_commit_position": commit, "_id_range": f"r{n:06d}"}
                    for n in range(20)])
        )  # fmt: skip
        assert len(writer._open) <= 4
        assert sum(waiting.size for waiting in writer._pending.values()) <= 20_000
    writer.commit()
    for key in ("r000000", "r000019"):
        commits = log.snapshot().events(key).to_table()["_commit_position"].to_pylist()
        assert sorted(commits) == list(range(1, 31))


def test_a_large_capture_becomes_files_of_bounded_row_groups(log: DeltaEventLog) -> None:
    writer = log.writer()
    for commit in (1, 2, 3):
        writer.write(inserts(range(90_000), commit=commit))
    writer.commit()
    fragments = list(log.snapshot().events("r000000").get_fragments())
    groups = [group for fragment in fragments for group in fragment.row_groups]
    assert len(fragments) == 1
    assert sum(group.num_rows for group in groups) == 270_000
    assert max(group.num_rows for group in groups) <= 128 * 1024


# --- what vacuum keeps -------------------------------------------------------------------


def test_vacuum_removes_old_leftovers_and_keeps_what_may_be_in_use(
    log: DeltaEventLog, local_store: DeltaEventStore
) -> None:
    for commit in range(1, 11):
        append(log, inserts([commit], commit=commit))
    reader = log.snapshot()
    log.compact()
    writer = log.writer()
    writer.write(inserts(range(200_000), commit=11))
    abandoned = Path(local_store.uri(ORDERS)) / "_id_range=r000000" / "old.parquet"
    abandoned.write_bytes(b"left by a killed writer")
    age(abandoned)
    for path in reader.files():
        age(Path(local_store.uri(ORDERS)) / path)
    assert log.vacuum(dt.timedelta(hours=1)) == 1
    assert not abandoned.exists()
    assert reader.events("r000000").to_table().num_rows == 10
    writer.commit()
    assert len(stored_ids(log)) == 200_010


def test_vacuum_refuses_to_touch_files_of_the_last_hour(log: DeltaEventLog) -> None:
    with pytest.raises(StoreError, match="may be in use"):
        log.vacuum(dt.timedelta(minutes=59))


def age(path: Path) -> None:
    """Make a file look a month old."""
    import os

    long_ago = path.stat().st_mtime - 30 * 24 * 3600
    os.utime(path, (long_ago, long_ago))
