"""What an engine does for `SqlTarget`, which itself knows no engine.

`SqlTarget` (target.py) owns what is promised; an engine owns its SQL: names, types, bulk load, and how
a statement that touches few rows of a large table is written so that the few drive it.

Rules for every engine:

- A driver's error becomes TargetUnavailable (retry may help) or TargetError, `from None`, and its text is
  passed on only where it cannot quote a value.
- A value goes in and comes out as it is. Modes that truncate or coerce are switched off.
- Foreign keys are not checked in our sessions: tables and ranges arrive one by one, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pyarrow as pa

from replication_assets.core.schema import Column, TableId
from replication_assets.core.structure import TableStructure
from replication_assets.targets.sql.projection.arriving import KeyLimits
from replication_assets.targets.sql.projection.carried import Projected
from replication_assets.targets.sql.projection.layout import Layout, Place

UPSERTS = "_ra_upserts"
DELETES = "_ra_deletes"
ASKED = "_ra_asked"


class Session(Protocol):
    """One connection. Statements belong to the transaction that is open."""

    def writing(self) -> AbstractContextManager[None]:
        """A transaction that changes rows; triggers know that the changes are ours."""
        ...

    def defining(self) -> AbstractContextManager[None]:
        """The right to make and alter tables: one process at a time has it."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """A transaction whose every statement sees one state."""
        ...

    def run(self, statement: str) -> int:
        """Rows that it changed."""
        ...

    def rows(self, query: str) -> list[tuple[Any, ...]]: ...

    def longest_row(self) -> int | None:
        """Bytes of a row's texts and binaries; None for any."""
        ...

    def columns(self, place: Place) -> tuple[str, ...]:
        """Names of a table's columns; empty where there is no such table."""
        ...

    def make_home(self, schema: str) -> None:
        """The schema or database, and the tables of the books in it."""
        ...

    def make_table(self, layout: Layout, structure: TableStructure | None, projected: Projected) -> None:
        """The table, with its key, its index by range, and what notices edits. Drops what a killed
        process left of it."""
        ...

    def add_columns(self, layout: Layout, columns: Sequence[Column]) -> None: ...

    def carry(self, layout: Layout, structure: TableStructure, projected: Projected) -> list[str]:
        """Make indexes and foreign keys of the structure that are missing; what is not carried."""
        ...

    def drop_table(self, place: Place) -> None: ...

    def make_staged(self, layout: Layout, name: str, columns: pa.Schema, key: Sequence[str]) -> None:
        """A temporary table of columns in carrier types; a second row of one `key` is an error."""
        ...

    def load(self, into: str, batch: pa.RecordBatch, layout: Layout) -> None:
        """Add rows in bulk to a table (as `named` or `staged` gives it)."""
        ...

    def read(self, columns: pa.Schema, source: str, layout: Layout) -> Iterator[pa.RecordBatch]:
        """Columns of `FROM source`, where the table is `t`, in carrier types, in bounded batches."""
        ...

    def delete_older(self, layout: Layout, staged: str, id_range: str, *, whatever: bool = False) -> int:
        """Delete rows of the range whose key is staged with a newer position, or `whatever` theirs."""
        ...

    def insert_missing(self, layout: Layout, staged: str) -> int:
        """Add the staged rows whose key no row has."""
        ...

    def delete_copies(self, layout: Layout, staged: str, id_range: str) -> int:
        """Of each staged content (`_content`, `copies`), delete so many rows."""
        ...


class Database(Protocol):
    """One database (or server, or folder) of one engine."""

    engine: str

    @property
    def where(self) -> str:
        """Which database, for messages, without how to get in."""
        ...

    def place(self, table: TableId) -> Place: ...

    def session(self) -> AbstractContextManager[Session]: ...

    def named(self, place: Place) -> str:
        """The table in the engine's SQL."""
        ...

    def staged(self, place: Place, name: str) -> str:
        """A temporary table in the engine's SQL."""
        ...

    def quoted(self, name: str) -> str: ...

    def text(self, value: str) -> str:
        """A constant in the engine's SQL, as our sessions are set."""
        ...

    def same_key(self, layout: Layout) -> str:
        """A condition: rows `s` and `t` have one key, exactly; no collation or padding makes two of one."""
        ...

    def locking(self, table: str) -> tuple[str, str]:
        """How a query over `table` locks the rows that it finds: what stands after FROM, and at its end."""
        ...

    def unheld(self, values: pa.Array, column: Column) -> pa.Array | None:
        """See `values.Unheld`."""
        ...

    def longest_key(self, layout: Layout) -> KeyLimits:
        """What an index takes."""
        ...

    def refuse_names(self, layout: Layout) -> None:
        """Raises TargetError for names that the engine cannot have, or tell apart."""
        ...
