"""Small files that are there whole or not at all, on a disk and in an object store.

Owns how such a file comes to be: on a disk under another name first, flushed to the device and
renamed, readable by its owner alone; in an object store by one upload.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

import pyarrow.fs as pafs

from replication_assets.event_store.storage import Place

_PIECE = 1 << 20
_BUFFER = 4 << 20
"""Writes beside delta-rs's own take `bytes` only, which is what an Arrow buffer larger than a piece
hands on."""


class WholeFiles:
    """Files of the folder at `place`, by relative path."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def write(self, path: str, content: bytes) -> None:
        """Durable when it returns; replaces a file of that name."""
        with self._place.errors():
            if self._place.local is not None:
                _write_local(self._place.local / path, content)
                return
            files = self._place.filesystem()
            with files.open_output_stream(path, compression=None, buffer_size=_BUFFER) as sink:
                for start in range(0, len(content), _PIECE):
                    sink.write(content[start : start + _PIECE])

    def read(self, path: str, most: int | None = None) -> bytes | None:
        """The first `most` bytes, by default all; None if there is no such file."""
        with self._place.errors():
            files = self._place.filesystem()
            try:
                with files.open_input_file(path) as file:
                    return bytes(file.read(most) if most is not None else file.read())
            except FileNotFoundError:
                return None

    def sizes(self, folder: str = "") -> Mapping[str, int]:
        """Bytes of every file in a folder and those below, by path; empty without such a folder."""
        with self._place.errors():
            if self._place.local is not None and not self._place.local.exists():
                return {}
            selector = pafs.FileSelector(folder, recursive=True, allow_not_found=True)
            listed = self._place.filesystem().get_file_info(selector)
        return {info.path: info.size for info in listed if info.is_file}

    def delete(self, path: str) -> None:
        """Idempotent."""
        with self._place.errors():
            if self._place.local is not None:
                (self._place.local / path).unlink(missing_ok=True)
            else:
                self._place.filesystem().delete_file(path)

    def delete_folder(self, folder: str = "") -> None:
        """A folder with all that is in it. Idempotent."""
        if self._place.local is None:
            for path in self.sizes(folder):
                self.delete(path)
            return
        with self._place.errors():
            if (self._place.local / folder).exists():
                shutil.rmtree(self._place.local / folder)


def _write_local(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f".{uuid.uuid4().hex}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """A rename is durable when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
