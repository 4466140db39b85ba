"""Where a projection's Delta table is, and how its files are reached.

Data files go through a file system rooted at the table; the log goes through deltalake.
What a storage client raises becomes a `TargetError` here. Storage options hold credentials:
no `repr` and no message has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pyarrow.fs as pa_fs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from replication_assets.core.events import ID_RANGE
from replication_assets.core.schema import TableId
from replication_assets.core.storage_messages import storage_message
from replication_assets.core.torn_logs import torn_log_file
from replication_assets.errors import TargetError


@contextmanager
def storage_errors(where: str, doing: str) -> Iterator[None]:
    """What storage or log refuse, as a `TargetError` that keeps the cause."""
    try:
        yield
    except (DeltaError, OSError) as exc:
        raise TargetError(
            f"{doing} failed: {type(exc).__name__}: {storage_message(exc)}",
            where=where,
            fix="check that the storage is reachable and may be read and written, then run again",
        ) from exc


_LONGEST_NAME = 255
"""Bytes of one folder or file name that file systems allow."""


def safe_name(text: str) -> str:
    """A file name for any text, injective. Percent signs are out: deltalake decodes them twice."""
    return _not_too_long(quote(text, safe="").replace("~", "%7E").replace(".", "%2E").replace("%", "~"))


def _not_too_long(name: str) -> str:
    # A tilde is followed by two digits, so that two of them mark a name that was cut.
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:32]
    return f"{name[: _LONGEST_NAME - 34]}~~{digest}"


@dataclass(frozen=True, slots=True)
class Location:
    """The folder of one table, local or in an object store."""

    table: TableId
    uri: str
    options: dict[str, str] | None = field(repr=False)
    files: pa_fs.FileSystem = field(repr=False)
    """Rooted at the table: paths are those of the log."""
    local: bool
    renamed: bool
    """Whether the folder bears another name than that of `table`."""

    @property
    def folder_on_disk(self) -> Path | None:
        return Path(self.uri) if self.local else None

    def where(self, id_range: str | None = None) -> str:
        place = f"Delta projection of {self.table}"
        return place if id_range is None else f"{place}, range {id_range}"

    def folder(self, id_range: str) -> str:
        return f"{ID_RANGE}={safe_name(id_range)}"

    def is_own(self, table: DeltaTable) -> bool:
        """Whether the table that stands there is of this source table. Tables say of which they are; one
        that says nothing is what its folder is called."""
        said = _said(table)
        return not self.renamed if said is None else said == str(self.table)

    def open_own(self) -> DeltaTable | None:
        """As `open`; None for a table of another source table, too."""
        table = self.open()
        return table if table is not None and self.is_own(table) else None

    def require_own(self, table: DeltaTable | None) -> None:
        """Raises TargetError for a table that another source table was, or is, projected to."""
        if table is not None and not self.is_own(table):
            said = _said(table)
            raise TargetError(
                f"the table that stands there is {'another one' if said is None else f'of {said}'}",
                where=self.where(),
                fix=f"move its folder away ({self.uri}), or give this table another name in its shape",
            )

    def open(self) -> DeltaTable | None:
        """The newest version, or None if there is no table. Never cached: a table may be
        removed and made anew behind us."""
        with storage_errors(self.where(), "opening the table"):
            try:
                return DeltaTable(self.uri, storage_options=self.options)
            except TableNotFoundError:
                return None
            except DeltaError as exc:
                torn = torn_log_file(self.files) if self.local else None
                if torn is None:
                    raise
                fix = "restore the file from a copy, or delete the folder of the table, which is filled anew"
                raise TargetError(torn, where=self.where(), fix=fix) from exc


def _said(table: DeltaTable) -> str | None:
    return table.metadata().description or None


def locate(
    root: str, table: TableId, storage_options: Mapping[str, str] | None, called: TableId | None = None
) -> Location:
    """`<root>/<folder>` of the table as it is called there, with the percent signs of hostile names
    written as `~`."""
    # `folder` has no tilde of its own, so two names never share a folder.
    name = table if called is None else called
    folder = "/".join(_not_too_long(part) for part in name.folder.replace("%", "~").split("/"))
    options = dict(storage_options) if storage_options else None
    if "://" in root and not root.startswith("file://"):
        uri = f"{root.rstrip('/')}/{folder}"
        files = pa_fs.PyFileSystem(DeltaStorageHandler(uri, options))
        return Location(table, uri, options, files, local=False, renamed=name != table)
    path = Path(unquote(urlsplit(root).path) if root.startswith("file://") else root).absolute() / folder
    if "%" in str(path):
        raise TargetError(
            "the lakehouse folder has a percent sign in its path, which deltalake cannot open",
            where=f"Delta projection of {table}",
            fix="choose a folder without one",
        )
    # Not created here: declaring a target must leave no trace.
    files = pa_fs.SubTreeFileSystem(str(path), pa_fs.LocalFileSystem())
    return Location(table, str(path), options, files, local=True, renamed=name != table)
