"""Rules of masking policies, environments and refreshes: what is legal, and how they fit together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.core.masking.policy import MaskingPolicy
from replication_assets.declarations.environments import Environment
from replication_assets.declarations.refreshes import EnvironmentRefresh
from replication_assets.declarations.tables import Table


def refresh_problems(
    tables: Sequence[Table],
    policies: Sequence[MaskingPolicy],
    environments: Sequence[Environment],
    refreshes: Sequence[EnvironmentRefresh],
) -> Iterator[str]:
    """All that is wrong with what is copied out of production, each with its place and its fix."""
    yield from ()
