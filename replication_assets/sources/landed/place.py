"""Where files land: a folder, or a prefix of a bucket. Lists and opens; writes nothing, ever.

Settings have the names that the event store's have (`AWS_REGION`, ...); what is not given is taken from
the process's own AWS credentials. Secrets are read when a file system is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.fs as pafs

from replication_assets.errors import ReplicationError, SourceNotReady, SourceUnavailable
from replication_assets.secret_references import SecretReference, resolve_for

_SETTINGS = {
    "AWS_ACCESS_KEY_ID": "access_key",
    "AWS_SECRET_ACCESS_KEY": "secret_key",
    "AWS_SESSION_TOKEN": "session_token",
    "AWS_REGION": "region",
    "AWS_ENDPOINT_URL": "endpoint_override",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A file at a path below the root; `modified` in nanoseconds since 1970."""

    path: str
    size: int
    modified: int


@dataclass(frozen=True, slots=True)
class LandingPlace:
    """A root, and how it is reached. Holds references, never a secret."""

    root: str
    options: Mapping[str, str | SecretReference] = field(default_factory=dict, repr=False)

    def listing(self) -> list[Found]:
        """Every file below the root.

        Raises:
            SourceNotReady: there is no such place.
            SourceUnavailable: it cannot be listed now.
        """
        filesystem, base = self._open()
        with _errors(self.root):
            # A prefix without objects is not there, and DMS may not have written yet: its bucket is.
            holder = base.partition("/")[0] if self.root.startswith("s3://") else base
            if filesystem.get_file_info(holder).type != pafs.FileType.Directory:
                raise SourceNotReady(
                    "there is no such folder or bucket", where=self.root, fix="check its name, or create it"
                )
            selected = pafs.FileSelector(base, recursive=True, allow_not_found=True)
            infos = filesystem.get_file_info(selected)
        return [
            Found(info.path[len(base) + 1 :], info.size or 0, info.mtime_ns or 0)
            for info in infos
            if info.type == pafs.FileType.File
        ]

    def reader(self) -> FileReader:
        filesystem, base = self._open()
        return FileReader(self.root, filesystem, base)

    def _open(self) -> tuple[pafs.FileSystem, str]:
        if not self.root.startswith("s3://"):
            return pafs.LocalFileSystem(), str(Path(self.root).absolute())
        settings: dict[str, Any] = {}
        for name, value in self.options.items():
            if name in _SETTINGS:
                plain = value if isinstance(value, str) else resolve_for(value, self.root).reveal()
                settings[_SETTINGS[name]] = plain
        if str(settings.get("endpoint_override", "")).startswith("http://"):
            settings["scheme"] = "http"
        with _errors(self.root):
            return pafs.S3FileSystem(**settings), self.root.removeprefix("s3://").strip("/")


@dataclass(frozen=True, slots=True)
class FileReader:
    """Opens files below the root, of one size and no other."""

    root: str
    filesystem: pafs.FileSystem
    base: str

    def stream(self, path: str, *, gzip: bool) -> IO[bytes]:
        """From its beginning, once."""
        with _errors(self.where(path)):
            opened: IO[bytes] = self.filesystem.open_input_stream(
                f"{self.base}/{path}", compression="gzip" if gzip else None
            )
        return opened

    def file(self, path: str) -> IO[bytes]:
        """For reading anywhere in it."""
        with _errors(self.where(path)):
            opened: IO[bytes] = self.filesystem.open_input_file(f"{self.base}/{path}")
        return opened

    def where(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}"


@contextmanager
def _errors(where: str) -> Iterator[None]:
    """What the system or Arrow raises, which may quote requests, as errors of ours."""
    try:
        yield
    except ReplicationError:
        raise
    except FileNotFoundError:
        raise SourceNotReady(
            "there is no such file or folder", where=where, fix="look who removed it"
        ) from None
    except (OSError, pa.ArrowException) as error:
        text = str(error)
        if "ACCESS_DENIED" in text or "403" in text or isinstance(error, PermissionError):
            raise SourceNotReady(
                "it may not be listed or read",
                where=where,
                fix="grant s3:ListBucket on the bucket and s3:GetObject on its objects, or the file's rights",
            ) from None
        raise SourceUnavailable(
            "it cannot be listed or read now",
            where=where,
            fix="check bucket, region, endpoint and credentials; try again",
        ) from None
