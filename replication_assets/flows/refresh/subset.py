"""The subset of a refresh: which rows of each table come along, from the keys in the event store.

Plan and mask choose in processes of their own, and choose the same: rows as of one position, by keys and
declarations alone. No key is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.prf import Prf
from replication_assets.core.positions import Position
from replication_assets.core.refresh.references import SubsetRules
from replication_assets.core.refresh.subset import Subset, choose
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill, engine, quoted
from replication_assets.errors import RefreshError
from replication_assets.flows.read import fold_range, ranges_of
from replication_assets.flows.refresh.compiled import TableGuard
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.step import guarded, guarded_rows
from replication_assets.flows.refresh.tables import StoredTable


def planned_subset(refreshing: Refreshing, guards: Sequence[TableGuard]) -> Subset | None:
    """The subset of a plan's tables as of its positions; None where all rows come along."""
    if refreshing.refresh.subset is None or not guards:
        return None
    as_of = {guard.planned.table: guard.planned.as_of for guard in guards}
    tables = sorted((guard.stored for guard in guards), key=lambda table: table.id)
    return choose_rows(refreshing, tables, as_of, guards[0].keys, guards[0].spill)


def choose_rows(
    refreshing: Refreshing,
    tables: Sequence[StoredTable],
    as_of: Mapping[TableId, Position],
    keys: KeyRing,
    spill: Spill,
) -> Subset:
    """Raises RefreshError if the declaration fits no rows, or more than `max_rows`."""
    declared = refreshing.refresh.subset
    if declared is None:
        raise RefreshError("it declares no subset", where=refreshing.where, fix="copy all rows")
    reader = _KeyReader({table.id: table for table in tables}, as_of, spill)
    rules = SubsetRules(declared.begin, declared.children, declared.virtual_keys)
    return guarded(
        "plan",
        refreshing.where,
        lambda: choose(
            [table.structure for table in sorted(tables, key=lambda table: table.id)],
            rules,
            Prf(keys.proof_key("subset")),
            reader.keys,
            reader.matching,
            max_rows=refreshing.refresh.max_rows,
            spill=spill,
        ),
    )


class _KeyReader:
    """Columns of folded rows."""

    def __init__(
        self, tables: Mapping[TableId, StoredTable], as_of: Mapping[TableId, Position], spill: Spill
    ) -> None:
        self._tables, self._as_of, self._spill = tables, as_of, spill

    def keys(self, table: TableId, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        for batch in self._rows(table, columns):
            yield batch.select(list(columns))

    def matching(self, table: TableId, condition: str, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Rows for which a condition of the declaration is true, in DuckDB's SQL."""
        chosen = ", ".join(quoted(name) for name in columns)
        query = f"SELECT {chosen} FROM folded WHERE {condition}"
        with engine(self._spill) as connection:
            connection.execute("SET enable_external_access = false")
            for batch in self._rows(table, self._tables[table].schema.names):
                connection.register("folded", pa.Table.from_batches([batch]))
                found = guarded("plan", f"condition of {table}", connection.sql(query).to_arrow_table)
                yield from found.to_batches()

    def _rows(self, table: TableId, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        stored = self._tables[table]
        schema = stored.snapshot.schema
        wanted = {*columns, *schema.key}
        narrowed = replace(schema, columns=tuple(each for each in schema.columns if each.name in wanted))
        for id_range in ranges_of(stored.snapshot):
            as_of = self._as_of[table]
            rows = fold_range(
                stored.snapshot, table, id_range, as_of=as_of, schema=narrowed, spill=self._spill
            )
            yield from guarded_rows("plan", str(table), rows)
