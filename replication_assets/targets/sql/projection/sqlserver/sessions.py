"""What the projection asks of a session with a server: the seam that `connection` fills with the driver, and
tests with an engine of their own. Statements come from `statements`; only `hand_over` has a parameter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa


class Driver(Protocol):
    """One connection. Every statement commits by itself unless it begins a transaction."""

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The answer to a small query."""
        ...

    def run(self, statement: str) -> None:
        """A statement whose answer, if there is one, does not matter."""
        ...

    def changed(self, statement: str) -> int:
        """Rows that a statement changed."""
        ...

    def hand_over(self, statement: str, piece: str) -> None:
        """A statement with one text of some megabytes as its parameter."""
        ...

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        """The answer to a large query, in batches of some megabytes."""
        ...

    def close(self) -> None: ...


class Login(Protocol):
    """Opens sessions, set as `statements.SETTINGS` say."""

    @property
    def where(self) -> str: ...

    def open(self) -> Driver: ...
