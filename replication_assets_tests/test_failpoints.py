"""Failpoints: what arms them, and that they are named once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from replication_assets.failpoints import PLACES, VARIABLE

PACKAGE = Path(__file__).parents[1] / "replication_assets"
PROGRAM = (
    "from replication_assets.failpoints import reach; reach('load.read'); reach('load.read'); print('on')"
)


def _run(armed: str | None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({VARIABLE: armed} if armed is not None else {})}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False
    )


def test_nothing_happens_at_a_place_that_is_not_armed() -> None:
    for armed in (None, "", "load.opened=kill"):
        assert _run(armed).stdout == "on\n"


def test_a_process_dies_at_the_very_time_that_is_named() -> None:
    assert _run("load.read=kill").returncode == -signal.SIGKILL
    assert _run("load.read@2=kill").returncode == -signal.SIGKILL
    assert _run("load.read@3=kill").stdout == "on\n"


def test_a_full_disk_can_be_had_at_a_place() -> None:
    assert "No space left on device: 'load.read'" in _run("load.read=fail").stderr


def test_a_place_that_nothing_reaches_cannot_be_armed() -> None:
    for armed in ("load.nothing=kill", "load.read=explode", "load.read"):
        assert f"{VARIABLE}: " in _run(armed).stderr


def test_every_place_is_reached_in_one_line_of_the_program_and_every_line_is_listed() -> None:
    calls = Counter(
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r'\breach\("([a-z_.]+)"\)', path.read_text(encoding="utf-8"))
    )
    assert calls == Counter(dict.fromkeys(PLACES, 1))
