"""The ledger: how far a source is captured, told by one capture at a time."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import sys
from multiprocessing.synchronize import Barrier

import pytest

from replication_assets.core.positions import Position
from replication_assets.errors import CommitConflict, StoreError
from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store.ledger import LINES_PER_COMPACTION
from replication_assets.event_store.storage import ledger_folder
from replication_assets.ports import CaptureMark, SourceIdentity
from replication_assets_tests.event_store.samples import NOON

IDENTITY = SourceIdentity("7412345678901234567", 3)


def mark(commit: int, *, epoch: int = 1, minutes: int | None = 0) -> CaptureMark:
    committed = None if minutes is None else NOON + dt.timedelta(minutes=minutes, microseconds=7)
    return CaptureMark(epoch, commit, IDENTITY, committed, NOON + dt.timedelta(days=1))


def test_the_last_mark_is_what_was_recorded(store: DeltaEventStore) -> None:
    assert store.ledger("shop").last() is None
    assert store.ledger("shop").position_at(NOON) is None
    ledger = store.ledger("shop")
    for written in (mark(5, minutes=None), mark(8), mark(8, minutes=1), mark(2, epoch=2)):
        ledger.record(written)
        assert store.ledger("shop").last() == written
        assert ledger.last() == written
    assert store.ledger("other").last() is None


def test_a_mark_never_goes_back(store: DeltaEventStore) -> None:
    ledger = store.ledger("shop")
    ledger.record(mark(8, epoch=2))
    for older in (mark(7, epoch=2), mark(9, epoch=1)):
        with pytest.raises(StoreError, match="cannot go back"):
            ledger.record(older)
    assert store.ledger("shop").last() == mark(8, epoch=2)


def test_a_capture_that_was_overtaken_cannot_record(store: DeltaEventStore) -> None:
    first, second = store.ledger("shop"), store.ledger("shop")
    first.record(mark(5))
    second.last()
    first.record(mark(6))
    with pytest.raises(CommitConflict, match="another capture"):
        second.record(mark(7))
    assert store.ledger("shop").last() == mark(6)
    assert second.last() == mark(6)
    second.record(mark(7))
    assert store.ledger("shop").last() == mark(7)


def test_even_an_equal_mark_of_another_capture_is_noticed(local_store: DeltaEventStore) -> None:
    first, second = local_store.ledger("shop"), local_store.ledger("shop")
    first.record(mark(5))
    second.last()
    first.record(mark(5))
    with pytest.raises(CommitConflict):
        second.record(mark(6))


def test_a_position_is_found_by_the_source_s_own_time(store: DeltaEventStore) -> None:
    ledger = store.ledger("shop")
    for written in (
        mark(4, minutes=None),
        mark(5, minutes=1),
        mark(9, minutes=2),
        mark(3, epoch=2, minutes=4),
    ):
        ledger.record(written)

    def at(**since_noon: int) -> Position | None:
        return ledger.position_at(NOON + dt.timedelta(**since_noon))

    assert at(minutes=1) is None
    assert at(minutes=1, microseconds=7) == Position(1, 5).end_of_commit()
    assert at(minutes=3) == Position(1, 9).end_of_commit()
    assert at(days=9) == Position(2, 3).end_of_commit()
    elsewhere = (NOON + dt.timedelta(minutes=3)).astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert ledger.position_at(elsewhere) == Position(1, 9).end_of_commit()


def test_times_without_a_zone_are_refused(local_store: DeltaEventStore) -> None:
    ledger = local_store.ledger("shop")
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(StoreError, match="zone"):
        ledger.record(CaptureMark(1, 1, IDENTITY, naive, NOON))
    with pytest.raises(StoreError, match="zone"):
        ledger.position_at(naive)


def test_the_ledger_keeps_its_files_few_and_all_its_lines(local_store: DeltaEventStore) -> None:
    ledger = local_store.ledger("shop")
    count = LINES_PER_COMPACTION + 5
    for commit in range(1, count + 1):
        ledger.record(mark(commit, minutes=commit))
    place = local_store._storage.place(ledger_folder("shop"), "ledger")
    assert place.open().to_pyarrow_dataset().count_rows() == count
    assert len(place.open().file_uris()) == 6
    fresh = local_store.ledger("shop")
    assert fresh.last() == mark(count, minutes=count)
    assert fresh.position_at(NOON + dt.timedelta(minutes=20, seconds=1)) == Position(1, 20).end_of_commit()
    fresh.record(mark(count + 1))
    assert local_store.ledger("shop").last() == mark(count + 1)


def record(barrier: Barrier, number: int, root: str) -> None:
    ledger = DeltaEventStore(root).ledger("shop")
    ledger.last()
    barrier.wait()
    try:
        ledger.record(mark(10 + number))
    except CommitConflict:
        sys.exit(3)


def test_of_captures_that_record_at_one_moment_exactly_one_stands(local_store: DeltaEventStore) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    processes = [
        context.Process(target=record, args=(barrier, number, local_store.root)) for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    codes = [process.exitcode for process in processes]
    assert sorted(str(code) for code in codes) == ["0", "3", "3", "3"]
    assert local_store.ledger("shop").last() == mark(10 + codes.index(0))
