"""SQLite end to end: writers of several processes' kind, loads in processes, a capture that is killed.

Held against rows as `sqlite3` reads them and an audit table that triggers of the test's own fill.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from replication_assets.catalog import (
    ByBounds,
    Catalog,
    DeltaProjection,
    EventStoreConfig,
    SqliteSourceConfig,
    Table,
)
from replication_assets.core.events import OP
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.flows.validation.validate import validate_source
from replication_assets_tests.e2e.system import SOURCE, Rows, System
from replication_assets_tests.e2e.workers import (
    capture_step,
    capture_until_step,
    kill,
    load_in_parallel,
    run_and_die,
    start,
)
from replication_assets_tests.sources.sqlite.places import SqlitePlace

T = TableId(SOURCE, "main", "t")
AUDIT = (
    "CREATE TABLE audit (op TEXT, id TEXT, v TEXT)",
    "CREATE TRIGGER audit_i AFTER INSERT ON t BEGIN INSERT INTO audit VALUES ('I', NEW.id, NEW.v); END",
    "CREATE TRIGGER audit_d AFTER DELETE ON t BEGIN INSERT INTO audit VALUES ('D', OLD.id, NULL); END",
    """CREATE TRIGGER audit_m AFTER UPDATE ON t WHEN OLD.id <> NEW.id
    BEGIN INSERT INTO audit VALUES ('D', OLD.id, NULL); END""",
    "CREATE TRIGGER audit_u AFTER UPDATE ON t BEGIN INSERT INTO audit VALUES ('U', NEW.id, NEW.v); END",
)


@dataclass(frozen=True)
class SqliteSystem(System):
    """`dsn` is the database file."""

    @property
    def place(self) -> SqlitePlace:
        return SqlitePlace(Path(self.dsn))

    def execute(self, *statements: str) -> None:
        self.place.execute(*statements)

    def in_source(self, table: TableId, schema: TableSchema) -> Rows:
        columns = ", ".join(f'"{name}"' for name in schema.names)
        return Counter(self.place.rows(f'SELECT {columns} FROM "{table.name}"'))


@pytest.fixture
def system(tmp_path: Path) -> SqliteSystem:
    place = SqlitePlace.at(tmp_path / "app.db")
    place.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v INT, s TEXT)", *AUDIT)
    catalog = Catalog(
        event_store=EventStoreConfig(root=str(tmp_path / "event_store")),
        sources=(SqliteSourceConfig(SOURCE, path=str(place.path)),),
        tables=(Table("app.main.t", id_ranges=ByBounds((50, 100))),),
        projections=(DeltaProjection("lake", tables=(f"{SOURCE}.*",), root=str(tmp_path / "lakehouse")),),
    )
    made = SqliteSystem(catalog.validate(), str(place.path))
    made.execute(*(f"INSERT INTO t VALUES ({i}, 0, 'first')" for i in range(0, 150, 2)))
    made.prepare()
    made.execute("DELETE FROM audit")
    return made


def write(session: Any, random: Random) -> None:
    """One transaction; some are rolled back."""
    for _ in range(random.randrange(1, 4)):
        key, other = random.randrange(-20, 170), random.randrange(-20, 170)
        statement = random.choice(
            (
                f"INSERT OR IGNORE INTO t VALUES ({key}, 1, 'new')",
                f"INSERT INTO t VALUES ({key}, 1, 'new') ON CONFLICT DO UPDATE SET v = v + 1",
                f"UPDATE t SET v = v + 1 WHERE id BETWEEN {key} AND {key + 5}",
                f"UPDATE OR IGNORE t SET id = {other} WHERE id = {key}",
                f"DELETE FROM t WHERE id = {key}",
            )
        )
        session.execute(statement)
    session.rollback() if random.randrange(6) == 0 else session.commit()


@contextmanager
def writing(system: SqliteSystem) -> Iterator[None]:
    stop, failed = threading.Event(), list[Exception]()

    def work(number: int) -> None:
        random = Random(number)
        try:
            with closing(system.place.session()) as session:
                while not stop.wait(0.005):
                    write(session, random)
        except Exception as error:  # noqa: BLE001  # raised below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]


def check_changes(system: SqliteSystem) -> None:
    """The store holds every committed change once: no more, no fewer, no other."""
    made = Counter(system.place.rows("SELECT op, id, v FROM audit"))
    events = system.events(T).to_pylist()
    stored = Counter(
        (row[OP], row["id"], None if row[OP] == "D" else row["v"])
        for row in events
        if row[OP] in ("I", "U", "D")
    )
    assert made == stored


def test_store_and_projection_equal_the_source(system: SqliteSystem, tmp_path: Path) -> None:
    table, never = system.table("t", "main"), tmp_path / "never"
    with writing(system):
        capture = start(capture_until_step, system, never, 0.1)
        loads = [(table.id, each) for each in system.ranges(table)]
        load_in_parallel(system, loads)
        kill(capture)
        capture = start(capture_until_step, system, never, 0.05)
        time.sleep(0.5)
        kill(capture)
    system.finish()
    check_changes(system)


@pytest.mark.parametrize(
    "place",
    [
        "capture.recorded",
        *(pytest.param(f"capture.{p}", marks=pytest.mark.full) for p in ("table_committed", "read")),
    ],
)
def test_a_capture_that_is_killed_is_gone_on_with(system: SqliteSystem, place: str) -> None:
    system.load_all()
    system.execute("UPDATE t SET v = 1 WHERE id < 120")
    run_and_die(place, capture_step, system)
    system.execute("DELETE FROM t WHERE id % 3 = 0")
    system.finish()
    check_changes(system)


def test_validation_finds_nothing_and_a_lost_log_is_recovered(system: SqliteSystem) -> None:
    system.load_all()
    system.execute("UPDATE t SET v = 1 WHERE id < 120")
    system.finish()
    found = validate_source(system.source, system.store, system.table("t", "main"), catch_up=system.reach)
    assert found.mismatches == 0
    system.source.teardown()
    system.execute("DELETE FROM t WHERE id < 50")
    system.recover()
    system.load_all()
    system.finish()
    system.source.teardown()
    assert system.source.remains() == ()
