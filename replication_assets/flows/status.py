"""Status: how everything fares, and which id ranges of each table are loaded of those it has."""

from __future__ import annotations

from dataclasses import dataclass, field

from replication_assets.core.schema import TableId
from replication_assets.declarations import Table
from replication_assets.errors import ReplicationError
from replication_assets.flows.coverage import Coverage, coverage
from replication_assets.flows.prepare import open_table
from replication_assets.flows.watch.alarms import Condition
from replication_assets.flows.watch.health import Adapters, Health, read_health
from replication_assets.flows.watch.look import conditions_of
from replication_assets.flows.watch.readings import Readings


@dataclass(frozen=True, slots=True)
class Status:
    """`coverage` lacks tables that were never set up, and those of a source that does not answer."""

    health: Health
    coverage: dict[TableId, Coverage] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    """What is wrong now, by the limits that the catalog declares."""


def read_status(adapters: Adapters, readings: Readings) -> Status:
    """Look at everything once. What cannot be read is told in `health`, and hides nothing else."""
    health = read_health(adapters, readings)
    answering = {source.name for source in health.sources if source.error is None}
    found: dict[TableId, Coverage] = {}
    for table in adapters.catalog.tables:
        if table.id.source in answering and health.table(table.id).exists:
            covered = _coverage(adapters, table)
            if covered is not None:
                found[table.id] = covered
    return Status(health, found, tuple(conditions_of(health, adapters.catalog.watch)))


def _coverage(adapters: Adapters, table: Table) -> Coverage | None:
    source, store = adapters.source(table.id.source), adapters.store()
    try:
        return coverage(source, store, open_table(source, store, table))
    except ReplicationError:
        # Its cause is what the table's own health, or the source's, tells.
        return None
