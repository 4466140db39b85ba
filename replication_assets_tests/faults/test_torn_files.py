"""Files that are cut short, emptied or lost: named, or mended where the store still knows the rows.

A disk that loses power, a copy that was broken off, a clean-up that went too far. Nothing that is
damaged is ever passed over: a read gives the rows that there are, or an error with the file's name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from deltalake import DeltaTable

from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import ReplicationError, StoreCorrupt, TargetError
from replication_assets.flows.validation.validate import validate_projection
from replication_assets_tests.e2e.system import SOURCE, differences
from replication_assets_tests.faults.systems import FaultySystem, T, lake_system
from replication_assets_tests.postgres_servers import fresh_database


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


Damage = Callable[[Path], None]
DAMAGES = [
    cut,
    pytest.param(empty, marks=pytest.mark.full),
    pytest.param(Path.unlink, marks=pytest.mark.full),
]
FOLDERS = {
    "store": "event_store/app/public.t",
    "ledger": "event_store/app/_captures",
    "lake": "lakehouse/app/public.t",
}


@dataclass(frozen=True)
class Damaged:
    """A system at rest whose logs have a checkpoint and commits after it."""

    system: FaultySystem
    home: Path

    def folder(self, place: str) -> Path:
        return self.home / FOLDERS[place]

    def commit(self, place: str) -> Path:
        """The one before the newest: with it, what is missing shows as a gap."""
        return sorted((self.folder(place) / "_delta_log").glob("*.json"))[-2]

    def checkpoint(self, place: str) -> Path:
        return max((self.folder(place) / "_delta_log").glob("*.checkpoint.parquet"))

    def data(self, place: str) -> Path:
        return Path(sorted(DeltaTable(str(self.folder(place))).file_uris())[0])

    def newest_line(self) -> Path:
        """The file that the newest mark of the ledger stands in."""
        table = DeltaTable(str(self.folder("ledger")))
        return max(map(Path, table.file_uris()), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def kept(postgres_18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damaged]:
    home = tmp_path_factory.mktemp("torn")
    with fresh_database(postgres_18) as database:
        system = lake_system(database, home / "now")
        for number in range(3):
            system.change()
            system.capture()
            system.project()
            if number == 0:
                for folder in FOLDERS.values():
                    DeltaTable(str(home / "now" / folder)).create_checkpoint()
        shutil.copytree(home / "now", home / "whole")
        yield Damaged(system, home / "now")


@pytest.fixture
def damaged(kept: Damaged) -> Damaged:
    """As it was before any damage. Nothing is captured here, so the source did not move on."""
    shutil.rmtree(kept.home)
    shutil.copytree(kept.home.with_name("whole"), kept.home)
    return kept


def told(reading: Callable[[], object], path: Path, error: type[ReplicationError]) -> None:
    with pytest.raises(error) as caught:
        reading()
    assert path.name in str(caught.value), caught.value
    assert caught.value.fix


def equal_at_rest(system: FaultySystem) -> None:
    """Store and lakehouse are the source. Without a capture, which would move the slot on."""
    schema = system.table("t").schema
    rows = system.in_source(T, schema)
    assert differences(rows, system.in_store(T)) == []
    assert differences(rows, system.in_projection(T)) == []


READERS: dict[str, Callable[[FaultySystem], object]] = {
    "store": lambda system: system.in_store(T),
    "ledger": lambda system: system.store.ledger(SOURCE).last(),
    "lake": lambda system: system.in_projection(T),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("place", ["store", "lake"])
def test_a_damaged_data_file_is_named(damaged: Damaged, place: str, damage: Damage) -> None:
    path = damaged.data(place)
    damage(path)
    told(lambda: READERS[place](damaged.system), path, {"store": StoreCorrupt, "lake": TargetError}[place])


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_line_of_the_ledger_is_named(damaged: Damaged, damage: Damage) -> None:
    path = damaged.newest_line()
    damage(path)
    told(lambda: damaged.system.store.ledger(SOURCE).last(), path, StoreCorrupt)
    told(lambda: damaged.system.capture(), path, StoreCorrupt)


@pytest.mark.parametrize("damage", [cut, Path.unlink])
@pytest.mark.parametrize("place", FOLDERS)
def test_a_damaged_commit_is_named(damaged: Damaged, place: str, damage: Damage) -> None:
    path = damaged.commit(place)
    damage(path)
    told(lambda: READERS[place](damaged.system), path, TargetError if place == "lake" else StoreCorrupt)


@pytest.mark.parametrize("place", ["store", "ledger"])
def test_an_empty_commit_of_the_store_is_told_by_its_number(damaged: Damaged, place: str) -> None:
    path = damaged.commit(place)
    empty(path)
    with pytest.raises(StoreCorrupt, match=f"commit {int(path.stem)} of the log is empty"):
        READERS[place](damaged.system)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("place", FOLDERS)
def test_a_damaged_checkpoint_is_named(damaged: Damaged, place: str, damage: Damage) -> None:
    path = damaged.checkpoint(place)
    damage(path)
    told(lambda: READERS[place](damaged.system), path, TargetError if place == "lake" else StoreCorrupt)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_hint_at_the_checkpoint_changes_nothing(damaged: Damaged, damage: Damage) -> None:
    for place in FOLDERS:
        damage(damaged.folder(place) / "_delta_log" / "_last_checkpoint")
    equal_at_rest(damaged.system)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_range_with_a_damaged_file_is_filled_anew(damaged: Damaged, damage: Damage) -> None:
    path = damaged.data("lake")
    damage(path)
    told(lambda: _validated(damaged.system), path, TargetError)
    assert "replaced" in {receipt.how for receipt in damaged.system.project()}
    equal_at_rest(damaged.system)


def _validated(system: FaultySystem) -> object:
    return validate_projection(system.store, system.target(T), T, projection="lake").wrong


@pytest.mark.parametrize("newest", [True, False], ids=["the newest", "an older"])
def test_a_lakehouse_that_lost_what_a_commit_said_is_brought_up_again(damaged: Damaged, newest: bool) -> None:
    """An empty commit says nothing, of rows or of checkpoints: its ranges are where they were."""
    commits = sorted((damaged.folder("lake") / "_delta_log").glob("*.json"))
    empty(commits[-1 if newest else -2])
    assert {receipt.how for receipt in damaged.system.project()} != {"unchanged"}
    equal_at_rest(damaged.system)


def test_what_a_killed_writer_left_is_harmless(damaged: Damaged) -> None:
    """Half a data file, an empty one, and a commit that was not renamed to its number yet."""
    for place in ("store", "lake"):
        data, commit = damaged.data(place), damaged.commit(place)
        data.with_name("part-half.zstd.parquet").write_bytes(data.read_bytes()[:100])
        data.with_name("part-none.zstd.parquet").write_bytes(b"")
        commit.with_name("_commit_5.json.tmp").write_bytes(commit.read_bytes()[:50])
    equal_at_rest(damaged.system)
    assert {receipt.how for receipt in damaged.system.project()} == {"unchanged"}
