"""The record of a cutover: in order, durable, and for one runner at a time."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from replication_assets.core.cutover import CutoverFact, CutoverHistory
from replication_assets.errors import CommitConflict
from replication_assets.event_store import DeltaEventStore
from replication_assets_tests.event_store.conftest import Bucket

AT = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
STARTED = CutoverFact("a1", "started", AT)
SWITCHED = CutoverFact("a1", "switched", AT + dt.timedelta(seconds=1), '{"hook": "by \\u00fc"}')


def test_facts_are_read_back_in_order_by_anybody(tmp_path: Path) -> None:
    log = DeltaEventStore(str(tmp_path)).cutover_log("to_lake")
    assert log.history() == CutoverHistory()
    log.append(STARTED, 0)
    log.append(SWITCHED, 1)
    again = DeltaEventStore(str(tmp_path))
    assert again.cutover_log("to_lake").history().facts == (STARTED, SWITCHED)
    assert again.cutover_log("other").history().facts == ()
    assert (tmp_path / "_cutovers" / "to_lake" / "_delta_log").is_dir()


def test_facts_are_kept_in_a_bucket(bucket: Bucket) -> None:
    DeltaEventStore(bucket.root, bucket.options).cutover_log("to_lake").append(STARTED, 0)
    assert DeltaEventStore(bucket.root, bucket.options).cutover_log("to_lake").history().facts == (STARTED,)


def test_who_has_not_seen_the_last_fact_cannot_add_one(tmp_path: Path) -> None:
    store = DeltaEventStore(str(tmp_path))
    store.cutover_log("to_lake").append(STARTED, 0)
    with pytest.raises(CommitConflict, match="somebody else"):
        store.cutover_log("to_lake").append(CutoverFact("a2", "started", AT), 0)
    assert store.cutover_log("to_lake").history().facts == (STARTED,)


def test_of_many_that_take_one_step_at_once_one_succeeds(tmp_path: Path) -> None:
    def take(number: int) -> bool:
        try:
            log = DeltaEventStore(str(tmp_path)).cutover_log("to_lake")
            log.append(CutoverFact(f"a{number}", "switching", AT), 0)
        except CommitConflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(take, range(6)))
    assert taken.count(True) == 1
    facts = DeltaEventStore(str(tmp_path)).cutover_log("to_lake").history().facts
    assert [fact.attempt for fact in facts] == [f"a{taken.index(True)}"]
