"""Verify, any time later: the proofs once more, on the copy that readers see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replication_assets.flows.refresh.refreshing import Progress, Refreshing

if TYPE_CHECKING:
    from replication_assets.core.refresh.proofs import Verification


def verify_published(refreshing: Refreshing, *, progress: Progress | None = None) -> Verification:
    """Prove the published copy of an environment: marker, audit chain, rows against the record of the
    publication, values against their rules, rare values of the source's rows as of today, and texts.
    Appended to the audit; returned whether it passed or not.

    Raises:
        RefreshError: nothing was published, or another refresh published it.
    """
    raise NotImplementedError
