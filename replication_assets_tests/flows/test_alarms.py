"""What is told of conditions: once, again after a while, once more at the end, and never a flood."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from replication_assets.declarations import Watch
from replication_assets.flows.watch.alarms import Alarm, Condition, Key, follow
from replication_assets.ports.watch import Notification

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
WATCH = Watch(repeat_seconds=3600, settle_seconds=120)
LAG = Condition("lag", "shop", "late", "look")


class Story:
    """Looks one after another; `told` is everything that was said."""

    def __init__(self) -> None:
        self.alarms: dict[Key, Alarm] = {}
        self.told: list[tuple[int, Notification]] = []

    def look(self, at: int, *conditions: Condition, unknown: Sequence[Key] = ()) -> list[str]:
        now = START + dt.timedelta(seconds=at)
        self.alarms, told = follow(self.alarms, conditions, unknown, WATCH, now)
        self.told += [(at, each) for each in told]
        return [f"{each.kind} {each.phase}" for each in told]


def test_a_condition_is_told_when_it_starts_and_when_it_is_over() -> None:
    story = Story()
    assert story.look(0, LAG) == ["lag started"]
    assert story.look(30, LAG) == []
    assert story.look(60) == []
    assert story.look(150) == []
    assert story.look(180) == ["lag resolved"]
    assert story.look(210) == []
    over = story.told[-1][1]
    assert (over.what, over.since, over.at) == ("over: late", START, START + dt.timedelta(seconds=180))


def test_a_condition_that_lasts_is_told_again() -> None:
    story = Story()
    for at in range(0, 7300, 30):
        story.look(at, LAG)
    assert [(at, each.phase) for at, each in story.told] == [
        (0, "started"),
        (3600, "repeated"),
        (7200, "repeated"),
    ]
    assert len({each.id for _, each in story.told}) == 3


def test_one_that_comes_and_goes_stays_one() -> None:
    story = Story()
    for at in range(0, 3000, 60):
        story.look(at, *([LAG] if at % 120 == 0 else []))
    assert [each.phase for _, each in story.told] == ["started"]


def test_one_that_gets_worse_is_told_at_once_and_one_that_gets_better_is_not() -> None:
    story = Story()
    danger = Condition("slot", "shop", "nearly lost", "hurry", grade=1)
    lost = Condition("slot", "shop", "lost", "recover", grade=3)
    assert story.look(0, danger) == ["slot started"]
    assert story.look(30, lost) == ["slot started"]
    assert story.look(60, danger) == []
    assert story.look(90, lost) == []


def test_what_cannot_be_read_now_is_not_over() -> None:
    story = Story()
    story.look(0, LAG)
    for at in range(30, 600, 30):
        assert story.look(at, unknown=[LAG.key]) == []
    assert story.look(600) == []
    assert story.look(720) == ["lag resolved"]


def test_long_texts_are_cut_and_lines_are_joined() -> None:
    story = Story()
    story.look(0, Condition("failure", "shop", "line\nline " + "x" * 5000, "fix\n" * 1000))
    told = story.told[0][1]
    assert told.what.startswith("line line x")
    assert len(told.what) <= 600
    assert len(told.fix) <= 600


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_whatever_happens_beginnings_and_ends_alternate_and_are_bounded(present: list[bool]) -> None:
    story = Story()
    for number, there in enumerate(present):
        story.look(30 * number, *([LAG] if there else []))
    phases = [each.phase for _, each in story.told]
    bounds = [phase for phase in phases if phase != "repeated"]
    assert bounds == [("started", "resolved")[number % 2] for number in range(len(bounds))]
    # A beginning and an end take at least the time to settle; between repeats lies an hour.
    seconds = 30 * len(present)
    counted = Counter(phases)
    assert counted["started"] <= 1 + seconds / WATCH.settle_seconds
    assert counted["repeated"] <= seconds / WATCH.repeat_seconds
    if any(present):
        assert phases[0] == "started"
