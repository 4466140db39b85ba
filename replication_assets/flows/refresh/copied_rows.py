"""Rows of a copy as they will stand when it is published, read back from the target.

Of a full copy these are the rows of the shadow schema. Of changes they are what the merge will leave: the
published rows that no change touches, and the upserts.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.masker import Rows
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.flows.refresh.compiled import TableGuard
from replication_assets.flows.refresh.refreshing import Refreshing


def copied_rows(
    refreshing: Refreshing, guard: TableGuard, plan: RefreshPlan | None
) -> Iterator[pa.RecordBatch]:
    """Of a plan that is loaded, or of the published copy (None)."""
    target, copy = refreshing.target, guard.stored.copy
    if plan is None or plan.how == "full":
        yield from target.read(copy, plan)
        return
    key = guard.stored.schema.key
    touched = [
        Rows(batch, key).row_keys
        for role in ("upserts", "deletes")
        for batch in target.read(copy, plan, role)
    ]
    keys = pa.chunked_array(touched, pa.string()).combine_chunks() if touched else pa.array([], pa.string())
    for batch in target.read(copy, None):
        yield batch.filter(pc.invert(pc.is_in(Rows(batch, key).row_keys, value_set=keys)))
    yield from target.read(copy, plan, "upserts")
