"""Jobs in threads: a limit, and one end for all of them."""

from __future__ import annotations

import time
from threading import Barrier, Lock

import pytest

from replication_assets.cli.parallel import StopAsked, Stopped, in_parallel


def test_no_more_jobs_than_the_limit_run_at_a_time() -> None:
    running, most, lock = [0], [0], Lock()

    def job(_: StopAsked) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with lock:
            running[0] -= 1

    in_parallel([job] * 9, 3)
    assert most == [3]


def test_the_first_failure_ends_the_others_before_it_is_raised() -> None:
    both = Barrier(2)
    ended: list[str] = []

    def failing(_: StopAsked) -> None:
        both.wait(10)
        raise ValueError("the first")

    def patient(stop: StopAsked) -> None:
        both.wait(10)
        try:
            while True:
                stop.check()
                time.sleep(0.01)
        except Stopped:
            ended.append("stopped")
            raise

    with pytest.raises(ValueError, match="the first"):
        in_parallel([failing, patient], 2)
    assert ended == ["stopped"]
