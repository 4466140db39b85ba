"""Crashes, races and damage: nothing lost, nothing doubled, nothing overlooked."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from deltalake import DeltaTable

from replication_assets.core.positions import Position
from replication_assets.errors import CommitConflict, StoreCorrupt, StoreError
from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store.log import DeltaEventLog
from replication_assets_tests.event_store.conftest import SECRET, Bucket
from replication_assets_tests.event_store.samples import (
    ORDERS,
    append,
    everything,
    inserts,
    ready,
    stored_ids,
)

SPAWN = multiprocessing.get_context("spawn")


def run_together(target: Callable[..., None], count: int, *args: object) -> list[int | None]:
    """Exit codes of `count` processes that start at one moment."""
    barrier = SPAWN.Barrier(count)
    processes = [SPAWN.Process(target=target, args=(barrier, number, *args)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def load(barrier: Barrier, number: int, root: str, commits: int) -> None:
    log = DeltaEventStore(root).log(ORDERS)
    barrier.wait()
    for commit in range(commits):
        append(log, inserts([number * 1000 + commit], commit=commit, _op="R", _load_id=f"l{number}"))


def test_loads_of_eight_processes_at_once_all_stand(log: DeltaEventLog, local_store: DeltaEventStore) -> None:
    assert run_together(load, 8, local_store.root, 6) == [0] * 8
    assert stored_ids(log) == [number * 1000 + commit for number in range(8) for commit in range(6)]


def capture(barrier: Barrier, number: int, root: str) -> None:
    log = DeltaEventStore(root).log(ORDERS)
    writer = log.writer()
    writer.write(inserts([1, 2, 3], commit=5))
    barrier.wait()
    try:
        writer.commit(captured=Position(1, 5))
    except CommitConflict:
        sys.exit(3)


def test_of_captures_that_commit_at_one_moment_exactly_one_stands(
    log: DeltaEventLog, local_store: DeltaEventStore
) -> None:
    assert sorted(str(code) for code in run_together(capture, 4, local_store.root)) == ["0", "3", "3", "3"]
    assert stored_ids(log) == [1, 2, 3]


def compact_once(barrier: Barrier, number: int, root: str) -> None:
    log = DeltaEventStore(root).log(ORDERS)
    barrier.wait()
    log.compact()


def test_compactors_at_one_moment_keep_every_row_once(
    log: DeltaEventLog, local_store: DeltaEventStore
) -> None:
    for commit in range(1, 13):
        append(log, inserts([commit], commit=commit))
    before = everything(log.snapshot())
    assert run_together(compact_once, 3, local_store.root) == [0, 0, 0]
    assert everything(log.snapshot()) == before
    assert len(log.snapshot().files()) == 1


def test_a_compactor_that_comes_second_removes_its_files_and_changes_nothing(
    log: DeltaEventLog, local_store: DeltaEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for commit in range(1, 13):
        append(log, inserts([commit], commit=commit))
    before = everything(log.snapshot())
    from replication_assets.event_store import compaction

    verify = compaction._verify
    overtaken: list[int] = []

    def overtake(*args: object) -> None:
        verify(*args)  # type: ignore[arg-type]
        monkeypatch.setattr(compaction, "_verify", verify)
        overtaken.append(local_store.log(ORDERS).compact())

    monkeypatch.setattr(compaction, "_verify", overtake)
    assert log.compact() == 0
    assert overtaken == [12]
    assert everything(log.snapshot()) == before
    assert len(on_disk(local_store)) == 12 + 1


def test_delta_s_own_optimize_in_between_does_not_double_rows(
    log: DeltaEventLog, local_store: DeltaEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for commit in range(1, 13):
        append(log, inserts([commit], commit=commit))
    before = everything(log.snapshot())
    from replication_assets.event_store import compaction

    verify = compaction._verify

    def overtake(*args: object) -> None:
        verify(*args)  # type: ignore[arg-type]
        DeltaTable(local_store.uri(ORDERS)).optimize.compact()

    monkeypatch.setattr(compaction, "_verify", overtake)
    assert log.compact() == 0
    assert everything(log.snapshot()) == before


def test_a_rewrite_that_lost_a_value_is_refused(
    log: DeltaEventLog, local_store: DeltaEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for commit in range(1, 13):
        append(log, inserts([commit], commit=commit))
    before = everything(log.snapshot())
    from replication_assets.event_store import compaction

    pieces = compaction._row_groups

    def forgetful(*args: object) -> Iterator[object]:
        for rows in pieces(*args):  # type: ignore[arg-type]
            notes = rows["note"].to_pylist()
            yield rows.set_column(rows.column_names.index("note"), rows.schema.field("note"),
                                  [[None, *notes[1:]]])  # fmt: skip

    monkeypatch.setattr(compaction, "_row_groups", forgetful)
    with pytest.raises(StoreCorrupt, match="would not keep them"):
        log.compact()
    assert everything(log.snapshot()) == before
    assert len(on_disk(local_store)) == 12


def compact_often(barrier: Barrier, number: int, root: str) -> None:
    log = DeltaEventStore(root).log(ORDERS)
    barrier.wait()
    if number:
        for _ in range(6):
            log.compact()
        return
    for commit in range(1, 31):
        writer = log.writer()
        writer.write(inserts([commit], commit=commit))
        writer.commit(captured=Position(1, commit))


def test_compaction_beside_a_capture_disturbs_neither(
    log: DeltaEventLog, local_store: DeltaEventStore
) -> None:
    for commit in range(101, 111):
        append(log, inserts([commit], commit=0))
    assert run_together(compact_often, 3, local_store.root) == [0, 0, 0]
    assert stored_ids(log) == [*range(1, 31), *range(101, 111)]
    assert log.snapshot().captured == Position(1, 30).end_of_commit()


def die(root: str, *, after_commit: bool) -> None:
    log = DeltaEventStore(root).log(ORDERS)
    writer = log.writer()
    writer.write(inserts(range(150_000), commit=5))
    if after_commit:
        writer.commit(captured=Position(1, 5))
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("after_commit", [False, True])
def test_a_capture_killed_around_its_commit_is_whole_or_absent_and_can_be_run_again(
    log: DeltaEventLog, local_store: DeltaEventStore, *, after_commit: bool
) -> None:
    process = SPAWN.Process(target=die, args=(local_store.root,), kwargs={"after_commit": after_commit})
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    snapshot = log.snapshot()
    assert (snapshot.captured is not None) == after_commit
    assert sum(cell.rows for cell in snapshot.counts()) == (150_000 if after_commit else 0)
    assert len(on_disk(local_store)) == 1
    writer = log.writer()
    writer.write(inserts([1], commit=6))
    writer.commit(captured=Position(1, 6))
    assert sum(cell.rows for cell in log.snapshot().counts()) == (150_001 if after_commit else 1)


# --- replies that get lost ---------------------------------------------------------------


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    return tmp_path / "lose-the-next-reply"


@pytest.fixture
def lossy(bucket: Bucket, switch: Path) -> Iterator[Bucket]:
    """The bucket, seen through a proxy that can lose replies to commits."""
    host = bucket.options["AWS_ENDPOINT_URL"].removeprefix("http://")
    module = "replication_assets_tests.event_store.lossy_proxy"
    with subprocess.Popen(
        [sys.executable, "-m", module, host, str(switch)], stdout=subprocess.PIPE, text=True
    ) as proxy:
        assert proxy.stdout is not None
        port = proxy.stdout.readline().strip()
        options = {
            **bucket.options,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "max_retries": "2",
            "retry_timeout": "3s",
            "backoff_config.init_backoff": "50ms",
            "backoff_config.max_backoff": "100ms",
        }
        yield replace(bucket, options=options)
        proxy.terminate()


@pytest.mark.parametrize("captured", [None, Position(1, 5)])
@pytest.mark.parametrize("max_retries", ["0", "2"])
def test_a_commit_whose_reply_is_lost_stands_once(
    lossy: Bucket, bucket: Bucket, switch: Path, captured: Position | None, max_retries: str
) -> None:
    """Without retries the client reports an error, with them it meets its own commit."""
    options = {**lossy.options, "max_retries": max_retries}
    log = ready(DeltaEventStore(lossy.root, options).log(ORDERS))
    writer = log.writer()
    writer.write(inserts([1, 2], commit=5))
    switch.write_text("once")
    writer.commit(captured=captured)
    assert not switch.exists()
    direct = DeltaEventStore(bucket.root, bucket.options).log(ORDERS)
    assert stored_ids(direct) == [1, 2]
    assert direct.snapshot().captured == (captured.end_of_commit() if captured else None)
    append(log, inserts([3], commit=6))
    assert stored_ids(direct) == [1, 2, 3]


def test_files_of_a_commit_with_unknown_outcome_are_left_alone(
    lossy: Bucket, bucket: Bucket, switch: Path
) -> None:
    log = ready(DeltaEventStore(lossy.root, lossy.options).log(ORDERS))
    writer = log.writer()
    writer.write(inserts([1, 2], commit=5))
    switch.write_text("dead")
    with pytest.raises(StoreError) as caught:
        writer.commit(captured=Position(1, 5))
    writer.abort()
    assert SECRET not in str(caught.value)
    direct = DeltaEventStore(bucket.root, bucket.options).log(ORDERS)
    assert stored_ids(direct) == [1, 2]
    assert direct.snapshot().captured == Position(1, 5).end_of_commit()


# --- damage ------------------------------------------------------------------------------


def newest_commit(store: DeltaEventStore) -> Path:
    return max((Path(store.uri(ORDERS)) / "_delta_log").glob("*.json"))


def test_an_empty_commit_file_is_not_taken_for_a_commit(
    log: DeltaEventLog, local_store: DeltaEventStore
) -> None:
    append(log, inserts([1], commit=1))
    newest_commit(local_store).write_bytes(b"")
    with pytest.raises(StoreCorrupt, match="commit 1 of the log is empty"):
        local_store.log(ORDERS).snapshot()
    with pytest.raises(StoreCorrupt):
        local_store.log(ORDERS).writer()


def test_an_empty_commit_file_is_seen_by_a_log_that_is_open(
    log: DeltaEventLog, local_store: DeltaEventStore
) -> None:
    append(log, inserts([1], commit=1))
    append(local_store.log(ORDERS), inserts([2], commit=2))
    newest_commit(local_store).write_bytes(b"")
    with pytest.raises(StoreCorrupt, match="commit 2"):
        log.writer()


def test_a_torn_commit_file_stops_the_reader(log: DeltaEventLog, local_store: DeltaEventStore) -> None:
    append(log, inserts([1], commit=1))
    newest = newest_commit(local_store)
    newest.write_bytes(newest.read_bytes()[:-40])
    with pytest.raises(StoreCorrupt):
        local_store.log(ORDERS).snapshot()


def test_a_torn_data_file_is_named(log: DeltaEventLog, local_store: DeltaEventStore) -> None:
    append(log, inserts([1], commit=1))
    (path,) = on_disk(local_store)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StoreCorrupt, match=path.name):
        log.snapshot().events("r000000").to_table()


def test_a_folder_that_is_another_delta_table_is_refused(local_store: DeltaEventStore) -> None:
    place = Path(local_store.uri(ORDERS))
    place.mkdir(parents=True)
    DeltaTable.create(str(place), inserts([1], commit=1).schema)
    with pytest.raises(StoreCorrupt, match="no event log"):
        local_store.log(ORDERS).snapshot()
    with pytest.raises(StoreCorrupt, match="no event log"):
        ready(local_store.log(ORDERS))


def test_a_place_that_cannot_be_written_is_told_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("in the way")
    with pytest.raises(StoreError) as caught:
        ready(DeltaEventStore(str(tmp_path)).log(ORDERS))
    assert caught.value.__cause__ is not None


def test_credentials_show_nowhere(bucket: Bucket) -> None:
    store = DeltaEventStore(bucket.root, bucket.options)
    log = ready(store.log(ORDERS))
    shown = [store, store._storage, log, log._place, store.ledger("shop"), log.writer(), log.snapshot()]
    assert all(SECRET not in repr(thing) for thing in shown)
    wrong = DeltaEventStore("s3://no-such-bucket/x", bucket.options)
    with pytest.raises(StoreError) as caught:
        ready(wrong.log(ORDERS))
    assert SECRET not in str(caught.value)


def on_disk(store: DeltaEventStore) -> list[Path]:
    return list(Path(store.uri(ORDERS)).rglob("*.parquet"))
