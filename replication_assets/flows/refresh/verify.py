"""Verify: proofs on what was loaded, before anybody may read it.

What is read back is what the guard certified; every value fits its rule; values that are rare in the
source do not occur, in rows nor in the texts around them; foreign keys hold. Hooks run between the first
of them and the others, which so see what hooks left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.flows.refresh.refreshing import Progress, Refreshing

if TYPE_CHECKING:
    from replication_assets.core.refresh.proofs import Verification


def verify_refresh(
    refreshing: Refreshing, plan: RefreshPlan, *, run: str, progress: Progress | None = None
) -> Verification:
    """Prove the shadow schema of a plan. The result is in the audit, passed or not.

    Raises:
        VerificationFailed: a proof failed. The next run begins anew.
        RefreshError: not everything is loaded; a hook failed; another plan superseded this one.
    """
    raise NotImplementedError
