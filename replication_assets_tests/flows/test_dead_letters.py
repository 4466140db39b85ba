"""Rows that a target refuses: kept before the checkpoint passes them, dealt with by policy, closed
when they are overtaken, and retried without ever letting an old event beat a newer one."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.letters import typed_keys
from replication_assets.declarations import Refusals
from replication_assets.errors import TableSuspended, TargetError
from replication_assets.event_store import DeltaEventStore
from replication_assets.flows.dead_letters import RetryReceipt, discard, letter_events, resume, retry
from replication_assets.flows.project import project_range
from replication_assets.ports import TargetNeeds
from replication_assets_tests.event_store.samples import ORDERS, SCHEMA
from replication_assets_tests.flows.refusing_target import R0, RefusingTarget, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A table with two good rows, projected."""
    made = Shop(DeltaEventStore(str(tmp_path / "store"))).begin()
    made.happen(("I", 1, "one"), ("I", 2, "two"))
    made.project()
    return made


def retry_all(shop: Shop) -> RetryReceipt:
    return retry(shop.store, shop.target, shop.handling, ORDERS)  # type: ignore[arg-type]


def test_refused_rows_are_kept_aside_and_the_rest_goes_on(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"), ("U", 1, "odd"), ("I", 4, "four"))
    assert shop.project().how == "applied"
    assert shop.target.notes() == {1: None, 2: "two", 4: "four"}
    assert shop.open() == [(3, 3, None, 1), (1, 3, "note", 1)]
    assert shop.project().how == "unchanged"
    assert shop.open() == [(3, 3, None, 1), (1, 3, "note", 1)]


def test_rows_that_a_rebuild_refuses_are_kept_once_however_often_it_is_run(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"))
    for attempts in (1, 2, 3):
        shop.project(rebuild=True)
        assert shop.open() == [(3, 3, None, attempts)]


def test_a_newer_event_that_is_accepted_supersedes_a_letter(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"), ("I", 4, "odd"), ("I", 5, "bad"), ("I", 6, "bad"))
    shop.project()
    shop.happen(("U", 3, "three"), ("U", 4, "four"), ("D", 5, None))
    shop.project()
    assert shop.target.notes() == {1: "one", 2: "two", 3: "three", 4: "four"}
    assert shop.open() == [(6, 3, None, 1)]
    assert shop.closed() == {"superseded": 3}


def test_a_newer_event_that_is_refused_as_well_is_a_letter_beside_the_older(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"), ("I", 4, "odd"))
    shop.project()
    shop.happen(("U", 3, "bad too"), ("U", 4, "odd too"))
    shop.project()
    # The row of the second was accepted: what its older letter speaks of is gone.
    assert shop.open() == [(3, 3, None, 1), (3, 4, None, 1), (4, 4, "note", 1)]


def test_letters_that_a_rebuild_does_not_refuse_again_are_closed(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"), ("I", 4, "odd"), ("I", 5, "bad"))
    shop.project()
    shop.target.refused = {"bad"}
    shop.happen(("D", 5, None))
    shop.project(rebuild=True)
    assert shop.target.notes() == {1: "one", 2: "two", 4: "odd"}
    assert shop.open() == [(3, 3, None, 2)]
    assert shop.closed() == {"applied": 2}


@pytest.mark.parametrize("rebuild", [False, True])
def test_what_another_run_refuses_at_the_same_time_stays_open(shop: Shop, *, rebuild: bool) -> None:
    shop.happen(("I", 3, "bad"), ("I", 4, "odd"))
    rival = Shop(shop.store, RefusingTarget(checkpoints=dict(shop.target.checkpoints)))

    def meanwhile() -> None:
        rival.project()

    shop.target.before_commit = meanwhile
    shop.project(rebuild=rebuild)
    assert shop.open() == [(3, 3, None, 2), (4, 3, "note", 2)]
    assert shop.closed() == {}


def test_a_suspended_table_is_left_alone_until_it_is_resumed(shop: Shop) -> None:
    shop = shop.with_rules(Refusals("suspend"))
    shop.happen(("I", 3, "bad"), ("I", 4, "four"))
    shop.project()
    assert shop.target.notes() == {1: "one", 2: "two", 4: "four"}
    shop.happen(("I", 5, "five"))
    for _ in range(2):
        with pytest.raises(TableSuspended, match=r"suspended since .*a row is refused.*bad-note.*resume it"):
            shop.project()
    assert 5 not in shop.target.rows
    assert resume(shop.handling)
    assert not resume(shop.handling)
    shop.project()
    assert shop.target.notes()[5] == "five"
    assert shop.open() == [(3, 3, None, 1)]


def test_a_projection_that_stops_shows_its_letters_and_goes_on_once_the_cause_is_mended(shop: Shop) -> None:
    shop = shop.with_rules(Refusals("stop"))
    shop.happen(("I", 3, "bad"), ("I", 4, "four"))
    before = shop.target.checkpoints[R0]
    for attempts in (1, 2):
        with pytest.raises(TargetError, match="bad-note: as told"):
            shop.project()
        assert shop.open() == [(3, 3, None, attempts)]
        assert shop.target.checkpoints[R0] == before
    assert retry_all(shop) == RetryReceipt(waiting=1)
    shop.happen(("U", 3, "three"))
    shop.project()
    assert shop.target.notes() == {1: "one", 2: "two", 3: "three", 4: "four"}
    assert shop.open() == []


def test_a_stopped_event_that_is_accepted_later_counts_as_applied(shop: Shop) -> None:
    shop = shop.with_rules(Refusals("stop"))
    shop.happen(("I", 3, "bad"))
    with pytest.raises(TargetError):
        shop.project()
    shop.target.refused = set()
    shop.project()
    assert shop.closed() == {"applied": 1}


@pytest.mark.parametrize(("policy", "error"), [("suspend", None), ("stop", TargetError)])
def test_many_open_letters_escalate(shop: Shop, policy: str, error: type[TargetError] | None) -> None:
    shop = shop.with_rules(Refusals(escalate_after=3, escalate_to=policy))  # type: ignore[arg-type]
    shop.happen(("I", 3, "bad"), ("I", 4, "bad"))
    shop.project()
    shop.happen(("I", 5, "bad"))
    if error is None:
        shop.project()
        assert shop.letters.suspended() is not None
    else:
        with pytest.raises(error):
            shop.project()
    assert len(shop.open()) == 3


CRASH = """
import os, signal, sys
from replication_assets.event_store import DeltaEventStore
from replication_assets_tests.flows.refusing_target import RefusingTarget, Shop
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
Shop(DeltaEventStore(sys.argv[1]), RefusingTarget(before_commit=die)).project()
"""


def test_a_run_killed_between_a_letter_and_its_checkpoint_leaves_one_letter(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"), ("I", 4, "odd"))
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", CRASH, shop.store.root], check=False)
        assert done.returncode == -signal.SIGKILL
    shop.project()
    assert shop.open() == [(3, 3, None, 3), (4, 3, "note", 3)]
    assert shop.letters.count() == 2


def test_without_handling_the_first_refusal_ends_the_run(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"))
    with pytest.raises(TargetError, match="bad-note"):
        project_range(
            shop.store.log(ORDERS).snapshot(),
            ORDERS,
            shop.target,
            shop.id_range,  # type: ignore[arg-type]
        )
    assert shop.open() == []


def test_a_retry_applies_what_is_not_refused_any_more(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"), ("I", 4, "odd"), ("I", 5, "five"))
    shop.project()
    shop.target.refused = {"bad"}
    assert retry_all(shop) == RetryReceipt(applied=1, refused=1)
    assert shop.target.notes() == {1: "one", 2: "two", 4: "odd", 5: "five"}
    assert shop.open() == [(3, 3, None, 2)]
    assert shop.target.repaired == 1
    shop.target.refused = set()
    assert retry_all(shop) == RetryReceipt(applied=1)
    assert shop.target.notes()[3] == "bad"
    assert shop.open() == []
    assert retry_all(shop) == RetryReceipt()


def test_a_retry_never_lets_an_old_event_beat_a_newer_one(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"), ("I", 4, "bad"), ("I", 5, "bad"))
    shop.project()
    letters = shop.letters.open()
    shop.happen(("U", 3, "three"), ("D", 4, None))
    shop.project()
    # As if nobody had closed them when they were overtaken.
    at = letters[0].first_at
    shop.letters.add(R0, [each.refusal for each in letters], at)
    shop.target.refused = set()
    assert retry_all(shop) == RetryReceipt(applied=1, superseded=2)
    assert shop.target.notes() == {1: "one", 2: "two", 3: "three", 5: "bad"}
    assert shop.open() == []


def test_a_retry_takes_what_was_mended_at_the_source_meanwhile(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"))
    shop.project()
    shop.happen(("U", 3, "mended"))
    assert retry_all(shop) == RetryReceipt(superseded=1)
    assert shop.target.notes()[3] == "mended"
    assert shop.open() == []


def test_a_retry_of_a_suspended_table_sees_nothing_that_the_checkpoint_is_not_past(shop: Shop) -> None:
    shop.happen(("I", 3, "odd"))
    shop.project()
    shop.letters.suspend("by hand", dt.datetime.now(dt.UTC))
    shop.happen(("U", 3, "newer"))
    shop.target.refused = set()
    assert retry_all(shop) == RetryReceipt(applied=1)
    assert shop.target.notes()[3] == "odd"
    resume(shop.handling)
    shop.project()
    assert shop.target.notes()[3] == "newer"


def test_single_letters_can_be_retried_or_discarded(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"), ("I", 4, "bad"), ("I", 5, "bad"))
    shop.project()
    shop.target.refused = set()
    three, four, _ = shop.letters.open()
    receipt = retry(shop.store, shop.target, shop.handling, ORDERS, [three])  # type: ignore[arg-type]
    assert receipt == RetryReceipt(applied=1)
    discard(shop.handling, [four])
    assert shop.open() == [(5, 3, None, 1)]
    assert shop.target.notes() == {1: "one", 2: "two", 3: "bad"}


def test_a_retry_works_while_the_table_is_suspended(shop: Shop) -> None:
    shop = shop.with_rules(Refusals("suspend"))
    shop.happen(("I", 3, "bad"))
    shop.project()
    shop.target.refused = set()
    assert retry_all(shop) == RetryReceipt(applied=1)
    assert shop.letters.suspended() is not None


def test_letters_of_a_target_that_was_emptied_are_retried_by_filling_it(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"), ("I", 4, "odd"))
    shop.project()
    shop.target.checkpoints.clear()
    shop.target.rows.clear()
    shop.target.refused = {"bad"}
    assert retry_all(shop) == RetryReceipt(applied=1, refused=1)
    assert shop.target.notes() == {1: "one", 2: "two", 4: "odd"}


def test_the_events_of_letters_are_found_in_the_store(shop: Shop) -> None:
    shop.happen(("I", 3, "bad"), ("I", 4, "four"), ("I", 5, "odd"))
    shop.project()
    shop.happen(("U", 3, "bad again"))
    shop.project()
    found = letter_events(shop.store, ORDERS, shop.letters.open()).sort_by(
        [("_commit_position", "ascending")]
    )
    assert sorted(zip(found["id"].to_pylist(), found["note"].to_pylist(), strict=True)) == [
        (3, "bad"),
        (3, "bad again"),
        (5, "odd"),
    ]
    assert letter_events(shop.store, ORDERS, ()).num_rows == 0


def test_a_key_that_no_column_can_hold_is_told_apart() -> None:
    keys, readable = typed_keys(['{"id":"7"}', '{"id":"infinity"}', '{"other":"1"}'], SCHEMA, ("id",))
    assert keys["id"].to_pylist() == [7, None, None]
    assert readable.to_pylist() == [True, False, False]


events = st.lists(
    st.tuples(
        st.sampled_from(["put", "delete"]),
        st.integers(1, 4),
        st.sampled_from(["fine", "good", "bad", "odd"]),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=12)
@given(st.lists(st.tuples(events, st.sampled_from(["apply", "rebuild", "mend", "retry"])), max_size=5))
def test_whatever_is_refused_and_retried_rows_are_current_or_have_an_open_letter(
    tmp_path_factory: pytest.TempPathFactory,
    script: list[tuple[list[tuple[str, int, str]], str]],
) -> None:
    """Once everything is accepted and retried, the target is the fold and no letter is open."""
    shop = Shop(
        DeltaEventStore(str(tmp_path_factory.mktemp("store"))), RefusingTarget(TargetNeeds(True, True))
    )
    shop.begin()
    rows: dict[int, str] = {}
    for changes, then in script:
        told: list[tuple[str, int, str | None]] = []
        for what, key, note in changes:
            if what == "put":
                told.append(("U" if key in rows else "I", key, note))
                rows[key] = note
            elif rows.pop(key, None) is not None:
                told.append(("D", key, None))
        shop.happen(*told)
        if then == "mend":
            shop.target.refused = {"odd"}
        shop.project(rebuild=then == "rebuild")
        if then == "retry":
            retry_all(shop)
        _check(shop, rows)
    shop.target.refused = set()
    shop.project()
    retry_all(shop)
    assert shop.target.notes() == rows
    assert shop.open() == []


def _check(shop: Shop, rows: dict[int, str]) -> None:
    """A row that the target lacks, or has older, is told by a letter."""
    open_keys = {key for key, *_ in shop.open()}
    held = shop.target.notes()
    assert {key for key, note in rows.items() if held.get(key) != note} <= open_keys
