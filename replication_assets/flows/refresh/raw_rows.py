"""Raw rows of one range, as the event store has them: what the mask step reads, and nothing else does.

Whoever iterates them is in the trust zone of production.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from replication_assets.core.masking.seal import Role
from replication_assets.core.refresh.subset import Subset
from replication_assets.flows.refresh.changes import changed_rows, net_changes
from replication_assets.flows.refresh.compiled import TableGuard


def raw_rows(guard: TableGuard, role: Role, id_range: str, subset: Subset | None) -> Iterator[pa.RecordBatch]:
    """Rows of a full copy, of its subset alone, or the upserts or deletes since the published copy."""
    if role in ("upserts", "deletes"):
        yield from changed_rows(net_changes(guard, id_range), role)
        return
    for batch in guard.read(id_range):
        yield subset.filter(guard.planned.table, batch) if subset is not None else batch
