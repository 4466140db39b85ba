"""Raw rows that memory does not hold: where they are written, and that nothing of them stays."""

from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from replication_assets.core.sql import NO_SPILL, engine
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import RefreshError
from replication_assets.flows.refresh.mask import mask_refresh
from replication_assets.flows.refresh.plan import plan_refresh
from replication_assets.flows.refresh.refreshing import StepProgress
from replication_assets.flows.refresh.run import run_refresh
from replication_assets.flows.refresh.spilling import spilling
from replication_assets.flows.refresh.verify_published import verify_published
from replication_assets_tests.e2e.refreshes import RefreshSystem, refresh_system
from replication_assets_tests.postgres_servers import fresh_database

TIGHT = replace(NO_SPILL, memory_mib=24, threads=1)
RAW = "CREATE TEMP TABLE raw AS SELECT i, md5(i::text) AS raw FROM range(600_000) AS r(i)"
"""What needs about twice the memory."""

HOLDER = """
import time
from replication_assets.core.sql import Spill
from replication_assets.flows.refresh.spilling import spilling
with spilling(Spill()) as spill:
    open(f"{spill.folder}/rows", "w").write("raw")
    print(spill.folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def made(postgres_18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RefreshSystem]:
    with (
        fresh_database(postgres_18) as database,
        refresh_system(database, tmp_path_factory.mktemp("store"), tables=("customers",)) as system,
    ):
        yield system


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary directory, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_what_memory_does_not_hold_is_written_to_a_private_folder_which_ends_with_the_step(
    here: Path, temporary: Path
) -> None:
    with spilling(TIGHT) as spill:
        assert spill.folder is not None
        folder = Path(spill.folder)
        assert folder.parent == temporary
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with engine(spill) as connection:
            connection.execute(RAW)
            assert sum(file.stat().st_size for file in folder.iterdir()) > 2**20
            assert list(here.iterdir()) == []
    assert [*here.iterdir(), *temporary.iterdir()] == []


def test_an_engine_without_a_folder_fails_rather_than_write_anywhere(here: Path, temporary: Path) -> None:
    with pytest.raises(duckdb.OutOfMemoryException), engine(TIGHT) as connection:
        connection.execute(RAW)
    assert [*here.iterdir(), *temporary.iterdir()] == []


def test_a_step_that_fails_while_rows_are_spilled_leaves_nothing(here: Path, temporary: Path) -> None:
    def spill_and_fail() -> None:
        with spilling(TIGHT) as spill, engine(spill) as connection:
            connection.execute(RAW)
            assert any(file.stat().st_size for folder in temporary.iterdir() for file in folder.iterdir())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        spill_and_fail()
    assert [*here.iterdir(), *temporary.iterdir()] == []


def test_steps_that_read_raw_rows_have_a_private_folder_and_leave_none(
    made: RefreshSystem, here: Path, temporary: Path
) -> None:
    folders: dict[str, list[Path]] = {}

    def note(progress: StepProgress) -> None:
        folders[progress.step] = list(temporary.iterdir())

    refreshing = made.refreshing()
    copy = run_refresh(refreshing, run="a", progress=note)
    assert copy.tables[0].rows == 40
    assert {step: len(found) for step, found in folders.items()} == {"mask": 1, "load": 0, "verify": 1}
    assert verify_published(refreshing, progress=note).passed
    assert len(folders["verify"]) == 1
    assert [*here.iterdir(), *temporary.iterdir()] == []


def test_every_fold_of_raw_rows_is_under_the_limits_of_its_step(made: RefreshSystem) -> None:
    tight = replace(made.refreshing(), limits=replace(NO_SPILL, memory_mib=1))
    plan = plan_refresh(made.refreshing(), run="a", fresh=True)
    with pytest.raises(RefreshError, match="OutOfMemoryException in step mask"):
        mask_refresh(tight, plan, run="a")


def test_what_a_killed_process_left_is_deleted_and_what_a_living_one_uses_is_not(temporary: Path) -> None:
    program = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, text=True, env={"TMPDIR": str(temporary)}
    ) as holder:
        try:
            assert holder.stdout is not None
            folder = Path(holder.stdout.readline().strip())
            with spilling(NO_SPILL):
                assert (folder / "rows").read_text() == "raw"
        finally:
            holder.kill()
    assert (folder / "rows").exists()
    with spilling(NO_SPILL) as spill:
        assert [str(each) for each in temporary.iterdir()] == [spill.folder]
