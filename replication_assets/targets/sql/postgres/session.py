"""The session of a PostgreSQL target: each method of `SqlSession` in its transactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import pyarrow as pa

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.structure import TableStructure
from replication_assets.errors import RefreshError, ReplicationError
from replication_assets.ports.environment import Marker, PublishedCopy, TableCopy, Violation
from replication_assets.targets.sql import ddl
from replication_assets.targets.sql.dialect import Place, SqlSession
from replication_assets.targets.sql.postgres import catalog, hooks, publication, shadow
from replication_assets.targets.sql.postgres.building import tried
from replication_assets.targets.sql.postgres.connection import (
    TargetConnection,
    Work,
    new_engine,
    target_errors,
)
from replication_assets.targets.sql.postgres.expressions import identifier
from replication_assets.targets.sql.records import PLACE, Made, Records

_LOCK = 0x5245504C41535345
"""Of the database's advisory locks, the one that a run holds."""


class PostgresDialect:
    """PostgreSQL, by a connection of which nothing but the place is told."""

    __slots__ = ("__engine", "__where")

    def __init__(self, connection: TargetConnection) -> None:
        self.__engine = new_engine(connection)
        self.__where = connection.where

    def __repr__(self) -> str:
        return f"PostgresDialect({self.__where!r})"

    @property
    def engine(self) -> str:
        return "postgresql"

    @property
    def where(self) -> str:
        return self.__where

    @contextmanager
    def session(self) -> Iterator[SqlSession]:
        with target_errors(self.__where):
            connection = self.__engine.connect()
        session = _Session(Work(connection, self.__where))
        try:
            yield session
        finally:
            # The server ends a closed session when it comes to it: the next step would find it holding.
            with suppress(ReplicationError):
                session.unlock()
            with target_errors(self.__where):
                connection.close()


class _Session:
    __slots__ = ("_locked", "_work")

    def __init__(self, work: Work) -> None:
        self._work = work
        self._locked = False

    def unlock(self) -> None:
        """Give the environment free, if this session has it."""
        if self._locked:
            self._locked = False
            with self._work.transaction():
                self._work.rows("SELECT pg_advisory_unlock(%s)", [_LOCK])

    def marker(self) -> Marker | None:
        with self._work.transaction():
            return self._records().marker()

    def write_marker(self, marker: Marker) -> None:
        with self._work.transaction():
            place = identifier(PLACE)
            self._work.run(f"CREATE SCHEMA IF NOT EXISTS {place}")
            self._work.run(f"REVOKE ALL ON SCHEMA {place} FROM PUBLIC")
            records = self._records()
            records.make()
            records.write_marker(marker)

    def strangers(self) -> tuple[str, ...]:
        with self._work.transaction():
            return catalog.strangers(self._work, self._made())

    def _made(self) -> list[Made]:
        records = self._records()
        if not records.exist():
            return []
        return [found[1] for found in (records.shadow(), records.published()) if found is not None]

    def lock(self, holder: str) -> str | None:
        with self._work.transaction():
            self._records().make()
            if not self._work.rows("SELECT pg_try_advisory_lock(%s)", [_LOCK])[0][0]:
                return self._records().holder() or "another run"
            self._locked = True
            self._records().write_holder(holder)
            return None

    def not_carried(self, tables: Sequence[TableStructure]) -> tuple[str, ...]:
        lines = tried(self._work, tables)
        lines += ddl.keys_left_out(tables)
        lines += [f"{each.table}: {other}" for each in tables for other in each.others]
        return tuple(dict.fromkeys(lines))

    def begin(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
        shadow.begin(self._work, plan, tables)

    def loaded(self, plan: RefreshPlan) -> Mapping[tuple[str, str, str], int]:
        with self._work.transaction():
            records = self._records()
            found = records.shadow()
            return records.chunks(plan.id) if found is not None and found[0] == plan.id else {}

    def load(self, plan: RefreshPlan, table: TableCopy, role: str, chunk: str, batch: pa.RecordBatch) -> int:
        return shadow.load(self._work, plan, table, role, chunk, batch)

    def finish(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
        shadow.finish(self._work, plan, tables)

    def run_hook(self, plan: RefreshPlan, statement: str) -> None:
        with self._work.transaction():
            hooks.run_hook(self._work, shadow.require_shadow(self._records(), plan), statement)

    def violations(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> tuple[Violation, ...]:
        return shadow.violations(self._work, plan, tables)

    def read(self, table: TableCopy, plan: RefreshPlan | None, place: Place) -> Iterator[pa.RecordBatch]:
        name = (table.structure.table.schema, table.structure.table.name)
        with self._work.transaction():
            if plan is not None:
                shadow.require_shadow(self._records(), plan)
                name = shadow.place_name(table.structure, place)
            elif not any(name in made.tables for made in self._published_made()):
                raise RefreshError("the table is not in the published copy", where=str(table.structure.table))
        yield from shadow.read(self._work, table, name)

    def texts(self, plan: RefreshPlan | None) -> Iterator[str]:
        with self._work.transaction():
            if plan is not None:
                made = [shadow.require_shadow(self._records(), plan)]
            else:
                made = self._published_made()
            yield from catalog.texts(self._work, [place for each in made for place in each.places])

    def publish(self, plan: RefreshPlan, copy: PublishedCopy, tables: Sequence[TableCopy]) -> None:
        publication.publish(self._work, plan, copy, tables)

    def published(self) -> PublishedCopy | None:
        with self._work.transaction():
            found = self._records().published()
            return found[0] if found is not None else None

    def _published_made(self) -> list[Made]:
        found = self._records().published()
        return [found[1]] if found is not None else []

    def grant(self, readers: Sequence[str]) -> None:
        publication.grant(self._work, readers)

    def discard(self, plan: RefreshPlan) -> None:
        with self._work.transaction():
            records = self._records()
            found = records.shadow()
            if found is not None and found[0] == plan.id:
                shadow.drop_shadow(self._work, found[1])
                records.forget_shadow()

    def drop(self) -> None:
        publication.drop(self._work)

    def _records(self) -> Records:
        return Records(self._work.records_connection)
