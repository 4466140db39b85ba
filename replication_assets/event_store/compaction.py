"""Small files of a partition rewritten into large ones: files change, facts do not.

Delta's own `optimize` is not used: two of them from one version both commit, and every row
doubles. Here each commit carries the app transaction `compactor`, so that the second of two
is rejected; it deletes its files and leaves the work to the first. A rewrite is committed
only if the multiset of rows that is read back equals the one that went in.

Rows keep the order of their files, which are taken by their first position. A file is
written in position order by its capture and captures follow each other, so the outcome is
sorted but where a load and a capture overlap; a full sort would buy nothing for reads,
which choose by position in the fold, and would cost spilling to disk.

Removed files stay on disk for running readers, until `vacuum`. Several partitions share a
commit, because any two commits that remove files conflict, on whatever partitions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable, Transaction
from deltalake.transaction import RemoveAction

from replication_assets.core.datasets import LITTLE_AHEAD
from replication_assets.errors import CommitConflict, ReplicationError, StoreCorrupt
from replication_assets.event_store.columns import arrow_schema
from replication_assets.event_store.commit import Action, commit
from replication_assets.event_store.files import UNKNOWN_HIGH, ActiveFile, active_files, dataset
from replication_assets.event_store.parts import (
    ROW_GROUP_BYTES,
    ROW_GROUP_ROWS,
    TARGET_BYTES,
    PartWriter,
    WrittenPart,
)
from replication_assets.event_store.storage import Place
from replication_assets.failpoints import reach

COMPACTOR = "compactor"
SMALL_BYTES = TARGET_BYTES // 2
TOLERATED_SMALL_FILES = 8
PARTITIONS_PER_COMMIT = 64
READ_ROWS = 32 * 1024


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Files of one partition, and the one that takes their place."""

    inputs: tuple[ActiveFile, ...]
    output: WrittenPart


def compact(place: Place) -> int:
    """Compact every partition with many small files; returns files removed.

    Returns early if another compactor is at work.
    """
    removed = 0
    table = place.open()
    groups = list(_groups(active_files(table)))
    for start in range(0, len(groups), PARTITIONS_PER_COMMIT):
        # A commit of ours moved the table on; the groups are of disjoint files, so still there.
        batch = groups[start : start + PARTITIONS_PER_COMMIT]
        if not _compact_groups(place, table, batch):
            break
        removed += sum(len(group) for group in batch)
    return removed


def _groups(files: Sequence[ActiveFile]) -> Iterator[list[ActiveFile]]:
    """Small files that become one file each time, in the order of their positions."""
    by_partition = sorted(files, key=lambda file: str(file.partition))
    for _, partition in groupby(by_partition, key=lambda file: file.partition):
        small = [file for file in partition if file.size < SMALL_BYTES]
        if len(small) > TOLERATED_SMALL_FILES:
            yield from _filled(sorted(small, key=lambda file: (file.low, file.path)))


def _filled(small: Sequence[ActiveFile]) -> Iterator[list[ActiveFile]]:
    group: list[ActiveFile] = []
    for file in small:
        if group and sum(member.size for member in group) + file.size > TARGET_BYTES:
            yield group
            group = []
        group.append(file)
    if len(group) > 1:
        yield group


def _compact_groups(place: Place, table: DeltaTable, groups: Sequence[list[ActiveFile]]) -> bool:
    """Rewrite and commit; False if another compactor was first."""
    turn = table.transaction_version(COMPACTOR)
    schema = arrow_schema(table)
    inputs = {file.path for group in groups for file in group}

    def wanted(newest: DeltaTable) -> bool:
        # The second half: somebody may have run Delta's own optimize, which sets no transaction.
        unmoved = newest.transaction_version(COMPACTOR) == turn
        return unmoved and inputs <= {file.path for file in active_files(newest)}

    rewrites: list[Rewrite] = []
    try:
        for group in groups:
            rewrites.append(_rewrite(place, group, schema))
            _verify(place, rewrites[-1], schema)
    except ReplicationError:
        _delete(place, rewrites)
        raise
    actions = [action for rewrite in rewrites for action in _actions(rewrite)]
    try:
        commit(place, table, actions, [Transaction(COMPACTOR, (turn or 0) + 1)], wanted)
    except CommitConflict:
        _delete(place, rewrites)
        return False
    reach("compact.committed")
    return True


def _rewrite(place: Place, group: Sequence[ActiveFile], schema: pa.Schema) -> Rewrite:
    source = dataset(place, group, schema)
    partition = group[0].partition
    kept = pa.schema([field for field in schema if field.name not in dict(partition)])
    with place.errors():
        files = place.filesystem()
        writer = PartWriter(place, files, partition, kept)
        try:
            for rows in _row_groups(source, kept.names):
                writer.write(rows.cast(kept))
            return Rewrite(tuple(group), writer.finish())
        except BaseException:
            writer.close()
            files.delete_file(writer.path)
            raise


def _verify(place: Place, rewrite: Rewrite, schema: pa.Schema) -> None:
    """Raises StoreCorrupt unless the file on disk holds exactly the rows of its inputs."""
    output = rewrite.output
    written = ActiveFile(
        output.path, output.size, output.rows, output.partition, rewrite.inputs[0].low, UNKNOWN_HIGH
    )
    with place.errors():
        before = fingerprint(dataset(place, rewrite.inputs, schema))
        after = fingerprint(dataset(place, [written], schema))
        reach("compact.written")
    listed = sum(file.rows for file in rewrite.inputs)
    if before != after or before[0] != listed:
        raise StoreCorrupt(
            f"{listed} rows in the log, {before[0]} read, {after[0]} written: a rewrite would not keep them",
            where=place.where,
            fix="look for a damaged file in the partition; nothing was changed",
        )


def fingerprint(rows: ds.Dataset) -> tuple[int, int]:
    """Count, and a sum over rows of a hash over all columns: equal multisets have equal ones.

    Columns are renamed by place, since names of a source are not all names to SQL.
    """
    names = {f"c{index}": pc.field((name,)) for index, name in enumerate(rows.schema.names)}
    reader = rows.scanner(columns=names, batch_size=READ_ROWS, **LITTLE_AHEAD).to_reader()
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("events", reader)
        found = connection.execute(
            f"select count(*), sum(hash({', '.join(names)})::hugeint) from events"
        ).fetchone()
    count, total = found if found is not None else (0, 0)
    return int(count), int(total or 0)


def _actions(rewrite: Rewrite) -> Iterator[Action]:
    yield rewrite.output.added(data_change=False)
    now = int(time.time() * 1000)
    for file in rewrite.inputs:
        yield RemoveAction(file.path, False, now, file.size, dict(file.partition))


def _delete(place: Place, rewrites: Sequence[Rewrite]) -> None:
    with place.errors():
        files = place.filesystem()
        for rewrite in rewrites:
            files.delete_file(rewrite.output.path)


def _row_groups(source: ds.Dataset, names: Sequence[str]) -> Iterator[pa.Table]:
    """The rows in order, in pieces of about a row group, with little read ahead."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    scanner = source.scanner(columns=list(names), batch_size=READ_ROWS, **LITTLE_AHEAD)
    for batch in scanner.to_batches():
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(waiting)
