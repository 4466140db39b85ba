"""Which step of the system reaches which failpoint, and what must be true after a process died there.

A step has work in two id ranges, or of two tables, so that nearly every place is reached twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from replication_assets.catalog import PostgresSourceConfig
from replication_assets.failpoints import arm
from replication_assets.flows.project import project_range
from replication_assets.flows.read import ranges_of
from replication_assets_tests.e2e.system import SOURCE
from replication_assets_tests.e2e.workers import run_and_die
from replication_assets_tests.faults.systems import FaultySystem, T, U

SMALL_FILES = 9
"""As many of a partition are compacted."""


@dataclass(frozen=True, slots=True)
class Step:
    """`prepare` brings about the work that `run` does; `places` are those that it reaches. `into`:
    files of a lakehouse, items of DynamoDB, or tables of a SQL database."""

    prepare: Callable[[FaultySystem], None]
    run: Callable[[FaultySystem], None]
    places: tuple[str, ...]
    into: Literal["lake", "items", "tables"] = "lake"


@contextmanager
def failing_at(place: str) -> Iterator[None]:
    """No space is left at a place, in this process."""
    arm(f"{place}=fail")
    try:
        yield
    finally:
        arm("")


def die(system: FaultySystem, name: str, place: str) -> None:
    """Run a step that dies at a place; what is durable then is nowhere behind what was promised."""
    before = durable(system)
    run_and_die(place, run_step, system, name)
    check_promises(system, before)


def run_step(system: FaultySystem, name: str) -> None:
    STEPS[name].run(system)


def durable(system: FaultySystem) -> tuple[tuple[int, int], ...]:
    """How far the source and each table are captured."""
    mark = system.store.ledger(SOURCE).last()
    assert mark is not None
    tables = (system.store.log(table).snapshot().captured for table in (T, U))
    return (mark.epoch, mark.commit), *((at.epoch, at.commit) if at else (0, 0) for at in tables)


def check_promises(system: FaultySystem, before: tuple[tuple[int, int], ...]) -> None:
    """No checkpoint went back, and the source was not told of more than is stored."""
    now = durable(system)
    assert all(new >= old for new, old in zip(now, before, strict=True)), (before, now)
    config = system.catalog.source(SOURCE)
    assert isinstance(config, PostgresSourceConfig)
    with system.sql() as session:
        found = session.execute(
            "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = %s",
            [config.slot_name],
        ).fetchone()
    assert found is not None
    # The slot names the byte after the last one that is not needed any more.
    assert int(found[0]) <= now[0][1] + 1


# --- steps -------------------------------------------------------------------------------


def _load(system: FaultySystem) -> None:
    table = system.table("t")
    for id_range in system.ranges(table)[:2]:
        system.load_range(table, id_range)


def _capture(system: FaultySystem) -> None:
    system.capture()
    system.change()
    system.capture()


def _capture_once(system: FaultySystem) -> None:
    system.capture()


def _many_files(system: FaultySystem) -> None:
    for number in range(SMALL_FILES):
        system.execute(
            f"UPDATE t SET v = v + 1 WHERE id = {number + 10}", f"UPDATE u SET v = v + 1 WHERE id = {number}"
        )
        system.capture()


def _compact(system: FaultySystem) -> None:
    for table in (T, U):
        system.store.log(table).compact()


def _captured(system: FaultySystem) -> None:
    system.change()
    system.capture()


def _project(system: FaultySystem) -> None:
    system.project()


def _projected(system: FaultySystem) -> None:
    system.project()
    _captured(system)


def _rebuild(system: FaultySystem) -> None:
    snapshot = system.store.log(T).snapshot()
    for id_range in ranges_of(snapshot):
        project_range(snapshot, T, system.target(T), id_range, rebuild=True)


def _spoilt(system: FaultySystem) -> None:
    system.change()
    system.capture()
    system.project()
    system.spoil()


_WRITTEN = ("store.file_finished", "store.files_finished", "store.committed")
_CAPTURE = ("read", "written", "table_committed", "tables_committed", "recorded", "acknowledged")
_DELTA = ("delta.written", "delta.committed")
_ITEMS = ("dynamodb.parts_put", "dynamodb.items_written", "dynamodb.checkpointed")
_TABLES = ("sql.checkpointed", "sql.committed")
_REPAIR = ("repair.compared", "repair.written")

STEPS: Mapping[str, Step] = {
    "load": Step(
        FaultySystem.change,
        _load,
        ("load.opened", "load.read", "load.finished", "load.committed", *_WRITTEN),
    ),
    "capture": Step(
        FaultySystem.change,
        _capture,
        (*(f"capture.{each}" for each in _CAPTURE), "ledger.file_finished", "ledger.written", *_WRITTEN),
    ),
    "retyping": Step(FaultySystem.change, _capture_once, ()),
    "compact": Step(_many_files, _compact, ("compact.written", "compact.committed", "store.committed")),
    "project": Step(_projected, _project, ("project.begun", *_DELTA)),
    "fill": Step(_captured, _rebuild, _DELTA),
    "repair": Step(_spoilt, FaultySystem.repair, (*_REPAIR, *_DELTA)),
    "fill items": Step(
        _captured, _project, ("project.begun", "dynamodb.batch_filled", *_ITEMS), into="items"
    ),
    "project items": Step(_projected, _project, ("dynamodb.batch_put", *_ITEMS), into="items"),
    "refill items": Step(_projected, _rebuild, ("dynamodb.batch_put", *_ITEMS), into="items"),
    "repair items": Step(
        _spoilt,
        FaultySystem.repair,
        (*_REPAIR, "dynamodb.batch_put", "dynamodb.items_written", "dynamodb.checkpointed"),
        into="items",
    ),
    "fill tables": Step(_captured, _project, ("project.begun", "sql.replaced", *_TABLES), into="tables"),
    "project tables": Step(_projected, _project, ("sql.merged", *_TABLES), into="tables"),
    "refill tables": Step(_projected, _rebuild, ("sql.replaced", *_TABLES), into="tables"),
    "repair tables": Step(_spoilt, FaultySystem.repair, (*_REPAIR, *_TABLES), into="tables"),
}
