"""What the projection asks of a session with a database: the seam that `connection` fills with the driver,
and tests with an engine of their own. Statements come from `statements`; `insert` alone has binds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa


class Driver(Protocol):
    """One session. A transaction begins with the first change, and ends with `commit` or `rollback`."""

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The answer to a small query."""
        ...

    def run(self, statement: str) -> None: ...

    def changed(self, statement: str) -> int:
        """Rows that a statement changed."""
        ...

    def insert(self, statement: str, rows: pa.RecordBatch) -> int:
        """A statement for each row, its values by position; rows that were added."""
        ...

    def batches(self, statement: str, schema: pa.Schema, size: int) -> Iterator[pa.RecordBatch]:
        """The answer to a large query, so many rows at a time, in these types."""
        ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


class Login(Protocol):
    """Opens sessions, set as `statements.SETTINGS` say, of a database whose character set has every text."""

    @property
    def where(self) -> str: ...

    def open(self) -> Driver: ...
