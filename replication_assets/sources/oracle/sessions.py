"""What the adapter asks of a session with a database: rows, Arrow frames, statements without an answer.

The seam that `connection` fills with the driver, and tests with recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

Row: TypeAlias = Sequence[Any]
Binds: TypeAlias = Mapping[str, object]
NO_BINDS: Binds = {}

STATEMENT_SECONDS = 60
"""For reads of the dictionary. Loads and the change stream run as long as they must."""


class Session(Protocol):
    """One session, used by one thread. Errors are the project's (`errors`)."""

    @property
    def where(self) -> str: ...

    def rows(self, statement: str, binds: Binds = NO_BINDS) -> list[Row]:
        """The whole answer: numbers as int or Decimal, text as str."""
        ...

    def frames(self, statement: str, binds: Binds = NO_BINDS, size: int = 10_000) -> Iterator[pa.RecordBatch]:
        """The answer, some rows at a time, in the driver's Arrow types."""
        ...

    def run(self, statement: str, binds: Binds = NO_BINDS) -> None: ...

    def number(self, statement: str, out: str, binds: Binds = NO_BINDS) -> int:
        """Run a block that assigns a number to the bind `out`."""
        ...

    def close(self) -> None:
        """Without waiting for anything."""
        ...


class Server(Protocol):
    """Where sessions come from. Can be pickled and shared by threads."""

    @property
    def where(self) -> str: ...

    def open(self, *, statement_seconds: int = STATEMENT_SECONDS, log: bool = False) -> Session:
        """A session of the database; with `log` of the container whose redo log is mined. A statement
        may take so many seconds; 0 for any time."""
        ...


@contextmanager
def connected(
    server: Server, *, statement_seconds: int = STATEMENT_SECONDS, log: bool = False
) -> Iterator[Session]:
    """A session, closed at the end of the block."""
    session = server.open(statement_seconds=statement_seconds, log=log)
    try:
        yield session
    finally:
        session.close()


def one_row(session: Session, statement: str, binds: Binds = NO_BINDS) -> Row | None:
    """The first row of an answer."""
    found = session.rows(statement, binds)
    return found[0] if found else None
