"""What a cutover works on: its declaration, its tables, and the adapters that reach them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from replication_assets.core.schema import TableId
from replication_assets.declarations import Cutover, Hook, Projection, Table
from replication_assets.errors import CutoverError
from replication_assets.flows.capture import OnFlush
from replication_assets.flows.prepare import ReplicatedTable, open_table
from replication_assets.flows.watch.health import Adapters
from replication_assets.ports import ChangeSource, CutoverLog, EventStore, ProjectionTarget, SwitchHook


class CutoverAdapters(Adapters, Protocol):
    """Where the adapters of a catalog come from (`replication.Replication`)."""

    def hook(self, hook: Hook) -> SwitchHook: ...


@dataclass(frozen=True)
class Handover:
    """One declared cutover. `on_flush` is told of what its own captures write."""

    cutover: Cutover
    projection: Projection
    tables: tuple[Table, ...]
    adapters: CutoverAdapters
    store: EventStore
    on_flush: OnFlush | None = None

    @classmethod
    def of(cls, adapters: CutoverAdapters, name: str, *, on_flush: OnFlush | None = None) -> Handover:
        """Raises CutoverError for a cutover that is not declared."""
        declared = {each.name: each for each in adapters.catalog.cutovers}
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise CutoverError(
                "it is not declared", where=f"cutover {name}", fix=f"declare it; declared are: {known}"
            )
        projection = adapters.catalog.projection(declared[name].projection)
        tables = adapters.catalog.projected(projection)
        return cls(declared[name], projection, tables, adapters, adapters.store(), on_flush)

    @property
    def where(self) -> str:
        return f"cutover {self.cutover.name}"

    @property
    def log(self) -> CutoverLog:
        return self.store.cutover_log(self.cutover.name)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that its tables are in, in the order of the catalog."""
        return tuple(dict.fromkeys(table.id.source for table in self.tables))

    def source(self, name: str) -> ChangeSource:
        return self.adapters.source(name)

    def tables_of(self, source: str) -> tuple[TableId, ...]:
        return tuple(table.id for table in self.tables if table.id.source == source)

    def open(self, source: str) -> list[ReplicatedTable]:
        """All tables of a source, those of other projections too: they are captured together."""
        adapter = self.source(source)
        return [open_table(adapter, self.store, table) for table in self.adapters.catalog.tables_of(source)]

    def target(self, table: TableId) -> ProjectionTarget:
        return self.adapters.target(self.projection, table)
