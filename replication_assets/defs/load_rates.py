"""How fast loads went that ended lately, from the receipts on their materializations.

A load becomes visible in one commit at its end: counting rows in the store would show nothing
while it runs, and a rate that no disk has when it ends. Its receipt knows how long it took.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg

from replication_assets.core.schema import TableId
from replication_assets.defs import naming
from replication_assets.flows.watch.metrics import LoadRate

_MOST_CELLS = 500


def load_rates(instance: dg.DagsterInstance, tables: Iterable[TableId], since: float) -> Iterator[LoadRate]:
    """Of each table that was loaded after `since` (epoch seconds): all its loads together, from
    the start of the first to the end of the last."""
    for table in tables:
        wanted = dg.AssetRecordsFilter(naming.event_store_key(table), after_timestamp=since)
        records = instance.fetch_materializations(wanted, limit=_MOST_CELLS).records
        if rate := _rate(table, records):
            yield rate


def _rate(table: TableId, records: Iterable[dg.EventLogRecord]) -> LoadRate | None:
    loads: dict[str, tuple[float, float, float, float]] = {}
    for record in records:
        event = record.asset_materialization
        if event is None or "load_id" not in event.metadata:
            continue
        facts: dict[str, Any] = {name: value.value for name, value in event.metadata.items()}
        seconds = float(facts["seconds"])
        rows = float(facts["rows_per_second"]) * seconds
        loads[str(facts["load_id"])] = (
            record.timestamp - seconds,
            record.timestamp,
            rows,
            float(facts["bytes"]),
        )
    if not loads:
        return None
    elapsed = max(end for _, end, _, _ in loads.values()) - min(start for start, _, _, _ in loads.values())
    elapsed = max(elapsed, 0.001)
    rows, size = (sum(load[part] for load in loads.values()) for part in (2, 3))
    return LoadRate(table, rows / elapsed, size / 1024 / elapsed)
