"""The part of a change source that says what its events leave out; every other one tells whole rows."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from replication_assets.core.schema import TableId, TableSchema


@runtime_checkable
class LeavesOutUnchanged(Protocol):
    """A source whose change events can lack values that an update left alone."""

    def left_out(self, table: TableId, schema: TableSchema) -> tuple[str, ...]:
        """What may be left out of changes of the table, each with what makes them whole; empty if they
        are. A row that no load read cannot be completed."""
        ...
