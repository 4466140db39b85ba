"""Single rows as of a checkpoint: what a target is repaired from."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.dataset as ds

from replication_assets.core.baseline import Baseline
from replication_assets.core.events import OP
from replication_assets.core.fold import fold_rows, row_schema
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill, engine, quoted, same_key, stream
from replication_assets.flows.read import history_reader
from replication_assets.ports import LogSnapshot


def rows_of_keys(
    snapshot: LogSnapshot,
    table: TableId,
    id_range: IdRange,
    keys: pa.Table,
    *,
    as_of: Position,
    baseline: Baseline,
    spill: Spill = Spill(),
) -> pa.Table:
    """Rows (`core.fold.row_schema`) that some keys of a range have as of a position; none of a
    key that has no row then. `keys` holds the key columns of the table, which must have some.

    Only events of these keys are folded, in memory.

    Raises:
        NeedsReload: a value that the source did not send is in no stored event.
    """
    schema = snapshot.schema
    wanted = row_schema(schema)
    with engine(spill) as connection:
        connection.register("stored", snapshot.events(id_range.key))
        connection.register("wanted", keys.select(list(schema.key)))
        found = connection.sql(
            f"SELECT e.* FROM stored e SEMI JOIN wanted k ON {same_key(schema.key, 'e', 'k')} "
            f"WHERE e.{OP} IN ('R', 'I', 'U', 'D')"
        ).to_arrow_table()
        rows = fold_rows(
            connection,
            ds.dataset(found),
            schema,
            baseline,
            history_of=history_reader(snapshot),
            where=f"{table} range {id_range.key}",
            as_of=as_of,
        )
        return pa.Table.from_batches(rows, wanted)


def versions_of_keys(
    snapshot: LogSnapshot, id_range: IdRange, keys: pa.Table, *, spill: Spill = Spill()
) -> pa.Table:
    """Every row (`core.fold.row_schema`) that some keys of a range ever had, as their events tell
    it: values that the source did not send are null."""
    schema = snapshot.schema
    columns = ", ".join(f"e.{quoted(name)}" for name in row_schema(schema).names)
    with engine(spill) as connection:
        connection.register("stored", snapshot.events(id_range.key))
        connection.register("wanted", keys.select(list(schema.key)))
        found = (
            f"SELECT {columns} FROM stored e SEMI JOIN wanted k ON {same_key(schema.key, 'e', 'k')} "
            f"WHERE e.{OP} IN ('R', 'I', 'U')"
        )
        return pa.Table.from_batches(stream(connection, found, row_schema(schema)), row_schema(schema))
