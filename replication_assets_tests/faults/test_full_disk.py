"""A disk that is full, or takes no larger files: told cleanly, and gone on from once there is room."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

from replication_assets.errors import ReplicationError, StoreError, TargetError
from replication_assets_tests.e2e.workers import finish, start
from replication_assets_tests.faults.kills import STEPS, check_promises, durable, run_step
from replication_assets_tests.faults.systems import FaultySystem, T, lake_system
from replication_assets_tests.postgres_servers import FreshDatabase

TOLD = 7
DISK_BYTES = 8 << 20
FILE_BYTES = 2048
"""Less than any data file here has, and less than most commits."""
WRITING = ("load", "capture", "compact", "project", "fill")
STEP_PARAMS = [
    pytest.param(name, marks=[] if name in ("capture", "project") else [pytest.mark.full]) for name in WRITING
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own: in memory, of a few megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return ballast


def is_told(error: ReplicationError) -> bool:
    """Whether an error says what is wrong with the disk, and what to do."""
    full = any(words in str(error) for words in ("No space left on device", "File too large"))
    return full and isinstance(error, StoreError | TargetError) and bool(error.where and error.fix)


if os.geteuid() == 0:  # Nobody else may mount; the limit on file sizes below stands for all.

    @pytest.mark.parametrize("name", STEP_PARAMS)
    def test_a_full_disk_is_told_and_the_next_run_goes_on(
        database: FreshDatabase, small_disk: Path, name: str
    ) -> None:
        system = lake_system(database, small_disk)
        STEPS[name].prepare(system)
        before = durable(system)
        ballast = fill(small_disk)
        with pytest.raises(ReplicationError) as caught:
            run_step(system, name)
        assert is_told(caught.value), caught.value
        ballast.unlink()
        check_promises(system, before)
        run_step(system, name)
        system.check_all()


def _limited(system: FaultySystem, name: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    try:
        run_step(system, name)
    except ReplicationError as error:
        sys.exit(TOLD if is_told(error) else str(error))


@pytest.mark.full
@pytest.mark.parametrize("name", WRITING)
def test_files_that_may_not_grow_are_told_and_the_next_run_goes_on(
    database: FreshDatabase, tmp_path: Path, name: str
) -> None:
    system = lake_system(database, tmp_path)
    STEPS[name].prepare(system)
    before = durable(system)
    finish(start(_limited, system, name), TOLD)
    check_promises(system, before)
    run_step(system, name)
    system.check_all()


def test_a_checkpoint_that_cannot_be_written_doubles_no_commit(
    database: FreshDatabase, tmp_path: Path
) -> None:
    """The log is checkpointed after a commit that stands: a failure then says nothing of it."""
    system = lake_system(database, tmp_path)
    log = tmp_path / "event_store" / T.folder / "_delta_log"
    DeltaTable(str(log.parent)).alter.set_table_properties({"delta.checkpointInterval": "1"})
    newest = max(int(path.stem) for path in log.glob("*.json"))
    for version in range(newest + 1, newest + 10):
        (log / f"{version:020}.checkpoint.parquet").mkdir()
    for _ in range(3):
        system.change()
        system.capture()
    written = [path.name for path in log.glob("*.checkpoint.parquet") if path.is_file()]
    assert all(int(name[:20]) <= newest for name in written)
    system.check_all()
