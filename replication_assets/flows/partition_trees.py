"""Partitions that came or went while nobody captured.

Attaching or detaching a partition moves rows without a change event. An open change stream
watches for it; what happens between two captures shows only against the tree that the last
one noted in the table's log.
"""

from __future__ import annotations

from collections.abc import Collection

from replication_assets.core.controls import Controls, SchemaChanged
from replication_assets.core.positions import Position
from replication_assets.flows.control_events import tell
from replication_assets.flows.prepare import ReplicatedTable
from replication_assets.ports import ChangeSource, EventLog


def note_partitions(
    source: ChangeSource,
    log: EventLog,
    table: ReplicatedTable,
    epoch: int,
    *,
    told: Collection[str] = (),
) -> None:
    """Write an `S` event if the table's partitions are not those last noted. It demands a
    reload if rows came or went with them, unless the change stream has `told` every one of
    the reasons already."""
    snapshot = log.snapshot()
    known = noted(snapshot.controls())
    tree = source.partition_tree(table.id, known)
    if tree is None or tree.leaves == known:
        return
    # Read after the tree: a load with a greater position has seen the partitions as they are.
    position = Position(epoch, source.status().head)
    reason = tree.reason or "partitions noted"
    untold = bool(tree.reason) and not set(tree.reason.split("; ")) <= set(told)
    change = SchemaChanged(position, untold, reason, leaves=tree.leaves)
    tell(log, snapshot.schema, change)


def noted(controls: Controls) -> tuple[tuple[int, str], ...] | None:
    """The partition tree as last noted; None if it never was."""
    trees = [change for change in controls.schema_changes if change.leaves is not None]
    return max(trees, key=lambda change: change.position).leaves if trees else None
