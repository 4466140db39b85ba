"""The offset journal remembers where blocks end, and lets one capture tell the next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from replication_assets.errors import CommitConflict
from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store.offset_journal import LINES_PER_COMPACTION, DeltaOffsetJournal
from replication_assets.ports.offsets import BlockEnd, RefusedMessage


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], DeltaOffsetJournal]:
    return lambda: DeltaEventStore(str(tmp_path)).offsets("shop")


def end(commit: int, *, start: int = 0) -> BlockEnd:
    return BlockEnd(commit, {"t": (commit, 0), "ü/x": (0,)}, ("shop.public.orders",), start)


def message(offset: int) -> RefusedMessage:
    return RefusedMessage("t", 0, offset, "odd", None, b"\x00canary")


def test_ends_are_read_back_as_they_were_told(opened: Callable[[], DeltaOffsetJournal]) -> None:
    assert opened().last() is None
    assert opened().since(0) == ()
    journal = opened()
    for commit in (0, 5, 9):
        journal.append(end(commit))
    assert opened().last() == end(9)
    assert opened().since(5) == (end(5), end(9))
    assert opened().since(9) == (end(9),)
    assert opened().since(6) == ()


def test_of_two_ends_at_one_commit_the_newer_counts(opened: Callable[[], DeltaOffsetJournal]) -> None:
    journal = opened()
    for told in (end(5), BlockEnd(5, {"t": (5, 0, 0)}, (), 0), end(7)):
        journal.append(told)
    assert [each.offsets["t"] for each in opened().since(5)] == [(5, 0, 0), (7, 0)]


def test_what_was_closed_is_not_known_any_more(opened: Callable[[], DeltaOffsetJournal]) -> None:
    journal = opened()
    journal.close()
    journal.append(end(5))
    opened().close()
    opened().close()
    assert opened().last() is None
    assert opened().since(5) == ()
    journal = opened()
    journal.append(end(3, start=3))
    assert opened().since(3) == (end(3, start=3),)
    assert opened().since(5) == ()


def test_the_second_of_two_captures_is_refused(opened: Callable[[], DeltaOffsetJournal]) -> None:
    first, second = opened(), opened()
    first.append(end(1))
    first.last()
    second.last()
    first.append(end(2))
    with pytest.raises(CommitConflict, match="another capture"):
        second.append(end(3))
    assert opened().last() == end(2)


def test_a_long_journal_is_compacted_and_loses_nothing(
    opened: Callable[[], DeltaOffsetJournal], tmp_path: Path
) -> None:
    journal = opened()
    told = [end(commit) for commit in range(LINES_PER_COMPACTION + 6)]
    for each in told:
        journal.append(each)
    assert opened().since(0) == tuple(told)
    assert opened().since(60) == tuple(told[60:])
    assert opened().last() == told[-1]


def test_refused_messages_are_kept_once_and_never_shown(opened: Callable[[], DeltaOffsetJournal]) -> None:
    opened().refuse([message(1), message(2)])
    opened().refuse([message(2), message(3)])
    found = opened().refused()
    assert found == (message(1), message(2), message(3))
    assert found[0].value == b"\x00canary"
    assert "canary" not in repr(found)
