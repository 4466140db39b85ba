"""The ports of a refresh's own records: structures of tables, sealed batches, and the audit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from replication_assets.core.masking.seal import Certificate, SealedBatch
from replication_assets.core.structure import TableStructure


class Structures(Protocol):
    """Every structure that a source table had, newest last. Append-only."""

    def last(self) -> TableStructure | None: ...

    def record(self, structure: TableStructure, at: dt.datetime) -> bool:
        """Keep it if it differs from the last; whether it did. Safe beside other recorders."""
        ...


class Staging(Protocol):
    """Sealed batches of one refresh on their way from the mask to the load. Nothing but sealed
    batches, and the plan, is ever put here."""

    def plan(self) -> str | None:
        """The plan that is under way, as `RefreshPlan.to_json`; None when there is none."""
        ...

    def begin(self, plan: str) -> None:
        """Forget what is staged, and stage for this plan."""
        ...

    def put(self, sealed: SealedBatch) -> None:
        """Stage a batch whole or not at all, by table, role and chunk; a second one replaces it."""
        ...

    def restart(self, table: str, role: str, id_range: str) -> None:
        """Forget what is staged of a range: it is masked from its beginning."""
        ...

    def complete(self, table: str, role: str, id_range: str, chunks: int) -> None:
        """Note that a range is staged whole, in so many chunks (`<range>.<number>`, from 0)."""
        ...

    def completed(self) -> Mapping[tuple[str, str, str], int]:
        """Chunks of each range that is staged whole, by (table, role, range)."""
        ...

    def certificates(self) -> tuple[Certificate, ...]:
        """Of every chunk of every completed range, by table, role and chunk.

        Raises:
            GuardError: a chunk is missing or torn.
        """
        ...

    def get(self, certificate: Certificate) -> SealedBatch:
        """Raises GuardError if it is gone or unreadable."""
        ...

    def clear(self) -> None:
        """Forget all of it. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One fact of an environment's audit. `hash` is BLAKE2b over the previous line's hash and this
    line's content: a line that is changed, taken out or put in breaks the chain after it."""

    number: int
    environment: str
    refresh: str
    refresh_id: str
    what: str
    at: dt.datetime
    who: str
    body: Mapping[str, object]
    hash: str


class Audit(Protocol):
    """Who refreshed what, when, under which policy and key, and what the proofs said. Append-only."""

    def lines(self) -> tuple[AuditLine, ...]:
        """Oldest first.

        Raises:
            StoreCorrupt: the chain is broken; the first line that does not follow is named.
        """
        ...

    def back_to(self, refresh_id: str, what: str) -> tuple[AuditLine, ...]:
        """The newest lines, oldest first, from the last one that tells this of this refresh; all if
        none does. Costs what it returns, not what there is. Raises as `lines`, for what was read."""
        ...

    def append(
        self, refresh: str, refresh_id: str, what: str, who: str, body: Mapping[str, object], at: dt.datetime
    ) -> AuditLine:
        """Durable when it returns; tried again if somebody else appended meanwhile."""
        ...
