"""`overhead` as a user runs it, on a file: the scratch file goes, however it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from replication_assets.core.overhead import BY_TRIGGERS, NONE, UNREAD
from replication_assets.ports.scratch import SCRATCH

SHORT = ("--scale", "0.001", "--rounds", "1")


def command(folder: Path, *options: str) -> list[str]:
    (folder / "app.db").touch()
    program = [sys.executable, "-m", "replication_assets", "overhead", *SHORT]
    return [*program, "--engine", "sqlite", "--path", str(folder / "app.db"), *options]


def test_figures_are_told_for_programs_and_nothing_is_left(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, "--seconds", "0.2", "--json"), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["ways"]) == {NONE, UNREAD, BY_TRIGGERS}
    assert told["clients"] == {"insert": 1, "select": 1, "update": 1, "delete": 1}
    assert all(way["median"]["writes"] > 0 for way in told["ways"].values())
    assert [each.name for each in tmp_path.iterdir()] == ["app.db"]


def test_an_interrupt_removes_the_scratch_file(tmp_path: Path) -> None:
    running = subprocess.Popen(command(tmp_path, "--seconds", "600"), stderr=subprocess.PIPE, text=True)
    while not (tmp_path / f"{SCRATCH}.db").exists():
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=120)
    assert running.returncode == 130, told
    assert "Traceback" not in told
    assert [each.name for each in tmp_path.iterdir()] == ["app.db"]


def test_a_server_that_is_not_named_is_a_wrong_command_line(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "replication_assets", "overhead"]
    for options in ((), ("--engine", "oracle"), ("--engine", "postgres")):
        done = subprocess.run([*program, *options], capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert done.returncode == 2, done.stderr
        assert "Fix:" in done.stderr
