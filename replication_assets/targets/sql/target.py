"""`SqlEnvironment`: a nonproduction database behind its guard, whichever engine it is of.

This module decides whether a call may go on at all; it knows no SQL. The marker is read through the
very session that then acts, so that no other database can answer for it. Seals are opened here and
nowhere else, with the public key of that marker: a dialect never sees a row that was not certified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from replication_assets.core.masking.seal import Claims, SealedBatch, open_sealed
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.structure import TableStructure
from replication_assets.errors import GuardError, RefreshError, RefreshInProgress
from replication_assets.ports.environment import Marker, PublishedCopy, TableCopy, Violation
from replication_assets.targets.sql.dialect import Place, SqlDialect, SqlSession

_ROLES: Mapping[str, Mapping[str, Place]] = {
    "full": {"rows": "rows", "generated": "rows"},
    "changes": {"upserts": "upserts", "deletes": "deletes"},
}
_MARK = "nothing was done; mark the database as this environment, or correct its connection"


def place_of(plan: RefreshPlan | None, role: str) -> Place:
    """The shadow table of a role. Raises RefreshError for a role that the plan does not have."""
    known = _ROLES["full" if plan is None else plan.how]
    if role not in known:
        raise RefreshError(f"there are no {role!r} in a copy by {'full' if plan is None else plan.how}")
    return known[role]


class SqlEnvironment:
    """An `EnvironmentTarget` over a dialect, for the environment and trust level that are declared."""

    __slots__ = ("__dialect", "__environment", "__trust")

    def __init__(self, dialect: SqlDialect, environment: str, trust: str) -> None:
        self.__dialect = dialect
        self.__environment = environment
        self.__trust = trust

    def __repr__(self) -> str:
        return f"SqlEnvironment({self.__environment!r}, {self.__dialect.where!r})"

    @property
    def engine(self) -> str:
        return self.__dialect.engine

    def marker(self) -> Marker | None:
        with self.__dialect.session() as session:
            return session.marker()

    def mark(self, marker: Marker, *, confirm: bool = False) -> None:
        if (marker.environment, marker.trust) != (self.__environment, self.__trust):
            raise GuardError(
                f"the marker is for {marker.environment!r} ({marker.trust}), not {self.__environment!r}"
                f" ({self.__trust})",
                where=self.__dialect.where,
            )
        with self.__dialect.session() as session:
            found = session.marker()
            if found is not None and _same_but_for_time(found, marker):
                return
            if found is not None:
                self.__require_own(found)
            self.__require_confirmed(found, session, confirm)
            session.write_marker(marker)

    def __require_confirmed(self, found: Marker | None, session: SqlSession, confirm: bool) -> None:
        if confirm:
            return
        if found is not None:
            raise GuardError(
                f"it is marked with another key ({found.key_id})",
                where=self.__dialect.where,
                fix="if the key was exchanged, confirm it (--confirm); the next refresh is a full one then",
            )
        strangers = session.strangers()
        if strangers:
            listed = ", ".join(strangers[:5]) + (" ..." if len(strangers) > 5 else "")
            raise GuardError(
                f"it holds tables already ({listed}) and may be somebody's production",
                where=self.__dialect.where,
                fix="confirm that this database is a nonproduction one (--confirm), or name an empty one",
            )

    @contextmanager
    def held(self, refresh: str, run: str) -> Iterator[None]:
        with self.__guarded() as (session, _):
            other = session.lock(f"refresh {refresh!r} in run {run}")
            if other is not None:
                raise RefreshInProgress(
                    f"{other} refreshes the environment",
                    where=f"environment {self.__environment}",
                    fix="wait for it to end; the lock ends with its process",
                )
            yield

    def not_carried(self, tables: Sequence[TableStructure]) -> tuple[str, ...]:
        with self.__guarded() as (session, _):
            return session.not_carried(tables)

    def begin(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
        with self.__guarded(plan, tables) as (session, _):
            session.begin(plan, tables)

    def loaded(self, plan: RefreshPlan) -> Mapping[tuple[str, str, str], int]:
        with self.__guarded(plan) as (session, _):
            return session.loaded(plan)

    def load(self, plan: RefreshPlan, table: TableCopy, sealed: SealedBatch) -> int:
        if type(sealed) is not SealedBatch:
            raise GuardError(
                f"a {type(sealed).__name__} is no sealed batch, and nothing else is loaded",
                where=str(table.structure.table),
                fix="mask the rows and seal them",
            )
        with self.__guarded(plan, [table]) as (session, marker):
            claims = sealed.certificate.claims
            batch = open_sealed(sealed, marker.public_key, _due(plan, table, claims))
            if claims.role not in _ROLES[plan.how]:
                raise GuardError(
                    f"a batch of {claims.role!r} does not belong into a copy by {plan.how}",
                    where=f"{claims.table} {claims.chunk}",
                    fix="nothing was loaded; start the refresh anew",
                )
            if not batch.schema.equals(table.schema):
                raise GuardError(
                    "its columns are not those of the copied table",
                    where=f"{claims.table} {claims.chunk}",
                    fix="nothing was loaded; start the refresh anew",
                )
            return session.load(plan, table, claims.role, claims.chunk, batch)

    def finish(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
        self.__act(plan, tables, lambda session: session.finish(plan, tables))

    def run_hook(self, plan: RefreshPlan, statement: str) -> None:
        self.__act(plan, (), lambda session: session.run_hook(plan, statement))

    def violations(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> tuple[Violation, ...]:
        with self.__guarded(plan, tables) as (session, _):
            return session.violations(plan, tables)

    def read(
        self, table: TableCopy, plan: RefreshPlan | None, role: str = "rows"
    ) -> Iterator[pa.RecordBatch]:
        with self.__guarded(plan) as (session, _):
            yield from session.read(table, plan, place_of(plan, role))

    def texts(self, plan: RefreshPlan | None) -> Iterator[str]:
        with self.__guarded(plan) as (session, _):
            yield from session.texts(plan)

    def publish(self, plan: RefreshPlan, copy: PublishedCopy, tables: Sequence[TableCopy]) -> None:
        if (copy.id, copy.policy, copy.key_id) != (plan.id, plan.policy, plan.key_id):
            raise GuardError("the record to publish is of another refresh", where=f"refresh {plan.id}")
        self.__act(plan, tables, lambda session: session.publish(plan, copy, tables))

    def published(self) -> PublishedCopy | None:
        with self.__guarded() as (session, _):
            return session.published()

    def grant(self, readers: Sequence[str]) -> None:
        with self.__guarded() as (session, _):
            session.grant(readers)

    def discard(self, plan: RefreshPlan) -> None:
        with self.__guarded(plan) as (session, _):
            session.discard(plan)

    def drop(self) -> None:
        with self.__guarded() as (session, _):
            session.drop()

    def __act(
        self, plan: RefreshPlan, tables: Sequence[TableCopy], act: Callable[[SqlSession], None]
    ) -> None:
        with self.__guarded(plan, tables) as (session, _):
            act(session)

    @contextmanager
    def __guarded(
        self, plan: RefreshPlan | None = None, tables: Sequence[TableCopy] = ()
    ) -> Iterator[tuple[SqlSession, Marker]]:
        """A session to a database that says of itself what is declared of it, for a plan that is made
        for it and for structures that the plan is about."""
        with self.__dialect.session() as session:
            marker = session.marker()
            if marker is None:
                raise GuardError(
                    "the database does not say which environment it is", where=self.__dialect.where, fix=_MARK
                )
            self.__require_own(marker)
            if plan is not None:
                _require_plan(plan, tables, marker, self.__dialect.where)
            yield session, marker

    def __require_own(self, marker: Marker) -> None:
        if (marker.environment, marker.trust) != (self.__environment, self.__trust):
            raise GuardError(
                f"the database says that it is {marker.environment!r} ({marker.trust}), not"
                f" {self.__environment!r} ({self.__trust})",
                where=self.__dialect.where,
                fix=_MARK,
            )


def _same_but_for_time(one: Marker, other: Marker) -> bool:
    def told(marker: Marker) -> tuple[str, ...]:
        return (marker.environment, marker.trust, marker.public_key, marker.key_id)

    return told(one) == told(other)


def _require_plan(plan: RefreshPlan, tables: Sequence[TableCopy], marker: Marker, where: str) -> None:
    for name, planned, said in (
        ("environment", plan.environment, marker.environment),
        ("key", plan.key_id, marker.key_id),
    ):
        if planned != said:
            raise GuardError(
                f"the plan is for the {name} {planned!r}, and the database says {said!r}",
                where=where,
                fix="nothing was done; plan the refresh anew",
            )
    structures = {each.table: each.structure for each in plan.tables}
    for copy in tables:
        if structures.get(copy.structure.table) != copy.structure.fingerprint:
            raise GuardError(
                "the table's structure is not the one that was planned",
                where=str(copy.structure.table),
                fix="nothing was done; plan the refresh anew",
            )


def _due(plan: RefreshPlan, table: TableCopy, claims: Claims) -> Claims:
    """What a certificate must claim here; chunk and role are the loader's to know."""
    return Claims(
        environment=plan.environment,
        refresh=plan.id,
        table=str(table.structure.table),
        chunk=claims.chunk,
        role=claims.role,
        policy=plan.policy,
        structure=table.structure.fingerprint,
        key_id=plan.key_id,
    )
