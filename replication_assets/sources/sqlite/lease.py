"""At most one capture reads a change log: SQLite knows no such lock, so a file beside the database is
locked.

The kernel frees the lock when its process ends, however it ends. The database file itself is not
locked: closing a second descriptor of it would drop SQLite's own locks in this process.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replication_assets.errors import SlotBusy, SourceUnavailable
from replication_assets.sources.sqlite.connection import SqliteDatabase
from replication_assets.sources.sqlite.triggers import LogNames


class Lease:
    """The lock file of one source; made by the first capture, removed by `teardown`."""

    def __init__(self, database: SqliteDatabase, names: LogNames) -> None:
        self._database = database
        self.path = Path(f"{Path(database.path).absolute()}-{names.prefix}.lock")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises SlotBusy if another capture holds it."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise SourceUnavailable(
                f"the lock file cannot be made: {os.strerror(error.errno or 0)}", where=str(self.path)
            ) from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SlotBusy(
                    "another capture reads the change log",
                    where=self._database.where,
                    fix="stop the other capture of this source",
                ) from None
            yield
        finally:
            os.close(descriptor)

    def is_held(self) -> bool:
        if not self.path.exists():
            return False
        try:
            with self.held():
                return False
        except SlotBusy:
            return True

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
