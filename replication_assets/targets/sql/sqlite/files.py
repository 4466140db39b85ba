"""The files of an environment in a folder, and how a copy of several files is published in one step.

    replication_assets.db       marker, chunks, who holds the environment
    current -> copies/<id>      what readers open: `current/<schema>.db`
    copies/<id>/<schema>.db     one copy; while it is made, it is the shadow
    copies/<id>/published.json  the record of its publication, beside the files it speaks of

A copy is whole and durable before the link is exchanged (`rename` of a link over a link), so a process
that dies leaves the old copy or the new one. A reader who has a file of the old copy open keeps reading
it; whoever opens `current` anew gets the new one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from replication_assets.ports.environment import PublishedCopy
from replication_assets.targets.sql.records import copy_from_json, copy_to_json

RECORDS = "replication_assets.db"
LOCK = "replication_assets.lock"
_CURRENT = "current"
_COPIES = "copies"
_RECORD = "published.json"
_CHANGES = ".changes"


class CopyFiles:
    """Paths and their publication; what is in the files is the session's matter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def records(self) -> Path:
        return self.folder / RECORDS

    def shadow(self, plan_id: str) -> Path:
        return self.folder / _COPIES / _safe(plan_id)

    def database(self, copy: Path, schema: str, *, changes: bool = False) -> Path:
        return copy / f"{_safe(schema)}{_CHANGES if changes else ''}.db"

    def current(self) -> Path | None:
        """The folder of the published copy."""
        link = self.folder / _CURRENT
        return self.folder / link.readlink() if link.is_symlink() else None

    def published(self) -> PublishedCopy | None:
        current = self.current()
        return copy_from_json((current / _RECORD).read_text()) if current is not None else None

    def publish(self, shadow: Path, copy: PublishedCopy) -> None:
        """Exchange what readers see for the shadow, together with its record."""
        record = shadow / _RECORD
        record.write_text(copy_to_json(copy))
        for path in shadow.iterdir():
            _flush(path)
        _flush(shadow)
        _flush(shadow.parent)
        link = self.folder / f"{_CURRENT}.new"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(_COPIES) / shadow.name)
        link.replace(self.folder / _CURRENT)
        _flush(self.folder)

    def start_from_current(self, shadow: Path) -> None:
        """Put files of the published copy beside the changes, anew if a process died meanwhile."""
        current = self.current()
        assert current is not None
        for path in current.glob("*.db"):
            shutil.copyfile(path, shadow / path.name)
            (shadow / f"{path.name}-journal").unlink(missing_ok=True)

    def drop_changes(self, shadow: Path) -> None:
        for path in shadow.glob(f"*{_CHANGES}.db*"):
            path.unlink()

    def clear(self, *, keep: Path | None = None) -> None:
        """Delete every copy but the published one and `keep`."""
        kept = {each.name for each in (keep, self.current()) if each is not None}
        copies = self.folder / _COPIES
        for path in copies.iterdir() if copies.is_dir() else ():
            if path.name not in kept:
                shutil.rmtree(path)

    def drop(self) -> None:
        (self.folder / _CURRENT).unlink(missing_ok=True)
        self.clear()

    def strangers(self) -> Iterator[str]:
        """Names in the folder that are not ours."""
        ours = {RECORDS, f"{RECORDS}-journal", LOCK, _CURRENT, f"{_CURRENT}.new"}
        ours |= {_COPIES} if self.records.exists() else set()
        for path in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if path.name not in ours:
                yield path.name


def _safe(name: str) -> str:
    """A name of a file for any name of a schema; two names never become one."""
    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
