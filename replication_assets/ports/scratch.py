"""The port of a scratch database: where what capture costs is measured, beside nobody's data."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from replication_assets.core.schema import TableId

SCRATCH = "replication_assets_overhead"
"""What the scratch schema, database or file is called."""

COLUMNS = "id, customer_id, amount, status, note"
NOTE = "left at the door, paid in advance, " * 4


class ScratchClient(Protocol):
    """A session of an application. Each call is a transaction of one row, committed when it returns."""

    def insert(self, key: int) -> bool: ...
    def select(self, key: int) -> bool: ...
    def update(self, key: int) -> bool: ...

    def delete(self, key: int) -> bool:
        """As all of them: whether there was such a row."""
        ...


class ScratchDatabase(Protocol):
    """A schema, database or file of its own. Can be pickled: clients run in other processes."""

    @property
    def where(self) -> str: ...

    def table(self, source: str) -> TableId:
        """The one table in it, as a source of that name has it."""
        ...

    def create(self) -> None:
        """Raises SourceNotReady if there is one of its name already: it is left alone."""
        ...

    def remove(self) -> None:
        """Idempotent."""
        ...

    def fill(self, rows: int) -> None:
        """The table, made anew, with keys from 1 to `rows`."""
        ...

    def client(self) -> AbstractContextManager[ScratchClient]: ...
