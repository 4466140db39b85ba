"""What may happen to the system at any moment: each mishap is done to it while writers write.

A mishap leaves the system for the ordinary next run to mend, but for the one that only people can
mend (a slot that is gone): there the remedy that the error names is carried out.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import ReplicationError
from replication_assets.failpoints import PLACES, arm
from replication_assets_tests.e2e.system import System
from replication_assets_tests.e2e.workers import capture_until_step, kill, load_step, start
from replication_assets_tests.faults.proxy import Fault, Proxy
from replication_assets_tests.soak.tally import Tally

PATIENCE_SECONDS = 40.0
SLOWLY = 200_000
"""Bytes a second."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The system, what is between it and its source, and where its capture is told to end."""

    system: System
    server: PostgresServer
    proxy: Proxy
    random: Random
    tally: Tally
    folder: Path

    @property
    def flag(self) -> Path:
        return self.folder / "end of capture"


Mishap = Callable[[Scene], None]


@contextlib.contextmanager
def capturing(scene: Scene, failpoints: str = "") -> Iterator[BaseProcess]:
    """A continuous capture; it is told to end, and killed if it does not."""
    process = start(armed, failpoints, capture_until_step, scene.system, scene.flag, 0.1)
    try:
        yield process
    finally:
        scene.flag.touch()
        process.join(PATIENCE_SECONDS)
        kill(process)
        scene.flag.unlink()


def armed(failpoints: str, step: Callable[..., None], *arguments: object) -> None:
    """A step of a child. An error of ours is what may come of a mishap; any other is a defect, and
    tells so by its exit code."""
    arm(failpoints)
    with contextlib.suppress(ReplicationError):
        step(*arguments)


def ended(scene: Scene, process: BaseProcess, what: str) -> None:
    """Count how a process ended.

    Raises:
        AssertionError: neither by itself nor by the kill that was meant for it.
    """
    process.join(PATIENCE_SECONDS)
    code = process.exitcode
    if code == -signal.SIGKILL:
        scene.tally.kills += 1
        scene.tally.faults[f"killed at {what}"] += 1
    else:
        assert code in (0, None), f"a step that was to die at {what} ended with {code}"
        kill(process)


def _place(scene: Scene, *parts: str) -> tuple[str, str]:
    """A place of some parts of the program, and the failpoint that kills there."""
    places = [name for name in PLACES if name.partition(".")[0] in parts]
    name = scene.random.choice(places)
    return name, f"{name}@{scene.random.randrange(1, 4)}=kill"


# --- mishaps -----------------------------------------------------------------------------


def capture_killed_at_a_place(scene: Scene) -> None:
    name, failpoint = _place(scene, "capture", "store", "ledger")
    with capturing(scene, failpoint) as process:
        process.join(scene.random.uniform(2, 5))
        scene.flag.touch()
        ended(scene, process, name)


def capture_killed_at_any_moment(scene: Scene) -> None:
    with capturing(scene) as process:
        process.join(scene.random.uniform(0.2, 4))
        kill(process)
    scene.tally.kills += 1
    scene.tally.faults["capture killed at any moment"] += 1


def load_killed(scene: Scene) -> None:
    name, failpoint = _place(scene, "load", "store")
    table = scene.random.choice(scene.system.tables())
    id_range = scene.random.choice(scene.system.ranges(table))
    ended(scene, start(armed, failpoint, load_step, scene.system, table.id, id_range), name)


def projection_killed(scene: Scene) -> None:
    name, failpoint = _place(scene, "project", "delta")
    ended(scene, start(armed, failpoint, _capture_and_project, scene.system), name)


def compaction_killed(scene: Scene) -> None:
    name, failpoint = _place(scene, "compact", "store")
    ended(scene, start(armed, failpoint, _compact, scene.system), name)


def disk_full(scene: Scene) -> None:
    name = scene.random.choice(["store.files_finished", "capture.written", "delta.written", "ledger.written"])
    scene.tally.faults[f"disk full at {name}"] += 1
    process = start(_no_space, f"{name}=fail", scene.system)
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == 0, f"a full disk at {name} ended a step with {process.exitcode}"


def server_crashed(scene: Scene) -> None:
    with capturing(scene) as process:
        process.join(scene.random.uniform(0.2, 2))
        scene.server.kill()
        scene.server.start()
    scene.tally.faults["server crashed"] += 1


def network_failed(scene: Scene) -> None:
    kind = scene.random.choice(["cut", "reset", "slow"])
    after = scene.random.randrange(100, 400_000)
    with capturing(scene):
        scene.proxy.arm(Fault(kind, after=after, rate=SLOWLY if kind == "slow" else 0))
        time.sleep(scene.random.uniform(0.5, 3))
        scene.proxy.heal()
    scene.tally.faults[f"network: {kind}"] += 1


def sessions_ended(scene: Scene) -> None:
    with capturing(scene) as process:
        process.join(scene.random.uniform(0.2, 2))
        with scene.system.sql() as session:
            session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
    scene.tally.faults["sessions ended"] += 1


def two_captures(scene: Scene) -> None:
    with capturing(scene):
        second = start(armed, "", _capture_once, scene.system)
        second.join(PATIENCE_SECONDS)
        assert second.exitcode == 0, f"a second capture ended with {second.exitcode}"
    scene.tally.faults["two captures"] += 1


def column_added(scene: Scene) -> None:
    """In the middle of everything; at most a few, or rows would grow without end."""
    number = scene.tally.faults["column added"]
    if number < 5:
        scene.system.execute(f"ALTER TABLE t ADD COLUMN more_{number} int DEFAULT {number}")
        scene.tally.faults["column added"] += 1


MISHAPS: tuple[Mishap, ...] = (
    capture_killed_at_a_place,
    capture_killed_at_a_place,
    capture_killed_at_any_moment,
    load_killed,
    projection_killed,
    compaction_killed,
    disk_full,
    server_crashed,
    network_failed,
    sessions_ended,
    two_captures,
    column_added,
)


# --- steps (in the child) ----------------------------------------------------------------


def _capture_once(system: System) -> None:
    system.capture()


def _capture_and_project(system: System) -> None:
    system.capture()
    system.project()


def _compact(system: System) -> None:
    system.capture()
    for table in system.tables():
        system.store.log(table.id).compact()


def _no_space(failpoint: str, system: System) -> None:
    arm(failpoint)
    with contextlib.suppress(ReplicationError, OSError):
        _capture_and_project(system)
