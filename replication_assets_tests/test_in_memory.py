"""Where tests keep their files: whose wish counts, and what a killed run leaves."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from replication_assets_tests import in_memory

NOBODY = 2**22 + 1
"""No process has it: above the highest that Linux gives."""


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a run begins; the real one goes on where it was."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    monkeypatch.setenv("TMPDIR", "")
    monkeypatch.delenv("TMPDIR")


def test_a_run_gets_a_folder_of_its_own_and_what_a_dead_one_left_goes(
    tmp_path: Path, undecided: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_memory, "NEEDED_BYTES", 1)
    dead = tmp_path / f"{in_memory.PREFIX}{NOBODY}"
    alive = tmp_path / f"{in_memory.PREFIX}{os.getppid()}"
    for folder in (dead / "store", alive):
        folder.mkdir(parents=True)
    own = in_memory.use(tmp_path)
    assert own is not None
    assert sorted(tmp_path.iterdir()) == sorted([own, alive])
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(own)


def test_without_room_in_memory_files_stay_where_they_would_be(
    tmp_path: Path, undecided: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_memory, "NEEDED_BYTES", 2**60)
    assert in_memory.use(tmp_path) is None
    assert in_memory.use(tmp_path / "absent") is None
    assert "TMPDIR" not in os.environ


def test_who_says_where_files_go_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert in_memory.use(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
