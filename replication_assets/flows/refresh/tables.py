"""The tables of a refresh as the event store has them, each with its recorded structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.core.controls import live_schema
from replication_assets.core.masking.policy import TablePolicy
from replication_assets.core.masking.rules import ColumnDefault
from replication_assets.core.refresh.carried_structure import carried_structure
from replication_assets.core.refresh.plan import CopiedTable, RefreshPlan
from replication_assets.core.refresh.staged_rows import staged_schema
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.structure import TableStructure
from replication_assets.errors import NotLoaded, RefreshError
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.ports import LogSnapshot
from replication_assets.ports.environment import TableCopy


@dataclass(frozen=True)
class StoredTable:
    """One table: a version of its log, the columns that its source still has, and its structure."""

    id: TableId
    snapshot: LogSnapshot
    schema: TableSchema
    structure: TableStructure
    policy: TablePolicy | None

    @property
    def carried(self) -> TableStructure:
        """What of the structure the copy has; certificates and records name its fingerprint."""
        return carried_structure(self.structure, self.policy)

    @property
    def copy(self) -> TableCopy:
        """How it stands in the target. Needs no key: the load step has none."""
        rules = self.policy.columns if self.policy is not None else {}
        defaulted = {name for name, column in rules.items() if isinstance(column.mask, ColumnDefault)}
        return TableCopy(self.carried, staged_schema(self.schema, self.structure, defaulted))


def open_tables(refreshing: Refreshing) -> tuple[StoredTable, ...]:
    """All tables of a refresh, in the order of the catalog.

    Whether log and structure agree is the policy's to say, column by column.

    Raises:
        NotLoaded: tables whose log or structure is not there.
    """
    missing = [str(table.id) for table in refreshing.tables if not refreshing.store.log(table.id).exists()]
    if missing:
        raise NotLoaded(
            f"not in the event store: {', '.join(missing)}",
            where=refreshing.where,
            fix="load these tables first",
        )
    return tuple(_open(refreshing, table.id) for table in refreshing.tables)


def _open(refreshing: Refreshing, table: TableId) -> StoredTable:
    snapshot = refreshing.store.log(table).snapshot()
    structure = refreshing.store.structures(table).last()
    if structure is None:
        raise NotLoaded(
            "its structure (keys, indexes, defaults) was never recorded",
            where=str(table),
            fix=f"load the table, or capture source {table.source}: both record it",
        )
    schema = live_schema(snapshot.schema, snapshot.controls().schema_changes)
    return StoredTable(table, snapshot, schema, structure, refreshing.policy.table(str(table)))


def planned_tables(refreshing: Refreshing, plan: RefreshPlan) -> list[tuple[CopiedTable, StoredTable]]:
    """The tables of a plan in its order, which still are what they were when it was made.

    Raises:
        RefreshError: the structure of a table changed since.
    """
    opened = {table.id: table for table in open_tables(refreshing)}
    found = [(each, opened[each.table]) for each in plan.tables if each.table in opened]
    changed = [str(table.id) for each, table in found if table.carried.fingerprint != each.structure]
    if changed or len(found) != len(plan.tables):
        raise RefreshError(
            f"the structure changed since the plan was made: {', '.join(changed) or 'tables are gone'}",
            where=refreshing.where,
            fix="start the refresh again: it is planned anew, and the policy is held against what changed",
        )
    return found


def copies(found: Sequence[tuple[CopiedTable, StoredTable]]) -> list[TableCopy]:
    return [table.copy for _, table in found]
