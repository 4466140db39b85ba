"""Two projections of one range at the same time, as a run beside a capture that follows inline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from replication_assets.catalog import Table
from replication_assets.errors import CommitConflict
from replication_assets.flows.project import ProjectReceipt, project_range
from replication_assets.targets.delta import target as target_module
from replication_assets_tests.e2e.system import System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    built = system_of(database, tmp_path, [Table("app.public.t")])
    built.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 10), (2, 20)")
    built.prepare()
    built.load_all()
    built.capture()
    built.project()
    built.execute("UPDATE t SET v = 11 WHERE id = 1")
    built.capture()
    return built


def overtaken(system: System, patch: pytest.MonkeyPatch, *, rebuild: bool = False) -> ProjectReceipt:
    """Project, while somebody else does so between our reading and our commit."""

    def commit_late(*arguments: Any) -> None:
        patch.undo()
        system.project()
        target_module.commit(*arguments)

    patch.setattr(target_module, "commit", commit_late)
    table = system.table("t")
    snapshot = system.store.log(table.id).snapshot()
    return project_range(snapshot, table.id, system.target(table.id), table.id_ranges.at(0), rebuild=rebuild)


def test_whoever_is_overtaken_by_one_who_came_as_far_has_nothing_left_to_do(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert overtaken(system, monkeypatch).how == "unchanged"
    system.finish()


def test_a_rebuild_that_is_overtaken_is_not_done(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommitConflict):
        overtaken(system, monkeypatch, rebuild=True)
    system.finish()
