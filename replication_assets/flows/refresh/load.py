"""Load: sealed batches from the staging into the shadow schema of the target, chunk by chunk.

Needs no key: the target itself checks each seal with the public key in its marker.
"""

from __future__ import annotations

from dataclasses import dataclass

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.flows.refresh.refreshing import Progress, Refreshing


@dataclass(frozen=True, slots=True)
class LoadReceipt:
    """`chunks` and `rows` of the shadow schema; `resumed` chunks were there before."""

    id: str
    chunks: int
    rows: int
    resumed: int
    seconds: float


def load_refresh(
    refreshing: Refreshing, plan: RefreshPlan, *, run: str, progress: Progress | None = None
) -> LoadReceipt:
    """Load every staged chunk that is not loaded yet; then keys, indexes, defaults and sequences.

    Raises:
        GuardError: a batch is not what the guard sealed for this plan; nothing of it was loaded.
        VerificationFailed: rows break a key.
        RefreshError: not everything is staged; another plan superseded this one.
    """
    raise NotImplementedError
