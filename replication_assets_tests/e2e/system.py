"""The whole system over one test database: catalog, store, lakehouse, and what must be true of them.

What is claimed is held against two oracles that share no code with the project: rows as psycopg
reads them from the source, and an audit table that triggers fill with every change a committed
transaction made.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

import duckdb
import psycopg
import pyarrow as pa
from psycopg import sql

from replication_assets.catalog import Catalog, DeltaProjection, EventStoreConfig, PostgresSourceConfig, Table
from replication_assets.core.events import COMMIT_POSITION, ENVELOPE, EPOCH, OP, SEQUENCE
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.declarations import CaptureBy
from replication_assets.errors import NeedsReload
from replication_assets.flows.capture import CaptureReceipt, FlushPolicy, capture
from replication_assets.flows.compare import source_position
from replication_assets.flows.load import LoadReceipt, load_range
from replication_assets.flows.prepare import ReplicatedTable, open_table, prepare, recover
from replication_assets.flows.project import ProjectReceipt, project_range
from replication_assets.flows.read import ranges_of, read_table
from replication_assets.ports import ChangeSource, EventStore, ProjectionTarget
from replication_assets.replication import Replication
from replication_assets_tests.e2e.comparison import compare_projection, compare_with_source
from replication_assets_tests.postgres_servers import FreshDatabase

SOURCE = "app"
POLICY = FlushPolicy()
Rows = Counter[tuple[Any, ...]]


@dataclass(frozen=True)
class System:
    """Picklable, so that any step can run in a process of its own."""

    catalog: Catalog
    dsn: str

    # --- parts ---------------------------------------------------------------------------

    @property
    def replication(self) -> Replication:
        return Replication(self.catalog)

    @property
    def source(self) -> ChangeSource:
        return self.replication.source(SOURCE)

    @property
    def store(self) -> EventStore:
        return self.replication.store()

    def table(self, name: str, schema: str = "public") -> ReplicatedTable:
        """As its log says, opened anew."""
        declared = self.catalog.table(TableId(SOURCE, schema, name))
        return open_table(self.source, self.store, declared)

    def tables(self) -> list[ReplicatedTable]:
        return [open_table(self.source, self.store, each) for each in self.catalog.tables]

    def target(self, table: TableId) -> ProjectionTarget:
        return self.replication.target(self.catalog.projections[0], table)

    def sql(self, *, autocommit: bool = True) -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn, autocommit=autocommit, options="-c timezone=UTC")

    def execute(self, *statements: str) -> None:
        with self.sql() as session:
            for statement in statements:
                session.execute(statement.encode())

    # --- steps ---------------------------------------------------------------------------

    def prepare(self) -> tuple[ReplicatedTable, ...]:
        return prepare(self.source, self.store, self.catalog.tables)

    def recover(self) -> Position:
        return recover(self.source, self.store, self.catalog.tables)

    def ranges(self, table: ReplicatedTable) -> tuple[IdRange, ...]:
        column = table.id_ranges.column
        high = self.source.bounds(table.id, column).high if column is not None else None
        return table.loads(high)

    def load(self, table: ReplicatedTable, dates: tuple[dt.date | None, ...] | None = None) -> None:
        for id_range in self.ranges(table):
            self.load_range(table, id_range, dates)

    def load_range(
        self, table: ReplicatedTable, id_range: IdRange, dates: tuple[dt.date | None, ...] | None = None
    ) -> LoadReceipt:
        return load_range(self.source, self.store, table, id_range, dates=dates)

    def load_all(self) -> None:
        for table in self.tables():
            self.load(table)

    def capture(
        self,
        *,
        upto: int | None = None,
        stop: Callable[[], bool] = lambda: False,
        policy: FlushPolicy = POLICY,
    ) -> CaptureReceipt:
        """Up to now, unless told otherwise."""
        source, store = self.source, self.store
        reach = upto if upto is not None else source_position(source, store).commit
        return capture(source, store, self.tables(), upto=reach, stop=stop, policy=policy)

    def capture_until(self, stop: Callable[[], bool], seconds: float = 0.2) -> CaptureReceipt:
        """Continuously, flushed every `seconds`."""
        policy = FlushPolicy(seconds=seconds, idle_seconds=1)
        return capture(self.source, self.store, self.tables(), stop=stop, policy=policy)

    def project(self, table: ReplicatedTable | None = None) -> list[ProjectReceipt]:
        receipts = []
        for each in [table] if table is not None else self.tables():
            snapshot = self.store.log(each.id).snapshot()
            for id_range in ranges_of(snapshot):
                receipts.append(project_range(snapshot, each.id, self.target(each.id), id_range))
        return receipts

    # --- what is there -------------------------------------------------------------------

    def in_source(self, table: TableId, schema: TableSchema) -> Rows:
        """Rows as psycopg reads them; what the store keeps as text, as the server prints it."""
        columns = sql.SQL(", ").join(_read(column) for column in schema.columns)
        name = sql.Identifier(table.schema, table.name)
        with self.sql() as session:
            rows = session.execute(sql.SQL("SELECT {} FROM {}").format(columns, name)).fetchall()
        return Counter(map(tuple, rows))

    def in_store(self, table: TableId, as_of: Position | dt.datetime | None = None) -> Rows:
        return rows_of(read_table(self.store, table, as_of=as_of), self.live(table))

    def in_projection(self, table: TableId) -> Rows:
        return rows_of(self.target(table).read(), self.live(table))

    def live(self, table: TableId) -> TableSchema:
        """The columns that the source has now, as the store keeps them."""
        return open_table(self.source, self.store, self.catalog.table(table)).schema

    def events(self, table: TableId) -> pa.Table:
        """Every row event of the log, all its chapters, control events apart: the envelope, and
        the columns `id` and `v` as text where there are any, or else the key."""
        store = self.store
        parts = []
        for chapter in range(1, store.chapters(table) + 1):
            snapshot = store.log(table, chapter).snapshot()
            chosen = [*ENVELOPE.names, *dict.fromkeys([*snapshot.schema.key, *_audited(snapshot.schema)])]
            for key in snapshot.range_keys():
                rows = snapshot.events(key).to_table(columns=chosen)
                parts.append(_as_text(rows, chosen[len(ENVELOPE) :]))
        return pa.concat_tables(parts) if parts else ENVELOPE.empty_table()

    # --- what must be true ---------------------------------------------------------------

    def check(self, *, independently: bool = True) -> None:
        """Source at rest, captured and projected: all three are equal, and nothing is there twice."""
        for table in self.tables():
            self.check_table(table, independently=independently)

    def check_table(self, table: ReplicatedTable, *, independently: bool = True) -> None:
        found = compare_with_source(self.source, self.store, table, catch_up=self.reach)
        assert found.mismatches == 0, found
        followed = compare_projection(self.store, self.target(table.id), table.id)
        assert followed.mismatches == 0, followed
        assert followed.compared_rows == found.rows
        assert doubled(self.events(table.id), table.schema) == 0, f"{table.id}: events stored twice"
        if independently:
            expected = self.in_source(table.id, table.schema)
            assert differences(expected, self.in_store(table.id)) == [], f"{table.id}: fold"
            assert differences(expected, self.in_projection(table.id)) == [], f"{table.id}: projection"

    def reach(self, position: Position) -> None:
        self.capture(upto=position.commit)

    def finish(self) -> None:
        """Capture all that is committed, project it, and check."""
        self.capture()
        self.project()
        self.check()

    def finish_loading(self) -> None:
        """As `finish`; where projecting asks for a load of rows that the stream does not tell, once that."""
        self.capture()
        try:
            self.project()
        except NeedsReload:
            self.load_all()
        self.finish()


def system_of(
    database: FreshDatabase,
    folder: Path,
    tables: Sequence[Table],
    *,
    load_wait: float = 30,
    capture: CaptureBy = "log",
) -> System:
    server, slot = database.server, f"e2e_{database.name}" if capture == "log" else None
    source = PostgresSourceConfig(
        SOURCE,
        host="127.0.0.1",
        port=server.port,
        database=database.name,
        user="postgres",
        sslmode="disable",
        slot=slot,
        publication=slot,
        capture=capture,
        load_wait_seconds=load_wait,
    )
    catalog = Catalog(
        event_store=EventStoreConfig(root=str(folder / "event_store")),
        sources=(source,),
        tables=tables,
        projections=(DeltaProjection("lake", tables=(f"{SOURCE}.*",), root=str(folder / "lakehouse")),),
    )
    return System(catalog.validate(), database.dsn)


def _read(column: Column) -> sql.Composable:
    name = sql.Identifier(column.name)
    if not pa.types.is_string(column.arrow):
        return name
    # Not a cast, which would strip the padding of character(n).
    return sql.SQL("CASE WHEN {0} IS NOT NULL THEN format('%s', {0}) END").format(name)


def rows_of(batches: Iterable[pa.RecordBatch], schema: TableSchema) -> Rows:
    """Rows by value, with the text of odd values beside them."""
    found: Rows = Counter()
    for batch in batches:
        odd = batch.column("_overflow")
        assert odd.null_count == len(odd), "odd values need an oracle of their own"
        found.update(zip(*(batch.column(name).to_pylist() for name in schema.names), strict=True))
    return found


def differences(expected: Rows, actual: Rows, most: int = 5) -> list[tuple[Literal["missing", "extra"], Any]]:
    """A few rows that one side lacks; values cut short."""
    missing: list[tuple[Literal["missing", "extra"], Any]] = [("missing", row) for row in expected - actual]
    extra: list[tuple[Literal["missing", "extra"], Any]] = [("extra", row) for row in actual - expected]
    return [(side, _short(row)) for side, row in (missing[:most] + extra[:most])]


def _short(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(f"{v[:20]}...({len(v)})" if isinstance(v, str) and len(v) > 40 else v for v in row)


def _audited(schema: TableSchema) -> list[str]:
    return [name for name in ("id", "v") if name in schema.names]


def _as_text(rows: pa.Table, names: list[str]) -> pa.Table:
    """A column may have another type in another chapter."""
    for name in names:
        if not pa.types.is_nested(rows.schema.field(name).type) and not pa.types.is_binary(
            rows.schema.field(name).type
        ):
            rows = rows.set_column(rows.schema.get_field_index(name), name, rows[name].cast(pa.string()))
    return rows


def doubled(events: pa.Table, schema: TableSchema) -> int:
    """Changes of one key that stand at one position more than once. Without a key, the position
    alone tells changes apart."""
    keys = ", ".join(f'"{name}"' for name in (EPOCH, COMMIT_POSITION, SEQUENCE, OP, *schema.key))
    with _duckdb().cursor() as connection:
        connection.register("events", events)
        query = (
            f"SELECT coalesce(sum(n - 1), 0)::BIGINT FROM "
            f"(SELECT count(*) AS n FROM events WHERE {OP} IN ('I', 'U', 'D') GROUP BY {keys})"
        )
        found = connection.execute(query).fetchall()
    return int(found[0][0])


@cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    """Opening one takes longer than the query. Not before it is asked for: processes are forked."""
    return duckdb.connect()


# --- audit -------------------------------------------------------------------------------

AUDIT = """
CREATE TABLE audit (xid bigint, op text, id text, v text);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE me bigint := pg_current_xact_id()::text::bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN INSERT INTO audit VALUES (me, 'I', NEW.id::text, NEW.v::text);
    ELSIF TG_OP = 'DELETE' THEN INSERT INTO audit VALUES (me, 'D', OLD.id::text, NULL);
    ELSE
        IF OLD.id IS DISTINCT FROM NEW.id THEN
            INSERT INTO audit VALUES (me, 'D', OLD.id::text, NULL);
        END IF;
        INSERT INTO audit VALUES (me, 'U', NEW.id::text, NEW.v::text);
    END IF;
    RETURN NULL;
END $$;
"""


def audit(system: System, table: str) -> None:
    """Keep the truth about every change of a table with columns `id` and `v` from here on."""
    system.execute(
        AUDIT,
        f"CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION audit()",
    )


def check_changes(system: System, table: TableId) -> None:
    """The store holds every committed change once: no more, no fewer, no other."""
    with system.sql() as session:
        made = Counter(session.execute("SELECT xid, op, id, v FROM audit").fetchall())
    events = system.events(table)
    chosen = events.filter(pa.compute.is_in(events[OP], pa.array(["I", "U", "D"])))
    stored = Counter(
        (xid, op, str(key), None if op == "D" else str(v))
        for xid, op, key, v in zip(
            *(chosen[name].to_pylist() for name in ("_transaction_id", OP, "id", "v")), strict=True
        )
    )
    assert differences(made, stored) == [], f"{table}: changes"


def shuffled(random: Random, items: Iterable[Any]) -> list[Any]:
    listed = list(items)
    random.shuffle(listed)
    return listed


def wait_for(system: System, query: str) -> None:
    """Until the query returns a row."""
    deadline = time.monotonic() + 20
    with system.sql() as session:
        while session.execute(query.encode()).fetchone() is None:
            assert time.monotonic() < deadline, query
            time.sleep(0.05)
