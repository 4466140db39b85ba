"""What readers and writers of SQL Server know alike of its driver: what may be told of an error and whether
it passes, and how many rows to ask for next. The driver itself, and the errors of the project that these
become, are each side's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pyarrow as pa

BATCH_BYTES = 4 << 20
"""What a batch of rows should take."""
FIRST_ROWS = 64
_MOST_ROWS = 65_536


def next_rows(rows: int, batch: pa.RecordBatch) -> int:
    """How many rows to ask for next: grown slowly, since a large value may stand among small ones."""
    if batch.num_rows == 0:
        return rows
    fitting = int(BATCH_BYTES * batch.num_rows / max(1, batch.nbytes))
    return max(1, min(fitting, 4 * rows, _MOST_ROWS))


_NAMES_ONLY = (
    r"\w+ permission was denied on the (?:object|column|schema|database) '[^']{1,128}'",
    r"Invalid (?:object|column) name '[^']{1,128}'",
    r"Cannot open database \"[^\"]{1,128}\" requested by the login",
    r"Login failed for user '[^']{1,128}'",
    r"CREATE \w+ permission denied in database '[^']{1,128}'",
)
_SNAPSHOT_OFF = "snapshot isolation is not allowed"
_NO_DRIVER = "Failed to load the driver"
_LOST = re.compile(r"Communication link|TCP Provider|Login timeout|[Tt]imeout expired|deadlock")
_ALTERED = re.compile(r"modified by a DDL statement|Lock request time out")


def names_only(*more: str) -> re.Pattern[str]:
    """Messages of the server that are made of names alone, in English; `more` are those that only one side
    can meet."""
    return re.compile(f"({'|'.join((*_NAMES_ONLY, *more))})")


@dataclass(frozen=True, slots=True)
class Message:
    """An error of the driver. `what` may be told; `names` is the server's message, or the part of it, that
    is made of names alone. `text` is all that the server said: it may hold values, and is only looked at."""

    what: str
    names: str | None
    text: str = field(repr=False)

    @property
    def unready(self) -> tuple[str, str] | None:
        """What is not set up, and what mends it: the driver's native part, or the database."""
        if _NO_DRIVER in self.text:
            fix = "install the system libraries that mssql-python names in its documentation"
            return "the driver's native part cannot be loaded", fix
        if _SNAPSHOT_OFF in self.text:
            fix = "ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON"
            return "snapshot isolation is not allowed", fix
        return None

    @property
    def is_altered(self) -> bool:
        """The table is locked, or was altered under a statement."""
        return _ALTERED.search(self.text) is not None

    @property
    def is_lost(self) -> bool:
        """The connection, the answer, or the transaction; another attempt may do."""
        return _LOST.search(self.text) is not None


def message_of(error: object, known: re.Pattern[str]) -> Message:
    """`known` is of `names_only`. The driver's own text for an SQLSTATE holds no value."""
    told, text = str(getattr(error, "driver_error", "")), str(getattr(error, "ddbc_error", ""))
    names = known.search(text)
    if names is None:
        return Message(told or type(error).__name__, None, text)
    return Message(f"{told}: {names[0]}", names[0], text)
