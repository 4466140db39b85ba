"""Writers that die, writers at once, and hands of others: what stands is one state, and says which."""

from __future__ import annotations

import datetime as dt
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import TargetError
from replication_assets.failpoints import arm
from replication_assets.ports import RangeCheckpoint
from replication_assets.secret_references import Secret
from replication_assets.targets.sql.postgres import TargetConnection
from replication_assets.targets.sql.projection import SqlTarget
from replication_assets.targets.sql.projection.database import Database
from replication_assets.targets.sql.projection.postgres import PostgresDatabase
from replication_assets_tests.contracts.projection_target import (
    BASELINE,
    KEYED,
    KEYLESS,
    A,
    B,
    apply,
    at,
    changes,
    exact,
    fill,
    holds,
    row,
    table,
)
from replication_assets_tests.e2e.workers import finish_with, start
from replication_assets_tests.postgres_servers import FreshDatabase
from replication_assets_tests.targets.sql.projection.engines import Places, places
from replication_assets_tests.targets.sql.projection.places import (
    ORDERS,
    PostgresPlace,
    SqlitePlace,
)

__all__ = ["places"]

OLD = [row(at(5), id=1, name="old"), row(at(5), id=2)]
REPLACED = [row(at(7), id=50, name="new")]
CHANGED = [OLD[0], row(at(7, 1), id=3)]


def write_and_die(database: Database, place: str, how: str) -> None:
    """Kill this process at a place in the middle of a write."""
    arm(f"{place}=kill")
    target = SqlTarget(database, ORDERS)
    if how == "apply":
        given = changes([row(at(7, 1), id=3)], [row(at(7, 2), id=2)])
        target.apply(A, KEYED, given, BASELINE, at(7, 2))
    else:
        target.replace(A, KEYED, table(REPLACED).to_batches(), BASELINE, at(7))


@pytest.mark.parametrize(
    ("how", "died_at"),
    [
        ("replace", "sql.replaced"),
        ("replace", "sql.committed"),
        ("apply", "sql.merged"),
        ("apply", "sql.checkpointed"),
        ("apply", "sql.committed"),
    ],
)
def test_a_writer_that_is_killed_leaves_what_was_there_or_what_is_new(
    places: Places, how: str, died_at: str
) -> None:
    place = places(ORDERS)
    fill(place.target, OLD, at(5))
    assert finish_with(start(write_and_die, place.opened(), died_at, how)) == -signal.SIGKILL
    new, reached = (REPLACED, at(7)) if how == "replace" else (CHANGED, at(7, 2))
    stands, position = (new, reached) if died_at == "sql.committed" else (OLD, at(5))
    holds(place, stands)
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, position, len(stands))
    if how == "replace":
        fill(place.target, REPLACED, at(7))
    else:
        apply(place.target, changes([row(at(7, 1), id=3)], [row(at(7, 2), id=2)]), at(7, 2))
    holds(place, new)
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, reached, len(new))


def test_readers_see_the_old_rows_until_the_new_ones_are_whole(places: Places) -> None:
    place = places(ORDERS)
    old, new = [row(at(5), id=1, name="old")], [row(at(7), id=2, name="new"), row(at(7), id=3)]
    fill(place.target, old, at(5))
    seen: list[Any] = []

    def rows() -> Iterator[pa.RecordBatch]:
        yield from table(new[:1]).to_batches()
        seen.append(sorted(place.run(f"SELECT id FROM {place.name}")))
        yield from table(new[1:]).to_batches()

    place.target.replace(A, KEYED, rows(), BASELINE, at(7))
    assert seen == [[(1,)]]
    holds(place, new)


def test_of_two_writers_of_one_range_the_second_waits_and_finds_the_work_done(places: Places) -> None:
    place, rival = places(ORDERS), places(ORDERS)
    fill(place.target, [row(at(5), id=1)], at(5))
    began = Event()

    def rows() -> Iterator[pa.RecordBatch]:
        began.set()
        yield from table([row(at(5), id=1), row(at(6, 1), id=2)]).to_batches()

    these = changes([row(at(6, 1), id=2)], insert_only=True)
    with ThreadPoolExecutor(2) as pool:
        filling = pool.submit(place.target.replace, A, KEYED, rows(), BASELINE, at(6, 1))
        assert began.wait(30)
        applying = pool.submit(apply, rival.target, these, at(6, 1))
        assert filling.result() == applying.result() == RangeCheckpoint(BASELINE, at(6, 1), 2)
    holds(place, [row(at(5), id=1), row(at(6, 1), id=2)])


def test_many_who_find_no_file_of_sqlite_make_it_together(tmp_path: Path) -> None:
    """SQLite refuses at once who changes a file to WAL while another does."""
    for turn in range(30):
        together = Barrier(4, timeout=60)

        def work(number: int, folder: Path = tmp_path / str(turn), begun: Barrier = together) -> None:
            target = SqlitePlace(folder).target
            begun.wait()
            fill(target, [row(at(5), id=number)], at(5), f"r{number:04}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))


def test_ranges_are_filled_and_changed_side_by_side(places: Places) -> None:
    keys = [f"r{number:04}" for number in range(6)]

    def work(number: int) -> None:
        target = places(ORDERS).target
        first = [row(at(5), id=number * 100 + i) for i in range(20)]
        fill(target, first, at(5), keys[number])
        for commit in range(6, 10):
            these = changes([row(at(commit, 1), id=number * 100 + commit, name=f"{commit}")])
            apply(target, these, at(commit, 1), keys[number])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(6)))
    place = places(ORDERS)
    for key in keys:
        assert place.target.checkpoint(key) == RangeCheckpoint(BASELINE, at(9, 1), 20)
        assert place.stored(key).num_rows == 20


def test_a_deleted_row_stays_deleted_under_late_and_repeated_changes(places: Places) -> None:
    place = places(ORDERS)
    fill(place.target, [row(at(5), id=1)], at(5))
    late = changes([row(at(6, 1), id=2, name="late")])
    apply(place.target, changes([row(at(6, 1), id=2)], [row(at(6, 2), id=1)]), at(6, 2))
    apply(place.target, changes(deletes=[row(at(7, 1), id=2)]), at(7, 1))
    assert apply(place.target, late, at(6, 2)) == RangeCheckpoint(BASELINE, at(7, 1), 0)
    apply(place.target, late, at(8))
    holds(place, [])


EDITS = {
    "update": "UPDATE {name} SET name = 'edited' WHERE id = 1",
    "delete": "DELETE FROM {name} WHERE id = 1",
    "insert": "INSERT INTO {name} (id, _id_range) VALUES (77, 'r0001')",
    "key": "UPDATE {name} SET id = 78 WHERE id = 1",
    "away": "UPDATE {name} SET _id_range = 'r0009' WHERE id = 1",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_each_edit_of_a_row_is_noticed_in_its_range_alone(places: Places, edit: str) -> None:
    place = places(ORDERS)
    rows = [row(at(5), id=1), row(at(5), id=2)]
    fill(place.target, rows, at(5), A)
    fill(place.target, [row(at(5), id=900)], at(5), B)
    place.run(edit.format(name=place.name))
    assert place.target.checkpoint(A) is None
    assert place.target.checkpoint(B) == RangeCheckpoint(BASELINE, at(5), 1)
    with pytest.raises(TargetError, match="edited or emptied"):
        apply(place.target, changes([row(at(6, 1), id=3)]), at(6, 1))
    fill(place.target, rows, at(5), A)
    holds(place, rows)


def test_rows_of_nobody_concern_every_range_and_go(places: Places) -> None:
    place = places(ORDERS)
    fill(place.target, [row(at(5), id=1)], at(5), A)
    fill(place.target, [row(at(5), id=900)], at(5), B)
    place.run(f"INSERT INTO {place.name} (id) VALUES (77)")
    assert place.target.checkpoint(A) is place.target.checkpoint(B) is None
    fill(place.target, [row(at(5), id=1)], at(5), A)
    assert place.run(f"SELECT count(*) FROM {place.name}") == [(2,)]


def test_a_truncated_or_dropped_table_is_noticed_and_filled_again(places: Places) -> None:
    place = places(ORDERS)
    truncate = "DELETE FROM" if isinstance(place, SqlitePlace) else "TRUNCATE TABLE"
    for statement in (f"{truncate} {place.name}", f"DROP TABLE {place.name}"):
        fill(place.target, [row(at(5), id=1)], at(5))
        place.run(statement)
        assert place.target.checkpoint(A) is None
        with pytest.raises(TargetError):
            apply(place.target, changes([row(at(6, 1), id=3)]), at(6, 1))
    fill(place.target, [row(at(5), id=1)], at(5))
    holds(place, [row(at(5), id=1)])


def test_a_table_of_somebody_else_is_left_alone(places: Places) -> None:
    place = places(ORDERS)
    fill(places(TableId("shop", "public", "other")).target, [], at(5))
    place.run(f"CREATE TABLE {place.name} (id int)")
    with pytest.raises(TargetError, match="somebody else"):
        fill(place.target, [row(at(5), id=1)], at(5))
    with pytest.raises(TargetError, match="somebody else"):
        place.target.reset(KEYED)
    assert place.run(f"SELECT * FROM {place.name}") == []


def test_a_table_of_another_source_is_left_alone(places: Places) -> None:
    fill(places(ORDERS).target, [row(at(5), id=1)], at(5))
    namesake = places(TableId("crm", "public", "orders"))
    assert namesake.target.checkpoint(A) is None
    with pytest.raises(TargetError, match=r"shop\.public\.orders"):
        fill(namesake.target, [row(at(5), id=2)], at(5))
    assert namesake.run(f"SELECT id FROM {namesake.name}") == [(1,)]


def test_a_reset_empties_and_retypes_and_every_range_is_filled_anew(places: Places) -> None:
    place = places(ORDERS)
    fill(place.target, [row(at(5), id=1)], at(5), A)
    fill(place.target, [row(at(5), id=2)], at(5), B)
    retyped = TableSchema((Column("id", "text", pa.string()),), ("id",))
    with pytest.raises(TargetError, match="changed their type"):
        fill(place.target, [row(at(6), id="1")], at(6), schema=retyped)
    place.target.reset(retyped)
    assert place.target.checkpoint(A) is place.target.checkpoint(B) is None
    assert pa.Table.from_batches(place.target.read()).num_rows == 0
    fill(place.target, [row(at(6), id="1")], at(6), schema=retyped)
    holds(place, [row(at(6), id="1")], schema=retyped)


def test_a_table_without_key_that_loses_a_column_is_filled_anew(places: Places) -> None:
    place = places(ORDERS)
    fill(place.target, [row(at(5), name="a", ratio=1.0)], at(5), schema=KEYLESS)
    wider = TableSchema((*KEYLESS.columns, Column("more", "text", pa.string())))
    apply(place.target, changes((), [row(at(6, 1), name="a", ratio=1.0)], wider), at(6, 1), schema=wider)
    holds(place, [], schema=wider)
    narrower = TableSchema(KEYLESS.columns[:1])
    with pytest.raises(TargetError, match="edited or emptied"):
        apply(place.target, changes([row(at(7, 1), name="b")], (), narrower), at(7, 1), schema=narrower)
    assert place.target.checkpoint(A) is None


def test_a_view_shows_one_moment(places: Places) -> None:
    place = places(ORDERS)
    fill(place.target, [row(at(5), id=1), row(at(5), id=2)], at(5))
    view = place.target.view(KEYED)
    apply(place.target, changes([row(at(6, 1), id=3)], [row(at(6, 2), id=1)]), at(6, 2))
    assert view.checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 2)
    assert sorted(one["id"] for batch in view.read() for one in batch.to_pylist()) == [1, 2]


def test_no_value_and_no_secret_is_told(database: FreshDatabase, tmp_path: Path) -> None:
    place = PostgresPlace(database)
    fill(place.target, [row(at(5), id=1, name="secret value")], at(5))
    place.run("ALTER TABLE public.orders ADD CONSTRAINT short CHECK (length(name) < 3)  NOT VALID")
    with pytest.raises(TargetError) as refused:
        apply(place.target, changes([row(at(6, 1), id=2, name="secret value")]), at(6, 1))
    assert "secret value" not in f"{refused.value!r} {refused.value.__cause__}"
    gone = TargetConnection("127.0.0.1", "none", "nobody", Secret("hush"), port=1, sslmode="disable")
    target = SqlTarget(PostgresDatabase(gone), ORDERS)
    with pytest.raises(TargetError) as unreachable:
        target.checkpoint(A)
    assert unreachable.value.retryable
    assert "hush" not in f"{unreachable.value!r} {target!r}"
    assert list(SqlitePlace(tmp_path).target.tidy(dt.timedelta(0))) == []
    assert exact(place.stored(A)) != []
