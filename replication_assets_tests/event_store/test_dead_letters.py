"""Dead letters: kept once however often they are told, open until somebody closed them."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import subprocess
import sys
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.errors import StoreError
from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store import dead_letters as dead_letters_module
from replication_assets.event_store.dead_letters import FILES_BEFORE_COMPACTION, DeltaDeadLetters
from replication_assets.event_store.files import active_files
from replication_assets.event_store.storage import dead_letters_folder, folder_of
from replication_assets.ports import Closed, DeadLetter, Suspension
from replication_assets.ports.dead_letters import LETTERS
from replication_assets_tests.event_store.samples import NOON, ORDERS

A, B = "r000000", "r000001"


def refusal(
    key: int, commit: int = 5, column: str | None = "note", reason: str = "malformed-json"
) -> Refusal:
    return Refusal(f'{{"id":"{key}"}}', Position(1, commit, 1), column, reason, "it does not end")


def minute(number: int) -> dt.datetime:
    return NOON + dt.timedelta(minutes=number)


def letters_of(store: DeltaEventStore) -> DeltaDeadLetters:
    return store.dead_letters("items", ORDERS)


def keys(letters: DeltaDeadLetters) -> list[str]:
    return sorted(letter.refusal.key for letter in letters.open())


def test_what_is_kept_is_open_with_everything_that_was_said_of_it(store: DeltaEventStore) -> None:
    assert letters_of(store).open() == ()
    assert letters_of(store).count() == 0
    assert letters_of(store).suspended() is None
    letters_of(store).add(A, [refusal(1), refusal(2, column=None, reason="item-too-large")], minute(0))
    assert letters_of(store).open() == (
        DeadLetter(A, refusal(1), 1, minute(0), minute(0)),
        DeadLetter(A, refusal(2, column=None, reason="item-too-large"), 1, minute(0), minute(0)),
    )
    assert letters_of(store).count() == 2
    assert store.dead_letters("other", ORDERS).open() == ()


def test_letters_are_told_apart_by_key_position_and_column(local_store: DeltaEventStore) -> None:
    letters = letters_of(local_store)
    told = [refusal(1), refusal(2), refusal(1, commit=6), refusal(1, column="name"), refusal(1, column=None)]
    letters.add(A, told, minute(0))
    assert letters.count() == len(letters.open()) == 5


def test_a_refusal_told_again_is_one_more_attempt_and_within_one_attempt_it_is_not(
    local_store: DeltaEventStore,
) -> None:
    letters = letters_of(local_store)
    letters.add(A, [refusal(1)], minute(0))
    letters.add(A, [refusal(1)], minute(0))
    assert letters.open()[0].attempts == 1
    letters.add(A, [refusal(1, reason="too-deep")], minute(3))
    assert letters.open() == (DeadLetter(A, refusal(1, reason="too-deep"), 2, minute(0), minute(3)),)
    assert letters.count() == 1


def test_a_letter_is_open_while_nothing_closed_it_after_its_last_attempt(
    local_store: DeltaEventStore,
) -> None:
    letters = letters_of(local_store)
    letters.add(A, [refusal(1), refusal(2), refusal(3)], minute(0))
    one, two, three = letters.open()
    letters.close([one], "applied", minute(1))
    letters.close([two], "discarded", minute(1))
    assert letters.open() == (three,)
    assert letters.count() == 1
    # A clock that is behind changes nothing.
    letters.add(A, [refusal(1)], minute(-30))
    assert [(each.refusal, each.attempts) for each in letters.open()] == [(refusal(1), 1), (refusal(3), 1)]
    letters.close_rows(letters.open_rows(), "superseded", minute(-60))
    assert letters.open() == ()
    assert letters.count() == 0


def test_the_oldest_come_first_and_a_range_can_be_asked_for(local_store: DeltaEventStore) -> None:
    letters = letters_of(local_store)
    letters.add(B, [refusal(200)], minute(1))
    letters.add(A, [refusal(2), refusal(1)], minute(2))
    letters.add(A, [refusal(3)], minute(0))
    assert [each.refusal.key for each in letters.open()] == [f'{{"id":"{n}"}}' for n in (3, 200, 1, 2)]
    assert [each.id_range for each in letters.open(B)] == [B]
    assert letters.open_rows(A).schema == LETTERS
    assert letters.open_rows(A).num_rows == 3


def test_a_table_is_suspended_from_the_first_reason_until_it_is_resumed(store: DeltaEventStore) -> None:
    letters = letters_of(store)
    letters.suspend("a row is refused", minute(1))
    letters.suspend("another row is refused", minute(2))
    assert letters_of(store).suspended() == Suspension("a row is refused", minute(1))
    letters.resume(minute(3))
    assert letters_of(store).suspended() is None
    letters.resume(minute(4))
    letters.suspend("again", minute(5))
    assert letters.suspended() == Suspension("again", minute(5))
    assert letters.count() == 0


def test_whoever_adds_while_a_letter_is_closed_keeps_it_open(
    local_store: DeltaEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters, other = letters_of(local_store), letters_of(local_store)
    letters.add(A, [refusal(1)], minute(0))
    original = dead_letters_module.commit

    def overtaken(*arguments: Any) -> None:
        monkeypatch.setattr(dead_letters_module, "commit", original)
        other.add(A, [refusal(1)], minute(1))
        original(*arguments)

    monkeypatch.setattr(dead_letters_module, "commit", overtaken)
    letters.close(letters.open(), "applied", minute(2))
    assert letters.count() == 1


def _add(root: str, worker: int, letters: int) -> None:
    mine = DeltaEventStore(root).dead_letters("items", ORDERS)
    for number in range(letters):
        mine.add(A, [refusal(1000 * worker + number), refusal(7)], minute(worker))


def test_concurrent_adders_lose_nothing(local_store: DeltaEventStore) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add, args=(local_store.root, n, 10)) for n in range(1, 4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    letters = letters_of(local_store)
    assert letters.count() == 31
    assert {letter.attempts for letter in letters.open() if letter.refusal == refusal(7)} == {3}


def test_many_small_files_become_few_and_no_letter_is_lost(local_store: DeltaEventStore) -> None:
    letters = letters_of(local_store)
    for number in range(FILES_BEFORE_COMPACTION + 1):
        letters.add(A, [refusal(number)], minute(number))
    assert letters.count() == FILES_BEFORE_COMPACTION + 1
    assert len(active_files(DeltaTable(letters.uri))) < 10
    assert len(keys(letters_of(local_store))) == FILES_BEFORE_COMPACTION + 1
    assert letters.vacuum(dt.timedelta(0)) > FILES_BEFORE_COMPACTION - 1
    assert letters_of(local_store).count() == FILES_BEFORE_COMPACTION + 1


CRASH = """
import os, signal, sys
from replication_assets.event_store import DeltaEventStore, dead_letters
from replication_assets_tests.event_store.test_dead_letters import A, letters_of, minute, refusal
when = sys.argv[2]
original = dead_letters.commit
def crashing(*arguments):
    if when == "after":
        original(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
letters = letters_of(DeltaEventStore(sys.argv[1]))
dead_letters.commit = crashing
letters.add(A, [refusal(1), refusal(2)], minute(0))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_writer_leaves_its_letters_whole_or_not_at_all(
    local_store: DeltaEventStore, when: str
) -> None:
    subprocess.run([sys.executable, "-c", CRASH, local_store.root, when], check=False)
    letters = letters_of(local_store)
    assert letters.count() == (2 if when == "after" else 0)
    letters.add(A, [refusal(1), refusal(2)], minute(1))
    assert letters.count() == len(letters.open()) == 2


def test_a_time_without_zone_is_refused(local_store: DeltaEventStore) -> None:
    with pytest.raises(StoreError, match="no zone"):
        letters_of(local_store).add(A, [refusal(1)], dt.datetime(2026, 1, 1))


def test_no_projection_shares_a_folder_with_a_log_or_another_projection() -> None:
    places = {dead_letters_folder(name, ORDERS) for name in ("a", "a.b", "a/b", "A", "a-b", "é")}
    assert len(places) == 6
    assert folder_of(ORDERS) not in places
    assert all(place.count("/") == 3 for place in places)


step = st.one_of(
    st.tuples(st.just("add"), st.lists(st.integers(0, 4), max_size=3), st.integers(0, 6)),
    st.tuples(st.just("close"), st.sets(st.integers(0, 4)), st.sampled_from(["applied", "discarded"])),
    st.tuples(st.just("compact")),
)


@settings(max_examples=15)
@given(st.lists(step, max_size=8))
def test_what_is_open_is_what_a_simple_model_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    letters = letters_of(DeltaEventStore(str(tmp_path_factory.mktemp("letters"))))
    model: dict[int, set[dt.datetime]] = {}
    for name, *arguments in steps:
        if name == "add":
            told, at = arguments
            letters.add(A, [refusal(key) for key in told], minute(at))
            for key in told:
                model.setdefault(key, set()).add(minute(at))
        elif name == "close":
            gone, how = arguments
            _close(letters, {refusal(key) for key in gone}, how)
            model = {key: times for key, times in model.items() if key not in gone}
        else:
            letters.compact()
    found = {each.refusal: (each.attempts, each.first_at, each.last_at) for each in letters.open()}
    assert found == {refusal(key): (len(t), min(t), max(t)) for key, t in model.items()}
    assert letters.count() == len(model)


def _close(letters: DeltaDeadLetters, refusals: set[Refusal], how: Closed) -> None:
    letters.close([each for each in letters.open() if each.refusal in refusals], how, minute(9))
