"""One session with a MySQL or MariaDB server, as `SqlEnvironment` uses it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import sqlalchemy as sa

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.structure import TableStructure
from replication_assets.errors import RefreshError
from replication_assets.ports.environment import Marker, PublishedCopy, TableCopy, Violation
from replication_assets.targets.sql.dialect import Place
from replication_assets.targets.sql.mysql import publication
from replication_assets.targets.sql.mysql.catalog_texts import foreign_tables, texts_of
from replication_assets.targets.sql.mysql.connection import (
    driver_of,
    is_mariadb,
    literal,
    quoted,
    run,
    transaction,
)
from replication_assets.targets.sql.mysql.constraints import (
    add_foreign_keys,
    add_keys,
    add_merge_key,
    changed_orphans,
    orphans,
)
from replication_assets.targets.sql.mysql.hooks import require_within
from replication_assets.targets.sql.mysql.places import Places
from replication_assets.targets.sql.mysql.readers import allow, forbid, require
from replication_assets.targets.sql.mysql.rows import load_rows, read_rows
from replication_assets.targets.sql.mysql.tables import CopyTables, require_filled
from replication_assets.targets.sql.mysql.types import Collations
from replication_assets.targets.sql.records import Made, Records

_CHANGES: tuple[Place, ...] = ("upserts", "deletes")


class MySqlSession:
    """A `SqlSession`."""

    def __init__(self, connection: sa.Connection, places: Places) -> None:
        self._connection = connection
        self._places = places
        self._records = Records(connection, places.records)
        version = str(driver_of(connection).get_server_info())
        self._collations = Collations.of(is_mariadb(version))

    # --- the environment -------------------------------------------------------------------

    def marker(self) -> Marker | None:
        return self._records.marker()

    def write_marker(self, marker: Marker) -> None:
        publication.make_database(self._connection, self._places.records, self._collations.text)
        self._records.make()
        with transaction(self._connection):
            self._records.write_marker(marker)

    def strangers(self) -> tuple[str, ...]:
        made: tuple[Made, ...] = ()
        if self._records.exist():
            known = (self._records.shadow(), self._records.published())
            made = tuple(each[1] for each in known if each is not None)
        return foreign_tables(self._connection, self._places, made)

    def lock(self, holder: str) -> str | None:
        name = (
            f"replication_assets {hashlib.blake2b(self._places.prefix.encode(), digest_size=16).hexdigest()}"
        )
        # The server takes a moment to notice that the process of a lock is dead.
        if run(self._connection, f"SELECT GET_LOCK({literal(name)}, 1)") != ((1,),):
            return self._records.holder() or "another run"
        with transaction(self._connection):
            self._records.write_holder(holder)
        return None

    # --- the shadow ------------------------------------------------------------------------

    def not_carried(self, tables: Sequence[TableStructure]) -> tuple[str, ...]:
        return tuple(self._copy_of(tables).not_carried())

    def begin(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
        publication.clear_outgoing(self._connection, self._records, self._places)
        copies = self._copy_of([each.structure for each in tables])
        if plan.how == "changes":
            self._require_published([each.structure for each in tables])
        made = Made(tuple(sorted({self._places.incoming(each.structure.table) for each in tables})))
        found = self._records.shadow()
        if found is None or found[0] != plan.id:
            left = found[1].places if found is not None else ()
            for database in {*left, *made.places}:
                publication.drop_database(self._connection, database)
            with transaction(self._connection):
                self._records.forget_shadow()
                self._records.write_shadow(plan.id, made)
        for database in made.places:
            publication.make_database(self._connection, database, self._collations.text)
        for each in tables:
            for place in _places_of(plan):
                self._make(copies, each, place)

    def _make(self, copies: CopyTables, copy: TableCopy, place: Place) -> None:
        serial = copies.serial(copy.structure)
        if place == "rows":
            require_filled(copy, serial)
        table = copies.table(copy.structure, self._places.incoming(copy.structure.table), place)
        if place == "rows" and serial is not None and serial not in copy.schema.names:
            # It is counted while rows are loaded, which takes a key.
            table.c[serial].autoincrement = True
            table.append_constraint(sa.PrimaryKeyConstraint(table.c[serial]))
        self._connection.execute(sa.schema.CreateTable(table, if_not_exists=True))

    def loaded(self, plan: RefreshPlan) -> Mapping[tuple[str, str, str], int]:
        found = self._records.shadow()
        return self._records.chunks(plan.id) if found is not None and found[0] == plan.id else {}

    def load(self, plan: RefreshPlan, table: TableCopy, role: str, chunk: str, batch: pa.RecordBatch) -> int:
        copies = self._copy_of([table.structure])
        name = table.structure.table
        place: Place = "rows" if plan.how == "full" else "upserts" if role == "upserts" else "deletes"
        with transaction(self._connection):
            self._require_shadow(plan)
            rows = self._records.chunk(plan.id, name, role, chunk)
            if rows is not None:
                return rows
            rows = load_rows(
                self._connection,
                self._places.incoming(name),
                self._places.table(name, place),
                batch,
                copies.forms(table),
            )
            self._records.add_chunk(plan.id, name, role, chunk, rows)
        return rows

    def finish(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
        self._require_shadow(plan)
        copies = self._copy_of([each.structure for each in tables])
        for structure in copies.copied.values():
            if plan.how == "full":
                add_keys(self._connection, copies, structure)
                continue
            for place in _CHANGES:
                add_merge_key(self._connection, copies, structure, place)
        if plan.how == "full":
            for structure in copies.copied.values():
                add_foreign_keys(self._connection, copies, structure)

    def run_hook(self, plan: RefreshPlan, statement: str) -> None:
        self._require_shadow(plan)
        databases = {self._places.incoming(each.table) for each in plan.tables}
        require_within(self._connection, statement, databases)
        run(self._connection, f"USE {quoted(self._places.incoming(plan.tables[0].table))}")
        with transaction(self._connection):
            run(self._connection, statement)

    def violations(self, plan: RefreshPlan, tables: Sequence[TableCopy]) -> tuple[Violation, ...]:
        copies = self._copy_of([each.structure for each in tables])
        found = []
        for structure in copies.copied.values():
            if plan.how == "changes":
                counted = list(changed_orphans(self._connection, copies, structure))
            else:
                keys = [key for _, key in copies.foreign_keys(structure)]
                counted = [(key, orphans(self._connection, copies, structure, key)) for key in keys]
            found += [Violation(structure.table, key.name, rows) for key, rows in counted if rows]
        return tuple(found)

    def read(self, table: TableCopy, plan: RefreshPlan | None, place: Place) -> Iterator[pa.RecordBatch]:
        copies = self._copy_of([table.structure])
        name = table.structure.table
        database = self._places.live(name) if plan is None else self._places.incoming(name)
        if plan is not None:
            self._require_shadow(plan)
        yield from read_rows(
            self._connection, database, self._places.table(name, place), table, copies.forms(table)
        )

    def texts(self, plan: RefreshPlan | None) -> Iterator[str]:
        if plan is not None:
            databases = sorted({self._places.incoming(each.table) for each in plan.tables})
        else:
            found = self._records.published()
            databases = list(found[1].places) if found is not None else []
        yield from texts_of(self._connection, databases)

    # --- what readers see --------------------------------------------------------------------

    def publish(self, plan: RefreshPlan, copy: PublishedCopy, tables: Sequence[TableCopy]) -> None:
        publication.clear_outgoing(self._connection, self._records, self._places)
        before = self._records.published()
        if before is None or before[0].id != plan.id:
            self._require_shadow(plan)
            if plan.how == "full":
                publication.publish_whole(
                    self._connection, self._records, self._places, plan, copy, self._collations.text
                )
            else:
                copies = self._copy_of([each.structure for each in tables])
                publication.publish_changes(self._connection, self._records, plan, copy, copies, tables)
        found = self._records.shadow()
        if found is not None and found[0] == plan.id:
            self._drop_shadow(found[1])

    def published(self) -> PublishedCopy | None:
        found = self._records.published()
        return found[0] if found is not None else None

    def grant(self, readers: Sequence[str]) -> None:
        for reader in readers:
            require(self._connection, reader)
        found = self._records.published()
        databases = found[1].places if found is not None else ()
        for reader in set(self._records.readers()) - set(readers):
            for database in databases:
                forbid(self._connection, reader, database)
        with transaction(self._connection):
            self._records.write_readers(readers)
        for reader in readers:
            for database in databases:
                allow(self._connection, reader, database)

    def discard(self, plan: RefreshPlan) -> None:
        found = self._records.shadow()
        if found is not None and found[0] == plan.id:
            self._drop_shadow(found[1])

    def drop(self) -> None:
        found = self._records.shadow()
        if found is not None:
            self._drop_shadow(found[1])
        publication.drop_published(self._connection, self._records, self._places)
        with transaction(self._connection):
            self._records.forget_published()
            self._records.write_readers(())

    def _drop_shadow(self, made: Made) -> None:
        for database in made.places:
            publication.drop_database(self._connection, database)
        with transaction(self._connection):
            self._records.forget_shadow()

    def _copy_of(self, structures: Sequence[TableStructure]) -> CopyTables:
        return CopyTables(self._places, self._collations, structures)

    def _require_published(self, structures: Sequence[TableStructure]) -> None:
        found = self._records.published()
        there = {each.table: each.structure for each in found[0].tables} if found is not None else {}
        for structure in structures:
            if there.get(structure.table) != structure.fingerprint:
                raise RefreshError(
                    "there is no published copy of the same structure that changes could be merged into",
                    where=str(structure.table),
                    fix="refresh it in full",
                )

    def _require_shadow(self, plan: RefreshPlan) -> None:
        found = self._records.shadow()
        if found is None or found[0] != plan.id:
            raise RefreshError(
                f"there are no shadow tables of refresh {plan.id}", fix="begin the refresh, or plan it anew"
            )


def _places_of(plan: RefreshPlan) -> tuple[Place, ...]:
    return ("rows",) if plan.how == "full" else _CHANGES
