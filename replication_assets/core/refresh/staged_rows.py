"""The rows of a copy: which columns are staged, and the checksum that a copy is held against."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.schema import TableSchema
from replication_assets.core.structure import TableStructure


def staged_schema(
    schema: TableSchema, structure: TableStructure, defaulted: Collection[str] = ()
) -> pa.Schema:
    """Columns of sealed batches: the table's own in the structure's order, as the event store types
    them, without generated and `defaulted` ones (the copy fills them in); then `_overflow`, the texts
    of odd values (`infinity`, `NaN`) of columns that are kept as they are, by column, as in a folded
    row."""
    left_out = {column.name for column in structure.columns if column.generated is not None} | {*defaulted}
    known = set(schema.names)
    fields = [
        pa.field(name, schema.column(name).arrow)
        for name in structure.names
        if name in known and name not in left_out
    ]
    return pa.schema([*fields, pa.field(OVERFLOW, pa.string())])
