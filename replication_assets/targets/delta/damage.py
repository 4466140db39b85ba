"""What a damaged table is told by: the file that is missing or torn, by its name.

Whoever projects finds such a file by its size and fills the range anew; this is for those who
only read. The reader's own words name the file or not, and may quote a value: they are chained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from replication_assets.core.datasets import BATCH_ROWS, LITTLE_AHEAD, SafeDataset
from replication_assets.errors import TargetError
from replication_assets.targets.delta.location import Location, storage_errors


@contextmanager
def reading(location: Location, table: DeltaTable) -> Iterator[None]:
    """A failure to read rows of this version, as a `TargetError`."""
    try:
        yield
    except (DeltaError, OSError, pa.ArrowInvalid) as exc:
        with storage_errors(location.where(), "reading rows"):
            lost = _lost(location, table)
            if lost is None:
                raise
        raise TargetError(
            lost, where=location.where(), fix="project the table: its range is filled anew"
        ) from exc


def read_rows(location: Location, table: DeltaTable) -> Iterator[pa.RecordBatch]:
    """All rows of one version, batch by batch."""
    with reading(location, table):
        yield from SafeDataset.of(table.to_pyarrow_dataset()).to_batches(
            batch_size=BATCH_ROWS, **LITTLE_AHEAD
        )


def _lost(location: Location, table: DeltaTable) -> str | None:
    """The first file that is not as long as the log says."""
    listed = pa.table(table.get_add_actions(flatten=True))
    paths, sizes = listed["path"].to_pylist(), listed["size_bytes"].to_pylist()
    for info, path, size in zip(location.files.get_file_info(paths), paths, sizes, strict=True):
        if not info.is_file:
            return f"file {path!r} is missing"
        if info.size != size:
            return f"file {path!r} has {info.size} bytes where {size} were written"
    return None
