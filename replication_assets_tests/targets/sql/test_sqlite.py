"""SQLite as an environment: the contract of all engines, and what is its own."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest

from replication_assets.core.structure import Index
from replication_assets.errors import RefreshError, RefreshInProgress
from replication_assets.targets.sql.sqlite import sqlite_environment
from replication_assets.targets.sql.target import SqlEnvironment
from replication_assets_tests.contracts.environment_copies import CUSTOMER, copy_of, marker_of
from replication_assets_tests.contracts.environment_target import EnvironmentTargetContract
from replication_assets_tests.targets.sql.masked_copies import KEYS, Refresh, batch, copied, read, structure


@dataclass
class SqlitePlace:
    folder: Path

    def target(self, environment: str = "qa", trust: str = "nonproduction") -> SqlEnvironment:
        return sqlite_environment(self.folder, environment, trust)

    def file(self, schema: str) -> Path:
        return self.folder / "current" / f"{schema}.db"

    def ids(self, schema: str, table: str) -> list[int]:
        if not self.file(schema).exists():
            return []
        with closing(sqlite3.connect(self.file(schema))) as connection:
            try:
                return [row[0] for row in connection.execute(f'SELECT id FROM "{table}" ORDER BY 1')]
            except sqlite3.OperationalError:
                return []

    def add(self, schema: str, table: str) -> int:
        with closing(sqlite3.connect(self.file(schema))) as connection:
            found = connection.execute(f'INSERT INTO "{table}" DEFAULT VALUES').lastrowid
            connection.commit()
            return found or 0

    def strange_table(self) -> None:
        self.folder.mkdir()
        (self.folder / "strange.db").touch()


class TestSqlite(EnvironmentTargetContract):
    # A float without a fraction is stored as a whole number, which has no such zero.
    negative_zero = False

    @pytest.fixture
    def place(self, tmp_path: Path) -> SqlitePlace:
        return SqlitePlace(tmp_path / "qa")


@pytest.fixture
def place(tmp_path: Path) -> SqlitePlace:
    return SqlitePlace(tmp_path / "qa")


@pytest.fixture
def target(place: SqlitePlace) -> SqlEnvironment:
    target = place.target()
    target.mark(marker_of(KEYS))
    return target


def test_odd_values_stand_in_their_column_and_come_back(place: SqlitePlace, target: SqlEnvironment) -> None:
    copy = copied(
        structure(
            "odd",
            {"id": "bigint not null", "n": "numeric(6,2)", "d": "date", "t": "timestamp with time zone"},
        ),
        id=pa.int64(),
        n=pa.decimal128(6, 2),
        d=pa.date32(),
        t=pa.timestamp("us", tz="UTC"),
    )
    refresh = Refresh(target, [copy]).begin()
    odd = {0: '{"n":"NaN","d":"infinity","t":"0044-03-15 00:00:00+00 BC"}'}
    rows = batch(copy, (1, None, None, None), (2, None, None, None), overflow=odd)
    refresh.load(copy, rows)

    assert refresh.rows(copy).equals(pa.Table.from_batches([rows]))
    refresh.finish().publish()
    with closing(sqlite3.connect(place.file("shop"))) as connection:
        assert connection.execute("SELECT n, d FROM odd WHERE id = 1").fetchall() == [("NaN", "infinity")]


def test_a_text_does_not_get_into_a_column_of_numbers(target: SqlEnvironment) -> None:
    copy = copied(structure("t", {"id": "bigint not null", "x": "integer"}), id=pa.int64(), x=pa.string())
    refresh = Refresh(target, [copy]).begin()

    with pytest.raises(RefreshError, match="not of its column's type") as refused:
        refresh.load(copy, batch(copy, (1, "secret")))
    assert "secret" not in str(refused.value)


def test_keys_labels_defaults_and_indexes_are_carried(place: SqlitePlace, target: SqlEnvironment) -> None:
    table = structure("customer", {"id": "bigint not null", "state": "mood", "notes": "text"})
    columns = (
        table.columns[0],
        replace(table.columns[1], labels=("sad", "ok"), default="'ok'::shop.mood"),
        replace(table.columns[2], default="'it''s'::text"),
    )
    table = replace(table, columns=columns, indexes=(Index("by_state", ("state",)),))
    copy = copied(table, id=pa.int64(), state=pa.string(), notes=pa.string())
    Refresh(target, [copy]).begin().finish().publish()

    with closing(sqlite3.connect(place.file("shop"))) as connection:
        connection.execute("INSERT INTO customer (id) VALUES (1)")
        assert connection.execute("SELECT state, notes FROM customer").fetchall() == [("ok", "it's")]
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO customer (id) VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO customer (id, state) VALUES (2, 'angry')")
        plan = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM customer WHERE state = 'ok'").fetchall()
    assert "by_state" in str(plan)


def test_several_schemas_are_exchanged_at_once_and_open_readers_keep_the_old_copy(
    place: SqlitePlace, target: SqlEnvironment
) -> None:
    other = copied(structure("note", {"id": "bigint not null"}, schema="crm.x"), id=pa.int64())
    for at in (1, 2):
        refresh = Refresh(target, [CUSTOMER, other]).begin()
        refresh.load(CUSTOMER, batch(CUSTOMER, (at, "a")))
        refresh.load(other, batch(other, (at,)))
        refresh.finish()
        if at == 1:
            refresh.publish()
    with closing(sqlite3.connect(place.file("shop"))) as reader:
        assert reader.execute("SELECT id FROM customer").fetchall() == [(1,)]
        refresh.publish()
        assert reader.execute("SELECT id FROM customer").fetchall() == [(1,)]

    assert place.ids("shop", "customer") == [2]
    assert place.ids("crm%2Ex", "note") == [2]
    assert len(list((place.folder / "copies").iterdir())) == 1


@pytest.mark.parametrize("how", ["full", "changes"])
def test_a_process_that_is_killed_at_the_exchange_leaves_the_old_copy(
    place: SqlitePlace, target: SqlEnvironment, how: str
) -> None:
    copy_of(place, 1)
    refresh = Refresh(target, [CUSTOMER], how=how).begin()  # type: ignore[arg-type]
    refresh.load(CUSTOMER, batch(CUSTOMER, (2, "b")), role="rows" if how == "full" else "upserts")
    refresh.finish()

    child = os.fork()
    if child == 0:
        os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        refresh.publish()
        os._exit(0)
    _, status = os.waitpid(child, 0)

    assert os.WTERMSIG(status) == signal.SIGKILL
    assert place.ids("shop", "customer") == [1]
    refresh.begin().publish()
    assert place.ids("shop", "customer") == ([2] if how == "full" else [1, 2])
    assert read(target, CUSTOMER).num_rows == len(place.ids("shop", "customer"))


def test_the_environment_is_free_when_the_process_that_held_it_is_killed(
    place: SqlitePlace, target: SqlEnvironment
) -> None:
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with place.target().held("nightly", "run-1"):
            os.write(told, b".")
            signal.pause()
    os.read(ready, 1)
    with pytest.raises(RefreshInProgress, match="run-1"), target.held("nightly", "run-2"):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    with target.held("nightly", "run-2"):
        pass


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH DATABASE '../x.db' AS x",
        "PRAGMA writable_schema = ON",
        "UPDATE main.environment SET trust = 1",
    ],
)
def test_a_hook_stays_within_the_shadow(target: SqlEnvironment, statement: str) -> None:
    refresh = Refresh(target, [CUSTOMER]).begin().finish()

    with pytest.raises(RefreshError, match="failed with SQLITE_"):
        target.run_hook(refresh.plan, statement)


def test_a_hook_changes_shadow_rows(target: SqlEnvironment) -> None:
    refresh = Refresh(target, [CUSTOMER]).begin()
    refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a")))
    refresh.finish()

    target.run_hook(refresh.plan, "UPDATE customer SET email = 'x' WHERE id = 1")

    assert refresh.rows(CUSTOMER)["email"].to_pylist() == ["x"]


def test_readers_are_refused(target: SqlEnvironment) -> None:
    target.grant([])
    with pytest.raises(RefreshError, match="knows no readers"):
        target.grant(["somebody"])
