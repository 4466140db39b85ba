"""What a source may say besides `ChangeSource`: that applications feel its capture. `check` tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from replication_assets.core.schema import TableId, TableSchema


@runtime_checkable
class IntrusiveSource(Protocol):
    """A source whose capture changes what applications may do with captured tables."""

    def consequences(self, tables: Sequence[tuple[TableId, TableSchema]]) -> tuple[str, ...]:
        """What applications must know of before capture is set up, each with what they can do instead, as
        `ChangeSource.missing` words it. Nothing is asked of the source."""
        ...
