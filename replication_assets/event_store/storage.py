"""Where the tables of the store are, and what their failures mean.

Owns the mapping from names to places, the opening of Delta tables, and the translation of
every exception of delta-rs, Arrow and the operating system into the project's errors. The
rest of the package never sees a URL or a storage option.

Places hold letters, digits, `_`, `-` and `.` only. delta-rs 1.6 decodes a `%` in a table's
own URL twice, and on S3 looks for `_last_checkpoint` under a wrongly encoded name when
there is a `~` or a space in it: the table then opens by reading its whole log, or not at
all. A root with such characters is refused; names of tables are escaped with `-`.

On a local disk a commit is safe against a killed process; against a loss of power it is
as safe as the file system, since delta-rs does not flush its log to the device.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from replication_assets.core.schema import TableId
from replication_assets.core.storage_messages import storage_message
from replication_assets.core.torn_logs import torn_log_file
from replication_assets.delta_creation import NewTable, create_table
from replication_assets.errors import CommitConflict, ReplicationError, StoreCorrupt, StoreError

LONGEST_NAME = 200
"""Characters of one folder name; file systems allow 255 bytes."""

RECENT_COMMITS = 50
"""How many log files are looked at for torn writes on opening: those since a checkpoint."""


def folder_of(table: TableId) -> str:
    """The table's folder under the root: one level for the source, one for the table."""
    return "/".join(_name(part) for part in table.folder.split("/"))


def ledger_folder(source: str) -> str:
    """The source's ledger, beside its tables: a table's folder always has a dot or a `--`."""
    return folder_name(source) + "/_captures"


def capture_lists_folder(source: str) -> str:
    """Which tables the source's captures kept, beside its ledger."""
    return folder_name(source) + "/_captured_tables"


def dead_letters_folder(projection: str, table: TableId) -> str:
    """Of one table in one projection: one level deeper than any log."""
    return f"_dead_letters/{folder_name(projection)}/{folder_of(table)}"


def folder_name(text: str) -> str:
    """Any text as the name of one folder or file: no two share one, none leaves its folder."""
    if not text:
        raise StoreError("a name is empty", where="event store", fix="name what is to be kept")
    return folder_of(TableId(text, "", "")).split("/")[0]


def _name(encoded: str) -> str:
    # `-` becomes the escape character in place of `%`, so it is escaped itself; `--` is
    # never the outcome and marks names that had to be cut.
    name = encoded.replace("-", "%2D").replace("%", "-")
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:32]
    return f"{name[: LONGEST_NAME - 34]}--{digest}"


class Storage:
    """The root of a store and how to reach it. Options may hold secrets: never shown."""

    def __init__(self, root: str, options: Mapping[str, str] | None = None) -> None:
        self.local = _local_path(root)
        self.root = str(self.local) if self.local is not None else root.rstrip("/")
        self._options = dict(options or {})
        _check_root(self.root, local=self.local is not None)

    def __repr__(self) -> str:
        return f"Storage({self.root!r})"

    def place(self, folder: str, where: str) -> Place:
        local = self.local / folder if self.local is not None else None
        return Place(f"{self.root}/{folder}", local, self._options, where)


class Place:
    """One Delta table: its URL, the file system of its files, and its name in errors."""

    def __init__(self, uri: str, local: Path | None, options: Mapping[str, str], where: str) -> None:
        self.uri = uri
        self.local = local
        self.where = where
        self._options = dict(options)
        self._folders: set[str] = set()

    def __repr__(self) -> str:
        return f"Place({self.uri!r})"

    @property
    def options(self) -> dict[str, str] | None:
        return dict(self._options) or None

    def create(self, new: NewTable) -> None:
        """Raises whatever delta-rs or the system raises; FileExistsError if another was first."""
        create_table(self.uri, self.local, self.options, new)

    def exists(self) -> bool:
        with self.errors():
            return bool(DeltaTable.is_deltatable(self.uri, self.options))

    def open(self) -> DeltaTable:
        """The newest version. Raises StoreError if there is none, StoreCorrupt if it is torn."""
        try:
            table = DeltaTable(self.uri, storage_options=self.options)
        except (TableNotFoundError, OSError) as exc:
            raise self.error(exc) from exc
        except Exception as exc:
            raise self._corrupt(exc) from exc
        self._check_log(table.version(), RECENT_COMMITS)
        return table

    def refresh(self, table: DeltaTable) -> None:
        """Bring an open table to the newest version."""
        before = table.version()
        with self.errors():
            table.update_incremental()
        self._check_log(table.version(), min(RECENT_COMMITS, table.version() - before))

    def _check_log(self, version: int, count: int) -> None:
        # delta-rs takes an empty commit file for a commit that changed nothing. Only a local
        # disk can leave one: object stores write whole objects or none.
        if self.local is None:
            return
        for number in range(version, max(-1, version - count), -1):
            path = self.local / "_delta_log" / f"{number:020}.json"
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                return  # cleaned up after a checkpoint
            if size == 0:
                raise StoreCorrupt(
                    f"commit {number} of the log is empty, so what it added is unknown",
                    where=self.where,
                    fix="restore the file from a copy; if there is none, load the table into a new store",
                )

    def filesystem(self) -> pafs.FileSystem:
        """The table's folder, for writing. Local files bypass delta-rs, which is faster."""
        if self.local is not None:
            return pafs.SubTreeFileSystem(str(self.local), pafs.LocalFileSystem())
        return pafs.PyFileSystem(DeltaStorageHandler(self.uri, self._options))

    def reading(self, sizes: Mapping[str, int]) -> pafs.FileSystem:
        """The table's folder, for reading files of which the log knows the sizes."""
        return pafs.PyFileSystem(CheckedFiles(self, self.filesystem(), sizes))

    def prepare_folder(self, path: str) -> None:
        """Make the folder of a file that is to be written."""
        folder = path.rpartition("/")[0]
        if self.local is not None and folder not in self._folders:
            (self.local / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn whatever delta-rs, Arrow or the system raises into a StoreError."""
        try:
            yield
        except ReplicationError:
            raise
        # delta-rs raises bare `Exception` for some failures of its core.
        except Exception as exc:
            raise self.error(exc) from exc

    def error(self, exc: Exception) -> StoreError:
        what = self._told(exc)
        if isinstance(exc, TableNotFoundError):
            return StoreError("there is no event log", where=self.where, fix="create it with `ensure`")
        if isinstance(exc, CommitFailedError):
            return CommitConflict(what, where=self.where, fix="re-read the log and decide again")
        if isinstance(exc, FileNotFoundError):
            return self._corrupt(exc)
        if isinstance(exc, DeltaError) and (torn := self._torn_file()) is not None:
            return self._torn(torn)
        if isinstance(exc, OSError):
            fix = "check the disk, the network and the rights of the store, then run again"
            return StoreError(what, where=self.where, fix=fix)
        return StoreError(what, where=self.where, fix="the cause is chained; nothing was committed")

    def _corrupt(self, exc: Exception) -> StoreCorrupt:
        return self._torn(self._torn_file() or self._told(exc))

    def _torn_file(self) -> str | None:
        # Only a local disk can leave one: object stores write whole objects or none.
        return torn_log_file(self.filesystem()) if self.local is not None else None

    def _torn(self, what: str) -> StoreCorrupt:
        fix = "restore the file from a copy; if there is none, load the table into a new store"
        return StoreCorrupt(what, where=self.where, fix=fix)

    def _told(self, exc: Exception) -> str:
        text = storage_message(exc)
        for name, value in self._options.items():
            if value and re.search("secret|key|token|password|sas|credential", name, re.IGNORECASE):
                text = text.replace(value, "***")
        return text[:500]


class CheckedFiles(pafs.FileSystemHandler):  # type: ignore[misc]
    """Reads files of one version, and names a file that is missing or not as long as it was.

    Scans run long after the log was read, in the caller's hands: this is where a lost file
    can still be told from an ordinary I/O error.
    """

    def __init__(self, place: Place, inner: pafs.FileSystem, sizes: Mapping[str, int]) -> None:
        self._place = place
        self._inner = inner
        self._sizes = sizes

    def get_type_name(self) -> str:
        return "event-log"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        found: list[pafs.FileInfo] = self._inner.get_file_info(paths)
        return found

    def open_input_file(self, path: str) -> pa.NativeFile:
        try:
            file = self._inner.open_input_file(path)
            size = file.size()
        except FileNotFoundError as exc:
            raise self._lost(path, "is missing") from exc
        if size != self._sizes.get(path, size):
            raise self._lost(path, f"has {size} bytes where {self._sizes[path]} were written")
        return file

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def _lost(self, path: str, what: str) -> StoreCorrupt:
        fix = "restore the file from a copy; if there is none, load its id range again"
        return StoreCorrupt(f"file {path!r} {what}", where=self._place.where, fix=fix)

    def _refused(self, *_: object) -> None:
        raise NotImplementedError("a version of the log is read, never changed")

    get_file_info_selector = _refused
    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refused
    delete_file = move = copy_file = open_output_stream = open_append_stream = _refused


def _local_path(root: str) -> Path | None:
    if "://" not in root:
        return Path(root).expanduser().resolve()
    parts = urlsplit(root)
    return Path(unquote(parts.path)).resolve() if parts.scheme == "file" else None


def _check_root(root: str, *, local: bool) -> None:
    # A local path is encoded correctly by delta-rs but for these two.
    odd = set(root) & {"%", "\\"} if local else set(re.findall(r"[^A-Za-z0-9_.\-/:@]", root))
    if odd:
        raise StoreError(
            f"the path holds {', '.join(map(repr, sorted(odd)))}, which Delta cannot address reliably",
            where=f"event store at {root!r}",
            fix="use a path of letters, digits, '_', '-' and '.'",
        )
