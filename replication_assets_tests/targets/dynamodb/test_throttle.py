"""A throttled table is pushed half as hard, once per round trip, and pushed again bit by bit."""

from __future__ import annotations

import pytest

from replication_assets.targets.dynamodb.wire.throttle import Pace


def test_requests_that_were_in_flight_together_halve_the_window_once() -> None:
    pace = Pace(16)
    for _ in range(5):
        pace.throttled(sent_at=1.0, now=2.0)
    assert pace.window == 8
    pace.throttled(sent_at=2.5, now=3.0)
    assert pace.window == 4


def test_the_window_never_closes_and_never_exceeds_what_it_began_with() -> None:
    pace = Pace(4)
    for moment in range(20):
        pace.throttled(sent_at=moment + 0.5, now=moment + 1.0)
    assert pace.window == 1
    for _ in range(100):
        pace.answered()
    assert pace.window == 4


def test_answers_of_one_window_widen_it_by_about_one() -> None:
    pace = Pace(16)
    pace.throttled(1.0, 1.0)
    for _ in range(8):
        pace.answered()
    assert pace.window == 8
    pace.answered()
    assert pace.window == 9


def test_waits_are_spread_below_a_bound_that_doubles_up_to_the_longest() -> None:
    longest = Pace(1, base=0.1, longest=5.0, draw=lambda: 1.0)
    assert [longest.wait(attempts) for attempts in (0, 1, 2, 5, 6, 5_000)] == [0.1, 0.2, 0.4, 3.2, 5.0, 5.0]
    assert Pace(1, base=0.1, draw=lambda: 0.25).wait(2) == pytest.approx(0.1)


def test_a_pace_without_any_request_is_refused() -> None:
    with pytest.raises(ValueError, match="less than one"):
        Pace(0)
