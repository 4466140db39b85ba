"""One session with the files of an environment, as `SqlEnvironment` uses it.

Not for more than a laptop: rows cross as Python values, changes are merged into a copy of the published
files, and foreign keys between schemas (files) cannot be declared. Readers open
`<folder>/current/<schema>.db`; SQLite knows no roles, so readers are refused.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.structure import TableStructure
from replication_assets.errors import RefreshError
from replication_assets.ports.environment import Marker, PublishedCopy, TableCopy, Violation
from replication_assets.targets.sql.dialect import Place
from replication_assets.targets.sql.records import Made, Records
from replication_assets.targets.sql.sqlite import merging, shadow, tables
from replication_assets.targets.sql.sqlite.connection import attach, connected, driver_of, transaction
from replication_assets.targets.sql.sqlite.files import LOCK, CopyFiles
from replication_assets.targets.sql.sqlite.hooks import run_on
from replication_assets.targets.sql.sqlite.values import read_batch, stored_rows

_READ_ROWS = 32_768


class SqliteDialect:
    """A `SqlDialect`: a folder."""

    __slots__ = ("_files",)

    def __init__(self, folder: Path) -> None:
        self._files = CopyFiles(folder)

    def __repr__(self) -> str:
        return f"SqliteDialect({self.where!r})"

    @property
    def engine(self) -> str:
        return "sqlite"

    @property
    def where(self) -> str:
        return f"sqlite {self._files.folder}"

    @contextmanager
    def session(self) -> Iterator[SqliteSession]:
        with connected(self._files.records, self.where) as connection, ExitStack() as held:
            yield SqliteSession(connection, self._files, held, self.where)


class SqliteSession:
    """A `SqlSession`."""

    def __init__(self, connection: sa.Connection, files: CopyFiles, held: ExitStack, where: str) -> None:
        self._sa = connection
        self._driver = driver_of(connection)
        self._files = files
        self._held = held
        self._where = where
        self._records = Records(connection, None)

    # --- the environment -------------------------------------------------------------------

    def marker(self) -> Marker | None:
        return self._records.marker()

    def write_marker(self, marker: Marker) -> None:
        self._files.folder.mkdir(parents=True, exist_ok=True)
        self._files.records.touch()
        # This session may have begun before there was a file.
        with connected(self._files.records, self._where) as connection:
            records = Records(connection, None)
            with transaction(driver_of(connection)):
                records.make()
                records.write_marker(marker)

    def strangers(self) -> tuple[str, ...]:
        return tuple(self._files.strangers())

    def lock(self, holder: str) -> str | None:
        file = self._held.enter_context((self._files.folder / LOCK).open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._records.holder() or "another run"
        with transaction(self._driver):
            self._records.write_holder(holder)
        return None

    # --- the shadow ------------------------------------------------------------------------

    def not_carried(self, tables_: Sequence[TableStructure]) -> tuple[str, ...]:
        shadow.require_postgres(tables_)
        return tuple(tables.not_carried(tables_))

    def begin(self, plan: RefreshPlan, copies: Sequence[TableCopy]) -> None:
        shadow.require_postgres([each.structure for each in copies])
        tables.check_names([each.structure.table for each in copies])
        if plan.how == "changes":
            shadow.require_published(self._files.published(), copies)
        found = self._records.shadow()
        home = self._files.shadow(plan.id)
        if found is None or found[0] != plan.id:
            self._files.clear()
            with transaction(self._driver):
                self._records.forget_shadow()
                self._records.write_shadow(plan.id, Made((home.name,)))
        home.mkdir(parents=True, exist_ok=True)
        for copy in copies:
            if plan.how == "full":
                tables.require_filled(copy.structure, copy.schema.names)
            database = self._attached(plan, copy.structure)
            for place in shadow.places_of(plan):
                self._driver.execute(tables.bare(copy.structure, database, place))

    def loaded(self, plan: RefreshPlan) -> Mapping[tuple[str, str, str], int]:
        found = self._records.shadow()
        return self._records.chunks(plan.id) if found is not None and found[0] == plan.id else {}

    def load(self, plan: RefreshPlan, table: TableCopy, role: str, chunk: str, batch: pa.RecordBatch) -> int:
        self._require_shadow(plan)
        structure = table.structure
        place: Place = "rows" if plan.how == "full" else "upserts" if role == "upserts" else "deletes"
        name = tables.quoted(self._attached(plan, structure), tables.place_name(structure.table, place))
        names = [each for each in table.schema.names if each != OVERFLOW]
        listed = ", ".join(tables.quoted(each) for each in names)
        marks = ", ".join("?" for _ in names)
        with transaction(self._driver):
            rows = self._records.chunk(plan.id, structure.table, role, chunk)
            if rows is None:
                if batch.num_rows:
                    insert = f"INSERT INTO {name} ({listed}) VALUES ({marks})"
                    self._driver.executemany(insert, stored_rows(batch))
                rows = batch.num_rows
                self._records.add_chunk(plan.id, structure.table, role, chunk, rows)
        return rows

    def finish(self, plan: RefreshPlan, copies: Sequence[TableCopy]) -> None:
        self._require_shadow(plan)
        structures = [each.structure for each in copies]
        for structure in structures:
            database = self._attached(plan, structure)
            if plan.how == "full":
                shadow.rebuild(self._sa, database, structure, structures)
            else:
                shadow.add_merge_keys(self._driver, database, structure)
        if plan.how == "full":
            shadow.require_parents(self.violations(plan, copies))

    def run_hook(self, plan: RefreshPlan, statement: str) -> None:
        self._require_shadow(plan)
        schemas = dict.fromkeys(each.table.schema for each in plan.tables)
        home, changes = self._files.shadow(plan.id), plan.how == "changes"
        run_on({each: self._files.database(home, each, changes=changes) for each in schemas}, statement)

    def violations(self, plan: RefreshPlan, copies: Sequence[TableCopy]) -> tuple[Violation, ...]:
        self._require_shadow(plan)
        structures = [each.structure for each in copies]
        for structure in structures:
            self._attached(plan, structure)
            if plan.how == "changes":
                self._attached(None, structure)
        return tuple(shadow.violations(self._sa, plan, structures))

    def read(self, table: TableCopy, plan: RefreshPlan | None, place: Place) -> Iterator[pa.RecordBatch]:
        if plan is not None:
            self._require_shadow(plan)
        name = tables.quoted(
            self._attached(plan, table.structure), tables.place_name(table.structure.table, place)
        )
        listed = ", ".join(tables.quoted(each) for each in table.schema.names if each != OVERFLOW)
        cursor = self._driver.execute(f"SELECT {listed} FROM {name}")
        while rows := cursor.fetchmany(_READ_ROWS):
            yield read_batch(rows, table.schema)

    def texts(self, plan: RefreshPlan | None) -> Iterator[str]:
        home = self._files.current() if plan is None else self._files.shadow(plan.id)
        for path in sorted(home.glob("*.db")) if home is not None else ():
            yield path.name
            with connected(path, self._where) as connection:
                for row in driver_of(connection).execute(
                    "SELECT type, name, tbl_name, sql FROM sqlite_schema"
                ):
                    yield from (str(each) for each in row if each is not None)

    # --- what readers see --------------------------------------------------------------------

    def publish(self, plan: RefreshPlan, copy: PublishedCopy, copies: Sequence[TableCopy]) -> None:
        before = self._files.published()
        if before is None or before.id != plan.id:
            self._require_shadow(plan)
            home = self._files.shadow(plan.id)
            if plan.how == "changes":
                shadow.require_published(before, copies)
                self._files.start_from_current(home)
                merging.merge(self._files, home, copies, self._where)
            self._files.publish(home, copy)
        found = self._records.shadow()
        if found is not None and found[0] == plan.id:
            with transaction(self._driver):
                self._records.forget_shadow()
        self._files.drop_changes(self._files.shadow(plan.id))
        self._files.clear()

    def published(self) -> PublishedCopy | None:
        return self._files.published()

    def grant(self, readers: Sequence[str]) -> None:
        if readers:
            raise RefreshError(
                "SQLite knows no readers",
                where=self._where,
                fix="leave out `readers`; who may read is a matter of the folder's permissions",
            )

    def discard(self, plan: RefreshPlan) -> None:
        found = self._records.shadow()
        if found is not None and found[0] == plan.id:
            self._files.clear()
            with transaction(self._driver):
                self._records.forget_shadow()

    def drop(self) -> None:
        self._files.drop()
        with transaction(self._driver):
            self._records.forget_shadow()

    def _attached(self, plan: RefreshPlan | None, structure: TableStructure) -> str:
        """The name that the file of a table is attached by: of a plan's shadow, or published."""
        home = self._files.current() if plan is None else self._files.shadow(plan.id)
        changes = plan is not None and plan.how == "changes"
        path = None if home is None else self._files.database(home, structure.table.schema, changes=changes)
        if path is None or (plan is None and not path.exists()):
            raise RefreshError("there is no such table in the published copy", where=str(structure.table))
        name = shadow.attached_name(structure.table, "published" if plan is None else "shadow")
        attach(self._driver, path, name)
        return name

    def _require_shadow(self, plan: RefreshPlan) -> None:
        found = self._records.shadow()
        if found is None or found[0] != plan.id:
            raise RefreshError(
                f"there are no shadow tables of refresh {plan.id}", fix="begin the refresh, or plan it anew"
            )
