"""What validations leave beside the events: digests that are worth keeping, lists of findings.

All of it is Parquet. Digests are small files, each with some of them; the newest file that has a
name counts. Any of them may be deleted at any time: what is not known is computed again. Findings
are never changed, and stay until somebody deletes them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from replication_assets.core.digests import Digest
from replication_assets.event_store.storage import Place
from replication_assets.ports.validation import KnownDigest

_DIGESTS = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("of", pa.string()),
        pa.field("rows", pa.int64()),
        pa.field("checksum", pa.uint64()),
    ]
)

MOST_FILES = 16
"""Files of digests beyond which they are made one."""


class StoredDigests:
    """See `ports.validation.KnownDigests`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def read(self) -> Mapping[str, KnownDigest]:
        with self._place.errors():
            return self._read(self._place.filesystem())[0]

    def keep(self, digests: Mapping[str, KnownDigest]) -> None:
        if not digests:
            return
        with self._place.errors():
            files = self._place.filesystem()
            known, paths = self._read(files)
            crowded = len(paths) >= MOST_FILES
            self._write(files, {**known, **digests} if crowded else digests)
            for path in paths if crowded else ():
                _delete(files, path)

    def _read(self, files: pafs.FileSystem) -> tuple[dict[str, KnownDigest], list[str]]:
        listed = files.get_file_info(pafs.FileSelector("", allow_not_found=True))
        paths = sorted(info.path for info in listed if info.is_file and info.path.endswith(".parquet"))
        found: dict[str, KnownDigest] = {}
        for path in paths:
            try:
                lines = pq.ParquetFile(path, filesystem=files).read(_DIGESTS.names).to_pylist()
                found.update({line["name"]: _known(line) for line in lines})
            except (FileNotFoundError, pa.ArrowException):
                # Made one with others meanwhile, or torn by a loss of power.
                continue
        return found, paths

    def _write(self, files: pafs.FileSystem, digests: Mapping[str, KnownDigest]) -> None:
        lines = [
            {"name": name, "of": each.of, "rows": each.digest.rows, "checksum": each.digest.checksum}
            for name, each in digests.items()
        ]
        path = f"{time.time_ns():020}-{uuid.uuid4().hex}.parquet"
        _make_folder(self._place)
        pq.write_table(pa.Table.from_pylist(lines, _DIGESTS), path, filesystem=files)


class StoredFindings:
    """See `ports.validation.FindingLists`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def write(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> str:
        path = f"{name}.parquet"
        with self._place.errors():
            _make_folder(self._place)
            files = self._place.filesystem()
            with pq.ParquetWriter(path, schema, filesystem=files, compression="zstd") as writer:
                for batch in batches:
                    writer.write_batch(batch)
        return f"{self._place.uri}/{path}"


def _known(line: Mapping[str, Any]) -> KnownDigest:
    return KnownDigest(line["of"], Digest(line["rows"], line["checksum"]))


def _make_folder(place: Place) -> None:
    if place.local is not None:
        place.local.mkdir(parents=True, exist_ok=True)


def _delete(files: pafs.FileSystem, path: str) -> None:
    try:
        files.delete_file(path)
    except FileNotFoundError:
        return
