"""What rows and changes must look like before a target writes anything of them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.changes import RangeChanges
from replication_assets.core.events import COMMIT_POSITION, EPOCH, SEQUENCE, UNCHANGED
from replication_assets.core.fold import row_schema
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.errors import TargetError


def require_columns(where: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises TargetError unless the names are those, in that order."""
    if list(names) != list(wanted):
        odd = sorted(set(names) ^ set(wanted)) or "the same in another order"
        raise TargetError(
            f"rows do not have the columns of the projection: {odd}",
            where=where,
            fix="pass rows of core.fold.row_schema for the schema that is passed",
        )


def require_changes(where: str, schema: TableSchema, changes: RangeChanges, position: Position) -> None:
    """Raises TargetError for changes that lack columns or reach beyond `position`."""
    wanted = row_schema(schema).names
    require_columns(where, changes.upserts.column_names, [*wanted, UNCHANGED])
    needed = [*schema.key, EPOCH, COMMIT_POSITION, SEQUENCE] if schema.key else wanted
    lacking = sorted(set(needed) - set(changes.deletes.column_names))
    if lacking:
        raise TargetError(f"deletes lack the columns {lacking}", where=where)
    for rows in (changes.upserts, changes.deletes):
        if after(rows, position).num_rows:
            raise TargetError(
                f"changes reach beyond the position {position} that they are said to end at",
                where=where,
                fix="pass the position of the last event",
            )


def after(rows: pa.Table, position: Position) -> pa.Table:
    """Rows whose position is greater."""
    epoch, commit, sequence = (rows[name] for name in (EPOCH, COMMIT_POSITION, SEQUENCE))
    in_commit = pc.and_(pc.equal(commit, position.commit), pc.greater(sequence, position.sequence))
    in_epoch = pc.or_(pc.greater(commit, position.commit), in_commit)
    return rows.filter(
        pc.or_(pc.greater(epoch, position.epoch), pc.and_(pc.equal(epoch, position.epoch), in_epoch))
    )
