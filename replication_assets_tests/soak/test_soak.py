"""A soak in short, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets_tests.soak.soak import soak
from replication_assets_tests.soak.tally import Tally


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("seconds", "mishaps"), [(1, 1), pytest.param(120, 5, marks=pytest.mark.full)])
def test_nothing_is_lost_or_doubled_whatever_happens(tmp_path: Path, seconds: float, mishaps: int) -> None:
    said: list[str] = []
    tally = soak(seconds, 1, tmp_path, said.append, mishaps)
    assert tally.passed, tally.report()
    assert tally.events > tally.transactions > 0
    assert tally.faults.total() > 0
    assert len(said) == tally.checks


def test_a_tally_that_lost_an_event_did_not_pass_and_tells_every_figure() -> None:
    tally = Tally(7, seconds=61.5, kills=2, checks=1, events=12_345)
    tally.faults["server crashed"] += 2
    assert tally.passed
    tally.lost = 1
    assert not tally.passed
    assert tally.line().split("  ")[-3:] == ["1 lost", "0 doubled", "0 rows wrong"]
    assert "server crashed                             2" in tally.report()
    assert "12,345 events" in tally.report()
