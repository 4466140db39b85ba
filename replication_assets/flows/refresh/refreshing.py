"""What a refresh works on: its declaration, its tables, and the adapters that reach them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol, TypeAlias

from replication_assets.catalog import Catalog
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.policy import MaskingPolicy
from replication_assets.core.schema import TableId
from replication_assets.core.sql import NO_SPILL, Spill
from replication_assets.declarations import Environment, EnvironmentRefresh, Table
from replication_assets.errors import GuardError, RefreshError
from replication_assets.ports import EventStore
from replication_assets.ports.environment import EnvironmentTarget, Marker
from replication_assets.ports.refresh import Audit, Staging

Step: TypeAlias = Literal["plan", "mask", "load", "verify", "publish"]


@dataclass(frozen=True, slots=True)
class StepProgress:
    """How far a step is: `rows` of all tables so far, `of` so many as the plan expects."""

    step: Step
    table: str
    id_range: str
    rows: int
    of: int | None


Progress = Callable[[StepProgress], None]
"""Called after each chunk; what it raises ends the step, which goes on there the next time."""


class RefreshAdapters(Protocol):
    """Where the adapters of a catalog come from (`replication.Replication`)."""

    @property
    def catalog(self) -> Catalog: ...

    def store(self) -> EventStore: ...

    def environment_target(self, environment: Environment) -> EnvironmentTarget: ...

    def mask_keys(self, environment: Environment) -> KeyRing:
        """Reads the environment's key, now.

        Raises:
            SecretError, GuardError: there is none that may be used.
        """
        ...


@dataclass(frozen=True)
class Refreshing:
    """One declared refresh. `who` stands in the audit: a person or a program. `limits` are those of
    each fold; a step adds the folder that it spills to (`spilling`)."""

    refresh: EnvironmentRefresh
    environment: Environment
    policy: MaskingPolicy
    tables: tuple[Table, ...]
    adapters: RefreshAdapters
    store: EventStore
    who: str = "unknown"
    limits: Spill = NO_SPILL

    @classmethod
    def of(cls, adapters: RefreshAdapters, name: str, *, who: str = "unknown") -> Refreshing:
        """Raises RefreshError for a refresh that is not declared."""
        catalog = adapters.catalog
        declared = {each.name: each for each in catalog.refreshes}
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise RefreshError(
                "it is not declared", where=f"refresh {name}", fix=f"declare it; declared are: {known}"
            )
        refresh = declared[name]
        environment, policy = catalog.environment(refresh.environment), catalog.policy(refresh.policy)
        return cls(refresh, environment, policy, catalog.refreshed(refresh), adapters, adapters.store(), who)

    @property
    def where(self) -> str:
        return f"refresh {self.refresh.name}"

    @cached_property
    def target(self) -> EnvironmentTarget:
        """Made when it is first asked for: its password is read then."""
        return self.adapters.environment_target(self.environment)

    def keys(self) -> KeyRing:
        """The environment's keys, read now. Keep them for one step. Raises as `mask_keys` does."""
        return self.adapters.mask_keys(self.environment)

    @property
    def staging(self) -> Staging:
        return self.store.staging(self.refresh.name)

    @property
    def audit(self) -> Audit:
        return self.store.audit(self.environment.name)

    def held(self, run: str) -> AbstractContextManager[None]:
        """The environment, for one run. Raises RefreshInProgress if another one has it."""
        return self.target.held(self.refresh.name, run)

    def note(self, refresh_id: str, what: str, body: Mapping[str, object]) -> None:
        """Append a line to the audit of the environment."""
        now = dt.datetime.now(dt.UTC)
        self.audit.append(self.refresh.name, refresh_id, what, self.who, body, now)

    def by(self, who: str) -> Refreshing:
        """The same, in the name of somebody else."""
        return replace(self, who=who)

    def declared(self, table: TableId) -> Table:
        """Raises KeyError for a table that is not part of it."""
        return {each.id: each for each in self.tables}[table]


def require_marker(environment: Environment, target: EnvironmentTarget, keys: KeyRing) -> Marker:
    """The database's own word that it is this environment, and takes this key's seals.

    Raises:
        GuardError: it says otherwise, or nothing.
    """
    where = f"environment {environment.name}"
    set_up = f"replication-assets mask setup {environment.name}"
    marker = target.marker()
    if marker is None:
        raise GuardError("its database is not marked as this environment", where=where, fix=f"run `{set_up}`")
    if (marker.environment, marker.trust) != (environment.name, environment.trust):
        raise GuardError(
            f"its database says that it is {marker.environment} ({marker.trust})",
            where=where,
            fix="check which database the environment's target names; nothing was read or written",
        )
    if (marker.key_id, marker.public_key) != (keys.key_id, keys.public_key):
        raise GuardError(
            f"the mask key is {keys.key_id}, and the database was set up with {marker.key_id}",
            where=where,
            fix=f"give the key that it was set up with, or exchange it: `{set_up} --confirm`",
        )
    return marker
