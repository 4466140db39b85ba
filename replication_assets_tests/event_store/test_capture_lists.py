"""Which tables captures kept: told once for each change of the list."""

from __future__ import annotations

import pytest

from replication_assets.core.schema import TableId
from replication_assets.errors import CommitConflict
from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store.capture_lists import DeltaCaptureLists
from replication_assets.ports import CapturedTables
from replication_assets_tests.event_store.samples import NOON

A, B = TableId("shop", "sales", "a"), TableId("shop", "sälés", 'b "c"')


def test_the_last_list_is_what_was_recorded(store: DeltaEventStore) -> None:
    assert store.capture_lists("shop").last() is None
    for tables in (
        CapturedTables(1, frozenset({A, B})),
        CapturedTables(1, frozenset({B})),
        CapturedTables(2, frozenset({B})),
        CapturedTables(2, frozenset()),
    ):
        store.capture_lists("shop").record(tables, NOON)
        assert store.capture_lists("shop").last() == tables
    assert store.capture_lists("other").last() is None


def test_a_list_that_is_the_last_one_is_not_written_again(local_store: DeltaEventStore) -> None:
    lists = local_store.capture_lists("shop")
    for _ in range(3):
        lists.record(CapturedTables(1, frozenset({A})), NOON)
    assert lists._lines.count() == 1


def test_of_two_that_record_from_one_state_one_is_told(
    local_store: DeltaEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = local_store.capture_lists("shop"), local_store.capture_lists("shop")
    seen = second._numbered()
    first.record(CapturedTables(1, frozenset({A})), NOON)
    monkeypatch.setattr(DeltaCaptureLists, "_numbered", lambda _: seen)
    with pytest.raises(CommitConflict):
        second.record(CapturedTables(1, frozenset({B})), NOON)
    monkeypatch.undo()
    assert first.last() == CapturedTables(1, frozenset({A}))
