"""Owns mending single items: what a validation found missing, extra or different.

Written over whatever is as old as the checkpoint, so that items of later events stay, and on the
declared condition, whenever else that counts: nobody knows what stands there meanwhile. Refused:
mending by the findings of a checkpoint that the range has left.
"""

from __future__ import annotations

import pyarrow as pa

from replication_assets.core.positions import Position
from replication_assets.errors import CommitConflict
from replication_assets.ports import RangeCheckpoint, Refuse
from replication_assets.targets.dynamodb.bodies import gone_up_to, tombstones
from replication_assets.targets.dynamodb.conversion import Conversion, together
from replication_assets.targets.dynamodb.image import IDENTITY
from replication_assets.targets.dynamodb.range_writer import NOT_NEWER, RangeWriter, at_least


def require_unmoved(where: str, reached: RangeCheckpoint, found_at: RangeCheckpoint) -> None:
    if (reached.baseline, reached.position) != (found_at.baseline, found_at.position):
        raise CommitConflict(
            f"the range has moved on from {found_at.position} to {reached.position}",
            where=where,
            fix="validate again, and repair what is found then",
        )


def mend(
    writer: RangeWriter,
    conversion: Conversion,
    rows: pa.Table,
    gone: pa.Table,
    reached: Position,
    refuse: Refuse,
) -> pa.Table:
    """Write `rows`, and bury the items whose keys (`image.IDENTITY`) are in `gone`. Returns what
    was written."""
    guarded = conversion.guard is not None
    prepared = conversion.rows(rows, guarded=guarded)
    refuse(prepared.refusals)
    covered = gone_up_to(reached)
    keys = gone[IDENTITY].combine_chunks().cast(pa.large_string())
    registers = pa.repeat(pa.scalar(covered, pa.large_string()), len(keys))
    graves = tombstones(keys, registers, conversion.burial(reached))
    # A key in both is of a row that took the place of another.
    buried = graves.filter(pa.compute.invert(pa.compute.is_in(graves["key"], prepared.writes["key"])))
    writes = together(prepared, buried, distinct=True)
    bounds = at_least(writes["register"], covered)
    _, not_taken = writer.put(prepared, writes, bounds, NOT_NEWER, guarded=guarded)
    refuse(not_taken)
    return writes
