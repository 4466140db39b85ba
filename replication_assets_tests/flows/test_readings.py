"""Rates and predictions from readings: coarser after a pause, never wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.flows.watch.readings import KEPT_SECONDS, Readings


def read(values: list[tuple[float, float]]) -> Readings:
    readings = Readings()
    for at, value in values:
        readings.note("x", at, value)
    return readings


def test_a_rate_is_the_change_over_the_time_between_two_readings() -> None:
    readings = Readings()
    assert readings.note("x", 100, 1000) is None
    assert readings.note("x", 110, 1500) == 50
    assert readings.note("x", 3710, 1500) == 0


def test_a_count_that_starts_anew_has_no_rate() -> None:
    readings = read([(100, 1000)])
    assert readings.note("x", 110, 5) is None


def test_growth_is_measured_from_the_last_lowest_reading() -> None:
    stalled = read([(0, 50), (60, 10), (120, 110), (180, 210), (240, 310)])
    assert stalled.growth("x") == pytest.approx(300 / 180)


def test_a_saw_tooth_does_not_grow() -> None:
    healthy = read([(30 * n, (n % 3) * 16) for n in range(200)])
    assert healthy.growth("x") is None


def test_a_growth_too_short_to_tell_is_not_told() -> None:
    assert read([(0, 10), (30, 5000)]).growth("x") is None
    assert read([(0, 10), (3600, 10)]).growth("x") is None
    assert Readings().growth("x") is None


def test_a_growth_is_carried_on_for_fifty_times_as_long_as_it_was_seen() -> None:
    minutes = read([(0, 0), (60, 60), (120, 120)])
    assert minutes.runs_out("x", 5000) == 5000
    assert minutes.runs_out("x", 7000) is None
    assert minutes.runs_out("x", -1) == 0
    half_an_hour = read([(60 * n, 60 * n) for n in range(31)])
    assert half_an_hour.runs_out("x", 24 * 3600) == 24 * 3600
    assert Readings().runs_out("x", 1) is None


def test_growth_goes_on_through_a_restart_and_a_pause() -> None:
    before = read([(0, 0), (30, 30), (60, 60)])
    after = Readings.of(json.loads(json.dumps(before.series)), {})
    after.note("x", 3600, 3600)
    assert after.growth("x") == pytest.approx(1.0)


def test_when_a_position_was_last_captured_whole_is_known_to_one_reading() -> None:
    readings = read([(10, 100), (20, 200), (30, 300)])
    assert readings.last_at_or_below("x", 250) == 20
    assert readings.last_at_or_below("x", 300) == 30
    assert readings.last_at_or_below("x", 99) is None


@given(st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=400))
def test_what_is_kept_stays_small_in_order_and_holds_the_newest(values: list[float]) -> None:
    readings = read([(30.0 * n, value) for n, value in enumerate(values)])
    kept = readings.series["x"]
    assert len(kept) <= 40
    assert [at for at, _ in kept] == sorted({at for at, _ in kept})
    assert kept[-1] == (30.0 * (len(values) - 1), values[-1])
    assert kept[0][0] >= kept[-1][0] - KEPT_SECONDS


@given(st.floats(1, 1e6), st.lists(st.floats(10, 900), min_size=5, max_size=60), st.integers(0, 20))
def test_steady_growth_is_found_whatever_the_times_of_the_readings(
    slope: float, pauses: list[float], healthy: int
) -> None:
    readings, at = Readings(), 0.0
    for _ in range(healthy):
        readings.note("x", at, 7)
        at += 30
    start = at - 30 if healthy else at
    for pause in pauses:
        at += pause
        readings.note("x", at, 7 + slope * (at - start))
    found, kept = readings.growth("x"), readings.series["x"]
    if found is not None:
        # Old readings are thinned, so the last healthy one may be gone: less is found, never more.
        assert found <= slope * 1.001
        assert healthy > 1 or found == pytest.approx(slope)
    else:
        assert kept[-1][0] - kept[0][0] < 120
