"""Which file of a Delta log is not whole, once a log could not be read.

delta-rs says what is wrong with the text of a commit or the footer of a checkpoint, but not in
which file; whoever has to restore it from a copy needs the name. Only asked after a failure: it
lists the log and reads its newest part. Refuses nothing: a log that looks whole is reported so.

Format: https://github.com/delta-io/delta/blob/master/PROTOCOL.md, sections Delta Log Entries,
Checkpoints and Last Checkpoint File.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(\..*)?\.parquet")


def torn_log_file(table: pafs.FileSystem) -> str | None:
    """What is wrong with which file of the log of the table at the root of a file system; None if
    nothing is found, or nothing can be read."""
    try:
        infos = table.get_file_info(pafs.FileSelector(LOG, allow_not_found=True))
        sizes = {info.base_name: info.size for info in infos if info.is_file}
        return next(_damage(table, sizes), None)
    except OSError:
        return None


def _damage(table: pafs.FileSystem, sizes: dict[str, int]) -> Iterator[str]:
    checkpoints = {name: int(found[1]) for name in sizes if (found := _CHECKPOINT.fullmatch(name))}
    for name in sorted(checkpoints, reverse=True):
        if not _is_parquet(table, name):
            yield f"checkpoint {LOG}/{name} is torn"
    hinted = _hinted(table) if "_last_checkpoint" in sizes else None
    if hinted is not None and hinted not in checkpoints.values():
        yield f"checkpoint {LOG}/{hinted:020}.checkpoint.parquet is missing"
    since = max(checkpoints.values(), default=-1)
    commits = {int(found[1]) for name in sizes if (found := _COMMIT.fullmatch(name))}
    for version in range(since + 1, max(commits, default=-1) + 1):
        name = f"{version:020}.json"
        if version not in commits:
            yield f"commit {LOG}/{name} is missing"
        elif not _is_commit(table, name):
            yield f"commit {LOG}/{name} is torn"


def _is_parquet(table: pafs.FileSystem, name: str) -> bool:
    try:
        with table.open_input_file(f"{LOG}/{name}") as file:
            pq.read_metadata(file)
    # Whatever the reader makes of bytes that are no footer.
    except (pa.ArrowException, OSError):
        return False
    return True


def _is_commit(table: pafs.FileSystem, name: str) -> bool:
    lines = _read(table, name).splitlines()
    try:
        return bool(lines) and all(isinstance(orjson.loads(line), dict) for line in lines)
    except orjson.JSONDecodeError:
        return False


def _hinted(table: pafs.FileSystem) -> int | None:
    """The version that `_last_checkpoint` names. A torn one is passed over, as readers do."""
    try:
        found = orjson.loads(_read(table, "_last_checkpoint"))
    except orjson.JSONDecodeError:
        return None
    version = found.get("version") if isinstance(found, dict) else None
    return version if isinstance(version, int) else None


def _read(table: pafs.FileSystem, name: str) -> bytes:
    with table.open_input_file(f"{LOG}/{name}") as file:
        content: bytes = file.read()
    return content
