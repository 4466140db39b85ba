"""What an engine does for `SqlEnvironment`, which itself knows no SQL.

`SqlEnvironment` (target.py) owns the guard: for every call it opens one session, reads the marker
through that very session, refuses a wrong one, opens seals, checks schemas and roles, and only
then asks the session to act. A session therefore never checks a seal, and never gets rows that
were not certified. It owns everything that depends on the engine: connection, types, bulk load,
names and places of shadow tables, publication.

To share between engines: the record tables and their JSON (records.py), the SQLAlchemy tables of a
structure, keys of merges, orders of tables and the queries for broken foreign keys (ddl.py), and
shortened names (names.py). The contract of all engines is
`replication_assets_tests/contracts/environment_target.py`.

Rules for every engine:

- Nothing public gives out a connection; a repr shows no credentials; secrets are resolved when a
  session is opened and not before.
- A driver's error is translated where it occurs, `from None`, into `TargetUnavailable` (lost, locked,
  retry may help), `RefreshError` (refused) or `VerificationFailed` (rows break a constraint). Its text
  is passed on only where it cannot quote a value.
- A value goes in and comes out as it is, or `RefreshError` names the column: nothing is truncated,
  rounded or coerced. Sessions of engines that do so by default are told not to (strict modes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeAlias

import pyarrow as pa

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.structure import TableStructure
from replication_assets.ports.environment import Marker, PublishedCopy, TableCopy, Violation

Place: TypeAlias = Literal["rows", "upserts", "deletes"]
"""The shadow table of a source table: batches of role `rows` and `generated` go to `rows` (a full
copy), `upserts` and `deletes` to tables of their own (changes). In a batch of deletes, columns that
are not of the key are null."""


class SqlSession(Protocol):
    """One connection to the target's database, for one call of `SqlEnvironment` (`lock` apart, whose
    session lasts as long as the lock). Each method is a transaction, or several of which each may be
    the last one that a killed process did."""

    def marker(self) -> Marker | None:
        """What the database says of itself; None where nothing was ever said."""
        ...

    def write_marker(self, marker: Marker) -> None:
        """Replace the marker in one transaction; makes the place of the records where it is missing."""
        ...

    def strangers(self) -> tuple[str, ...]:
        """Tables and views of the database that are neither records nor shadow nor in the published
        copy, `schema.name` each; those of the engine itself do not count."""
        ...

    def lock(self, holder: str) -> str | None:
        """Take the environment for as long as this session is open, and note who took it: None. Or, if
        another session has it, who that is (`another run` if that cannot be read). The lock itself is
        one that the server or kernel releases when the process dies, never a row or file alone."""
        ...

    def not_carried(self, tables: Sequence[TableStructure]) -> tuple[str, ...]:
        """As in `EnvironmentTarget.not_carried`, RefreshError included."""
        ...

    def begin(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
        """Shadow tables without keys, indexes and foreign keys. If the records tell that the shadow is
        this plan's, tables that are there stay with their rows and what is missing is made;
        otherwise what another plan left, and its chunks, are dropped first. NOT NULL is declared at
        once for `rows`, and on the key alone for `upserts` and `deletes`."""
        ...

    def loaded(self, plan: RefreshPlan) -> Mapping[tuple[str, str, str], int]:
        """Rows by (table, role, chunk) of this plan; empty if the shadow is not this plan's."""
        ...

    def load(self, plan: RefreshPlan, table: TableCopy, role: str, chunk: str, batch: pa.RecordBatch) -> int:
        """Add the rows to the shadow table of the role and note the chunk with its role, in one
        transaction; do neither if the chunk is noted. Returns the rows of the chunk. `batch` is in
        `table.schema`; its `_overflow` holds texts of odd values by column (a JSON object) where the
        column's own value is null: they are put in the column's place, or RefreshError names the
        column if the engine has no such value. Columns of the structure that are not in the schema
        get their default or are generated. RefreshError if the shadow is not this plan's."""
        ...

    def finish(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
        """As in the port; for `changes` nothing but what makes the merge fast. Foreign keys to tables
        outside the copy are left out (and listed by `not_carried`)."""
        ...

    def run_hook(self, plan: RefreshPlan, statement: str) -> None:
        """One statement, with unqualified names meaning shadow tables. It can reach neither the
        published copy nor the records, where the engine can deny that."""
        ...

    def violations(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> tuple[Violation, ...]:
        """As in the port. For `changes`, upserts whose parent is neither among the upserts nor in the
        published copy less the deletes."""
        ...

    def read(self, table: TableCopy, plan: RefreshPlan | None, place: Place) -> Iterator[pa.RecordBatch]:
        """Rows of a shadow table, or of the published one (None), in `table.schema`, `_overflow`
        included, in batches of bounded size and any order. RefreshError if there is no such table."""
        ...

    def texts(self, plan: RefreshPlan | None) -> Iterator[str]:
        """As in the port."""
        ...

    def publish(self, plan: RefreshPlan, copy: PublishedCopy, tables: Sequence[TableCopy]) -> None:
        """As in the port. A full copy replaces the published one whole: tables that only the old one
        had are gone after it. Readers of the last `grant` may read the new tables. A second
        call for the plan that is published already does nothing: a process may die between the
        commit and the knowledge of it."""
        ...

    def published(self) -> PublishedCopy | None:
        """The record that was written together with the publication."""
        ...

    def grant(self, readers: Sequence[str]) -> None:
        """Let exactly these roles read the published copy; remembered for the next publication.
        RefreshError for a role that does not exist. Engines without roles refuse any."""
        ...

    def discard(self, plan: RefreshPlan) -> None:
        """Shadow tables and chunks of this plan; nothing if the shadow is another one's."""
        ...

    def drop(self) -> None:
        """Shadow, published copy and every record but the marker."""
        ...


class SqlDialect(Protocol):
    """An engine, and one database of it."""

    @property
    def engine(self) -> str:
        """As `EnvironmentTarget.engine`."""
        ...

    @property
    def where(self) -> str:
        """Which database, for messages, without how to get in: `postgresql host:5432/qa`."""
        ...

    def session(self) -> AbstractContextManager[SqlSession]:
        """One session, closed at the end of the block; what is not committed then is undone.

        Raises:
            TargetUnavailable: no connection.
        """
        ...
