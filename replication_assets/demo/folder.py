"""The folder of the sample system: whose it is, what may be deleted, who uses it now.

Owns one rule: nothing is ever deleted in a folder that does not carry our marker. The marker is
also a lock, held while the system runs and released by the kernel however the process ends, so
two demonstrations never share a folder, and a server found in a free folder was left behind.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replication_assets.demo.child_processes import children_of, kill_if_alive, runs_program
from replication_assets.errors import ReplicationError

MARKER = ".replication_assets_demo"
LEFTOVER_SECONDS = 20.0


class DemoFolder:
    """Paths of the sample system below `root`; nothing is touched before `held`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.server_data = self.root / "postgres"
        self.dagster_home = self.root / "dagster"
        self.logs = self.root / "logs"
        self.programs = self.root / "programs"
        """Process groups that were started, one empty file each, named after the group."""
        self._marker = self.root / MARKER
        self._ready = self.root / ".loaded"
        self._mask_key = self.root / "mask.key"

    @contextmanager
    def held(self) -> Iterator[None]:
        """The folder is ours alone for the block. Raises ReplicationError if it cannot be."""
        if self.root.exists() and not self._marker.exists() and any(self.root.iterdir()):
            raise ReplicationError(
                "the folder holds something else, and the demonstration deletes what is in its folder",
                where=str(self.root),
                fix="choose another one: --folder PATH",
            )
        self.root.mkdir(parents=True, exist_ok=True)
        with self._marker.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as busy:
                lock.seek(0)
                raise ReplicationError(
                    f"another demonstration runs in this folder (pid {lock.read().strip() or 'unknown'})",
                    where=str(self.root),
                    fix="stop that one with Ctrl-C, or choose another folder: --folder PATH --port PORT",
                ) from busy
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def wipe(self) -> None:
        """Delete everything but the marker. Only for a folder that is held."""
        for path in self.root.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != self._marker:
                path.unlink()

    def make(self) -> None:
        for folder in (self.dagster_home, self.logs, self.programs):
            folder.mkdir(exist_ok=True)

    @property
    def loaded(self) -> bool:
        """Whether the system was set up and every table loaded."""
        return self._ready.exists()

    def mark_loaded(self) -> None:
        self._ready.touch()

    def mask_key(self) -> str:
        """The root of all masks of the folder's QA database: made once, then read."""
        if not self._mask_key.exists():
            self._mask_key.touch(mode=0o600)
            self._mask_key.write_text(secrets.token_hex(32))
        return self._mask_key.read_text()


def stop_leftover_programs(folder: DemoFolder) -> None:
    """End what a killed demonstration left running. Only for a folder that is held.

    A number may have been given to somebody else meanwhile: the environment tells whose it is.
    """
    for noted in folder.programs.glob("*"):
        try:
            environment = Path(f"/proc/{noted.name}/environ").read_bytes()
        except OSError:
            environment = b""
        if os.fsencode(folder.root) in environment:
            os.killpg(int(noted.name), signal.SIGKILL)
        noted.unlink()


def stop_leftover_server(data_dir: Path) -> bool:
    """Stop a server that outlived the process that started it; True if there was one.

    Only for a data directory below a folder that is held: nobody else can be using it.
    """
    try:
        pid = int((data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return False
    if not runs_program(pid, "postgres"):
        return False
    children = children_of(pid)
    os.kill(pid, signal.SIGQUIT)
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while runs_program(pid, "postgres") and time.monotonic() < deadline:
        time.sleep(0.05)
    if runs_program(pid, "postgres"):
        for process in (pid, *children):
            kill_if_alive(process)
    return True
