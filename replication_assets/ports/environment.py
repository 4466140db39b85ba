"""The port of a nonproduction environment's database: the far side of the guard.

Rows get in by `load` alone, which takes sealed batches and checks them itself, with the public key
that its own marker holds. There is no other way to write rows through this port.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from replication_assets.core.masking.seal import SealedBatch
from replication_assets.core.positions import Position
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.schema import TableId
from replication_assets.core.structure import TableStructure


@dataclass(frozen=True, slots=True)
class Marker:
    """What the database says of itself: which environment it is, and whose seals it takes."""

    environment: str
    trust: str
    public_key: str
    key_id: str
    made_at: dt.datetime


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """One table of the copy that readers see. `checksum` is the keyed sum over its rows, `rows` their
    number, both as certified."""

    table: TableId
    as_of: Position
    structure: str
    rows: int
    checksum: int


@dataclass(frozen=True, slots=True)
class PublishedCopy:
    """What readers see now: the record is written in the transaction that published it."""

    refresh: str
    id: str
    policy: str
    key_id: str
    published_at: dt.datetime
    tables: tuple[PublishedTable, ...]


@dataclass(frozen=True, slots=True)
class TableCopy:
    """How one table stands in the target: its structure, and the Arrow schema of the batches that are
    loaded into it and read back from it (`core.refresh.staged_schema`)."""

    structure: TableStructure
    schema: pa.Schema


@dataclass(frozen=True, slots=True)
class Violation:
    """Rows whose foreign key points at no row."""

    table: TableId
    foreign_key: str
    rows: int


class EnvironmentTarget(Protocol):
    """A database of one environment. Connections are private to it. Every method but `marker` and
    `mark` raises GuardError if the database's marker is missing or names another environment, or
    another trust level than the declared one."""

    @property
    def engine(self) -> str:
        """`postgresql`, `mysql` (MariaDB too) or `sqlite`."""
        ...

    def marker(self) -> Marker | None:
        """What the database says of itself; None if nothing."""
        ...

    def mark(self, marker: Marker, *, confirm: bool = False) -> None:
        """Make the database this environment's. A database that is marked so already stays as it is;
        with another key, `confirm` exchanges it, and the next refresh is a full one.

        Raises:
            GuardError: it is marked as another environment, or holds tables of somebody and
                `confirm` is not given.
        """
        ...

    def held(self, refresh: str, run: str) -> AbstractContextManager[None]:
        """The environment for one run, while the block lasts; it ends with the process that holds it.

        Raises:
            RefreshInProgress: another run holds it; the message names that run.
        """
        ...

    def not_carried(self, tables: Sequence[TableStructure]) -> tuple[str, ...]:
        """What the copy will lack or have otherwise, each as one line that names table and object:
        types without an equal, defaults, checks and indexes that cannot be translated, `others`.

        Raises:
            RefreshError: a type that cannot be held without loss is refused, all of them at once.
        """
        ...

    def begin(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
        """Make the shadow schema of this plan, or go on with it: whatever another plan left behind is
        dropped. Tables are made without keys and indexes; for `changes`, with upserts and deletes
        apart."""
        ...

    def loaded(self, plan: RefreshPlan) -> Mapping[tuple[str, str, str], int]:
        """Rows of each chunk that is in the shadow schema already, by (table, role, chunk)."""
        ...

    def load(self, plan: RefreshPlan, table: TableCopy, sealed: SealedBatch) -> int:
        """Load one sealed batch and note its chunk, in one transaction. A chunk that is loaded already
        is left alone. Returns its rows.

        Raises:
            GuardError: the batch is not what the guard sealed for this environment, refresh, policy,
                structure and key.
            TargetUnavailable, RefreshError: the database failed or refused; no value is told.
        """
        ...

    def finish(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
        """Keys, unique keys, foreign keys, indexes, defaults and sequences (beyond the greatest value),
        on the shadow schema. Idempotent.

        Raises:
            VerificationFailed: rows break one of them; it is named with how many, and no value.
        """
        ...

    def run_hook(self, plan: RefreshPlan, statement: str) -> None:
        """One SQL statement on the shadow schema, before publication.

        Raises:
            RefreshError: it failed; the database's own words are left out where they may quote values.
        """
        ...

    def violations(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> tuple[Violation, ...]:
        """Foreign keys of the shadow schema that point at nothing, also where none is enforced."""
        ...

    def read(
        self, table: TableCopy, plan: RefreshPlan | None, role: str = "rows"
    ) -> Iterator[pa.RecordBatch]:
        """Rows of the shadow schema of a plan, or of the published copy (None), in `table.schema`: value
        for value what was loaded."""
        ...

    def texts(self, plan: RefreshPlan | None) -> Iterator[str]:
        """Every text around the rows: names, comments, defaults, checks, index definitions, enum
        labels, view and function sources of the schemas of the copy. What a canary is looked for in."""
        ...

    def publish(self, plan: RefreshPlan, copy: PublishedCopy, tables: Sequence[TableCopy]) -> None:
        """Make the shadow schema what readers see, or apply its changes, in one step together with the
        record of it. Whoever reads before and after sees the old copy or the new one.

        Raises:
            RefreshError: objects of somebody else depend on the old tables; they are named.
            TargetUnavailable: readers held locks for too long: retry.
        """
        ...

    def published(self) -> PublishedCopy | None:
        """The record of what readers see; None before the first publication."""
        ...

    def grant(self, readers: Sequence[str]) -> None:
        """Let these roles read the published copy, and nothing else."""
        ...

    def discard(self, plan: RefreshPlan) -> None:
        """Drop the shadow schema of this plan with its rows and chunks: a proof of it failed. What is
        published stays. Idempotent."""
        ...

    def drop(self) -> None:
        """Drop published copy, shadow and records; the marker stays. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class RefreshHookCall:
    """What a Python hook gets: `execute` runs one SQL statement on the copy before it is published.
    A hook sees no connection, and cannot reach the published copy or the source by it."""

    refresh: str
    environment: str
    execute: Callable[[str], None]
