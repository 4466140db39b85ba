"""What tells rows without key apart: the MD5 of what they hold, computed from columns by DuckDB.

Only values that are there count, each with its column's name: a column that the table gains, null in
the rows that it has, changes the content of none of them.
"""

from __future__ import annotations

import pyarrow as pa

from replication_assets.core.digests import Comparables, canonical
from replication_assets.core.events import OVERFLOW
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import Spill, engine, literal


def contents(batch: pa.RecordBatch, schema: TableSchema, spill: Spill) -> pa.Array:
    """32 hex digits for each row. Equal rows have equal ones: NaN equals NaN, and -0.0 is not 0.0."""
    if batch.num_rows == 0:
        return pa.array([], pa.string())
    columns = pa.schema([*schema.arrow_schema(), pa.field(OVERFLOW, pa.string())])
    plain = pa.schema([pa.field(field.name, _plain(field.type)) for field in columns])
    given = batch.select(columns.names).cast(plain)
    numbers = pa.array(range(batch.num_rows), pa.int64())
    numbered = given.append_column("~row", numbers)
    stream = Comparables([numbered], plain, ("~row",))
    fields = [
        f"CASE WHEN c{at} IS NOT NULL THEN {literal(f'{len(field.name)}:{field.name}=')} || "
        f"{canonical(field.type, f'c{at}')} END"
        for at, field in enumerate(plain)
    ]
    with engine(spill) as connection:
        connection.register("given", stream.reader(pa.schema([pa.field("~row", pa.int64())])))
        found: pa.Table = connection.sql(
            f"SELECT md5(concat_ws('|', {', '.join(fields)})) AS content FROM given ORDER BY c{len(plain)}"
        ).to_arrow_table()
        connection.unregister("given")
    return found["content"].combine_chunks().cast(pa.string())


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.string()
    return pa.binary() if pa.types.is_large_binary(kind) else kind
