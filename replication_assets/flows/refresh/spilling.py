"""Where raw rows go that memory is not enough for: a folder of one step that only this account may open.

It lies in the system's temporary directory (`TMPDIR`), so in the trust zone of production, as the event
store does, which holds the same rows. It is deleted at the end of the step. What a killed process left,
the next step of this account on this machine deletes, of whichever refresh: a lock on the folder tells
whose process is gone, and ends with it. Without a folder a fold does not spill: it fails.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from replication_assets.core.sql import Spill
from replication_assets.errors import RefreshError
from replication_assets.flows.refresh.memory import lean_memory

PREFIX = "replication-assets-refresh-"


@contextmanager
def spilling(limits: Spill) -> Iterator[Spill]:
    """The limits with a private folder to spill to, and an allocator that gives back, while the block lasts.

    Raises:
        RefreshError: the folder cannot be made, or not deleted.
    """
    _sweep(Path(tempfile.gettempdir()))
    folder, lock = _locked_folder()
    try:
        with lean_memory():
            yield replace(limits, folder=str(folder))
    finally:
        # An error of the block is told rather than one of this: the next step deletes what is left.
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
    if folder.exists():
        raise RefreshError(
            "raw rows that were spilled could not be deleted", where=str(folder), fix="delete the folder"
        )


def _sweep(temporary: Path) -> None:
    """Delete folders of this account whose process is gone."""
    for folder in temporary.glob(f"{PREFIX}*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # another account's, or gone by now
        try:
            if os.fstat(lock).st_uid == os.getuid() and _is_free(lock):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _is_free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked_folder() -> tuple[Path, int]:
    """Another process may sweep a folder before it is locked; then one more is made."""
    while True:
        folder = _new_folder()
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def _new_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        raise RefreshError(
            f"no folder can be made for what memory does not hold: {error.strerror}",
            where=tempfile.gettempdir(),
            fix="set TMPDIR to a folder that this account can write to",
        ) from None
