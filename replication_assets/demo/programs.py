"""Programs that the demonstration starts: each in a session of its own, none outlives us.

A session of its own, because Ctrl-C in the terminal is for us: we stop what we started in our
own order. `dagster dev` started without one ignores SIGTERM in a shell that is not interactive.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from replication_assets.demo.child_processes import ends_with_parent
from replication_assets.demo.folder import DemoFolder
from replication_assets.demo.interrupts import interrupts_deferred
from replication_assets.errors import ReplicationError

GROUP_SECONDS = 5.0
ANSWER_SECONDS = 120.0


class Program:
    """`with Program([...], log=path):` a running Python module; its group is gone after the block."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        patience: float = 0.0,
        answers: bool = False,
    ) -> None:
        """`arguments` follow `python -m`. `patience` is how many seconds it gets to end in order;
        what must survive kill -9 anyway gets none. With `answers` its standard output is kept for
        `answer`, otherwise it goes to the log."""
        self.name = " ".join(arguments)
        self.log = log
        self._patience = patience
        try:
            with log.open("ab") as output, interrupts_deferred():
                self._process = subprocess.Popen(
                    [sys.executable, "-m", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE if answers else output,
                    stderr=output,
                    env={**os.environ, **(environment or {})},
                    start_new_session=True,
                    preexec_fn=ends_with_parent(signal.SIGTERM if patience else signal.SIGKILL),
                    text=True,
                )
        except KeyboardInterrupt:
            # It came while the program started, and takes effect once it has.
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def answer(self) -> list[str]:
        """Wait for its end; the lines of its standard output. Raises what it failed of."""
        output, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise ReplicationError(
                f"it ended with code {self._process.returncode}; its last words: {self.last_words()}",
                where=self.name,
                fix=f"Read {self.log}",
            )
        return (output or "").splitlines()

    def last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "(none)"

    def stop(self) -> None:
        """End it in order, then whatever is left of its group by force. A second call changes nothing."""
        if self.running and self._patience:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._patience)
        end_group(self.pid, [signal.SIGTERM, signal.SIGKILL] if self._patience else [signal.SIGKILL])
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Server(Program):
    """A program that answers HTTP at `url` on this machine. It is noted in the folder while it runs,
    so that one which outlives a killed demonstration is found by the next."""

    def __init__(
        self,
        folder: DemoFolder,
        arguments: Sequence[str],
        *,
        url: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
        patience: float = 0.0,
    ) -> None:
        self.url = url
        super().__init__(arguments, log=log, environment=environment, patience=patience)
        self._note = folder.programs / str(self.pid)
        self._note.touch()

    def stop(self) -> None:
        super().stop()
        self._note.unlink(missing_ok=True)

    def wait_for(self, path: str) -> None:
        """Returns when `path` is answered. Raises ReplicationError if it never will be."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while self.running and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(self.url + path, timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        raise self.ended("it did not start")

    def ended(self, what: str) -> ReplicationError:
        return ReplicationError(
            f"{what}; its last words: {self.last_words()}", where=self.name, fix=f"Read {self.log}"
        )


def end_group(group: int, signals: Sequence[signal.Signals]) -> None:
    """End every process of a group: each signal in turn, some seconds apart, while any is left."""
    for how in signals:
        if not _reached(group, how):
            return
        deadline = time.monotonic() + GROUP_SECONDS
        while _reached(group, 0) and time.monotonic() < deadline:
            time.sleep(0.05)


def _reached(group: int, how: int) -> bool:
    """Whether the group has a process to get the signal; 0 only asks."""
    try:
        os.killpg(group, how)
    except (ProcessLookupError, PermissionError):
        return False
    return True
