"""The table's columns: made with the first fill, widened when the source gains some.

A column dropped at the source stays, null in new rows. A column whose stored type changed is
refused: old rows cannot be rewritten without knowing what the new type makes of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError

from replication_assets.core.events import ID_RANGE
from replication_assets.core.fold import row_schema
from replication_assets.core.schema import TableSchema
from replication_assets.delta_creation import NewTable, create_table
from replication_assets.errors import TargetError
from replication_assets.targets.delta.location import Location, storage_errors

CHECKPOINT_INTERVAL = 10
"""Commits between checkpoints of the Delta log. Each look at a range opens the table and asks for its
registers, which reads all commits since the last one: 51 of them cost 14 ms and 2 ms a register, a
checkpoint 8 ms to write and then 3 ms and 0.4 ms to read."""

_ATTEMPTS = 5
"""Of several processes that make or widen a table at once, all but one find it done."""


def table_columns(schema: TableSchema) -> pa.Schema:
    """Columns of the table: the folded row, and the partition column last."""
    return pa.schema([*row_schema(schema), pa.field(ID_RANGE, pa.string())])


def file_columns(table: DeltaTable) -> pa.Schema:
    """What each data file holds: all columns but the partition column, metadata left out."""
    stored = pa.schema(table.schema())
    return pa.schema([pa.field(f.name, f.type) for f in stored if f.name != ID_RANGE])


def ensure_table(location: Location, schema: TableSchema, table: DeltaTable | None = None) -> DeltaTable:
    """The table with every column of `schema`; made or widened where it is not.

    `table` is returned where it has them; else its newest version is.
    """
    wanted = table_columns(schema)
    for attempt in range(_ATTEMPTS):
        table = table if table is not None and attempt == 0 else location.open()
        location.require_own(table)
        missing = None if table is None else _missing(location, table, wanted)
        if table is not None and not missing:
            return table
        try:
            if table is None:
                refuse_colliding(location, wanted.names)
                create_table(location.uri, location.folder_on_disk, location.options, _new(location, wanted))
            else:
                table.alter.add_columns(list(Schema.from_arrow(pa.schema(missing or [])).fields))
        except (DeltaError, OSError):
            if attempt == _ATTEMPTS - 1:
                with storage_errors(location.where(), "making the table's columns"):
                    raise
    table = location.open()
    if table is None or _missing(location, table, wanted):
        raise TargetError("the table's columns change under us", where=location.where(), fix="run again")
    return table


def overwrite(location: Location, columns: pa.Schema) -> None:
    """The table with these columns and no rows, whatever it was."""
    new = _new(location, columns)
    DeltaTable.create(
        location.uri,
        new.schema,
        mode="overwrite",
        partition_by=list(new.partition_by),
        description=new.description,
        storage_options=location.options,
        configuration=dict(new.configuration),
    )


def _new(location: Location, columns: pa.Schema) -> NewTable:
    return NewTable(
        Schema.from_arrow(columns),
        {"delta.checkpointInterval": str(CHECKPOINT_INTERVAL)},
        description=str(location.table),
        partition_by=[ID_RANGE],
    )


def refuse_colliding(location: Location, names: Sequence[str]) -> None:
    """Delta compares column names without regard to case; all that collide are named."""
    by_lower: dict[str, list[str]] = {}
    for name in names:
        by_lower.setdefault(name.lower(), []).append(name)
    colliding = [same for same in by_lower.values() if len(same) > 1]
    if colliding:
        raise TargetError(
            f"column names differ in case alone, which Delta refuses: {colliding}",
            where=location.where(),
            fix="rename one of them in a view and replicate that, or choose another target",
        )


def _missing(location: Location, table: DeltaTable, wanted: pa.Schema) -> list[pa.Field]:
    stored = pa.schema(table.schema())
    retyped = [
        f"{field.name} ({stored.field(field.name).type} stored, {field.type} now)"
        for field in wanted
        if field.name in stored.names and stored.field(field.name).type != field.type
    ]
    if retyped:
        raise TargetError(
            f"columns changed their type: {', '.join(retyped)}",
            where=location.where(),
            fix="reset the projection and fill it anew (replication-assets project --reset), or project "
            "under a new name",
        )
    missing = [field for field in wanted if field.name not in stored.names]
    if missing:
        refuse_colliding(location, [*stored.names, *(field.name for field in missing)])
    return missing
