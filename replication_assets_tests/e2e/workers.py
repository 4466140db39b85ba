"""Steps of the system in processes of their own, and processes that die where they are told to.

Children are as if started afresh (`replication_assets_tests.fresh`), never forks of the test: its
libraries run threads, and a fork beside them can hang. A child that is to die kills itself with
SIGKILL at a named place of the program (`replication_assets.failpoints`): no finaliser runs, no
buffer is written, as when the kernel does it.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableId
from replication_assets.failpoints import arm
from replication_assets_tests.e2e.system import System
from replication_assets_tests.fresh import FRESH, take_over

STEP_SECONDS = 60


@dataclass(frozen=True)
class Crash:
    """Die `when` the `nth` call of a method of an adapter is made or has returned: in the steps of a
    refresh, which have no failpoints."""

    part: str
    method: str
    when: Literal["before", "after"]
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.when} {self.part}.{self.method} #{self.nth}"


def start(step: Callable[..., None], *arguments: Any) -> BaseProcess:
    work = (dict(os.environ), os.getpid(), step, *arguments)
    process = FRESH.Process(target=_watched, args=work, daemon=True)
    process.start()
    return process


def finish(process: BaseProcess, exitcode: int = 0) -> None:
    ended = finish_with(process)
    assert ended == exitcode, f"a step ended with {ended}, not {exitcode}"


def finish_with(process: BaseProcess) -> int:
    """The exit code of a step; negative for the signal that ended it."""
    process.join(STEP_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError("a step did not end")
    assert process.exitcode is not None
    return process.exitcode


def run(step: Callable[..., None], *arguments: Any) -> None:
    finish(start(step, *arguments))


def run_and_die(place: str, step: Callable[..., None], *arguments: Any) -> None:
    """Run a step that must reach a place (`load.read`, or `load.read@2` for the second time) and dies
    there."""
    finish(start(_armed, f"{place}=kill", step, *arguments), -signal.SIGKILL)


def kill(process: BaseProcess) -> None:
    process.kill()
    process.join()


# --- steps (in the child) ----------------------------------------------------------------


def _watched(environment: Mapping[str, str], test: int, step: Callable[..., None], *arguments: Any) -> None:
    """A step says what it says where the process `test` does; one that hangs, where it hangs."""
    take_over(environment, *(f"/proc/{test}/fd/{stream}" for stream in (1, 2)))
    faulthandler.dump_traceback_later(STEP_SECONDS - 5)
    step(*arguments)


def _armed(failpoints: str, step: Callable[..., None], *arguments: Any) -> None:
    arm(failpoints)
    step(*arguments)


def load_step(
    system: System, table: TableId, id_range: IdRange, dates: tuple[Any, ...] | None = None
) -> None:
    system.load_range(system.table(table.name, table.schema), id_range, dates)


def capture_step(system: System, upto: int | None = None) -> None:
    system.capture(upto=upto)


def capture_until_step(system: System, flag: Path, seconds: float = 0.2) -> None:
    """Until the file `flag` exists."""
    system.capture_until(flag.exists, seconds)


def load_in_parallel(system: System, loads: Sequence[tuple[TableId, IdRange]], most: int = 2) -> None:
    """Each load in a process of its own, `most` at a time."""
    waiting, running = list(loads), list[BaseProcess]()
    while waiting or running:
        while waiting and len(running) < most:
            running.append(start(load_step, system, *waiting.pop(0)))
        finish(running.pop(0))


@contextmanager
def capturing(system: System, folder: Path) -> Iterator[None]:
    """A continuous capture in its own process while the block runs."""
    flag = folder / "stop capture"
    process = start(capture_until_step, system, flag)
    try:
        yield
    finally:
        flag.touch()
        finish(process)
        flag.unlink()
