"""Where load and capture meet: re-runs, single dates, keys of every kind, two at once."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from replication_assets.catalog import ByBounds, ByCount, ByWidth, EventDate, Table
from replication_assets.core.schema import TableId
from replication_assets.errors import CommitConflict, SlotBusy
from replication_assets.flows.capture import FlushPolicy, capture
from replication_assets.flows.compare import source_position
from replication_assets.flows.read import ranges_of
from replication_assets.ports import ChangeChunk, ChangeSource, ChangeStream
from replication_assets_tests.e2e.comparison import compare_projection
from replication_assets_tests.e2e.system import (
    SOURCE,
    System,
    audit,
    check_changes,
    shuffled,
    system_of,
    wait_for,
)
from replication_assets_tests.e2e.workers import (
    capture_step,
    capturing,
    finish,
    load_in_parallel,
    load_step,
    run,
    start,
)
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByWidth(100))])
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT i, 0 FROM generate_series(1, 250) i",
    )
    made.prepare()
    return made


def test_a_range_loaded_twice_gives_the_same_fold_and_keeps_both_loads(system: System) -> None:
    system.load_all()
    system.execute("UPDATE t SET v = 1 WHERE id % 2 = 0")
    system.capture()
    once = system.in_store(T)
    system.load_all()
    assert system.in_store(T) == once
    system.finish()
    loads = system.store.log(T).snapshot().controls().loads
    assert len(loads) == 2 * len(system.ranges(system.table("t")))


def test_a_load_that_repeats_while_capture_runs_and_writers_write_never_disturbs(
    system: System, tmp_path: Path
) -> None:
    audit(system, "t")
    table = system.table("t")
    with capturing(system, tmp_path), updating(system):
        for seed in range(2):
            loads = [(T, each) for each in system.ranges(table)]
            load_in_parallel(system, shuffled(Random(seed), loads))
            system.project()
    system.finish()
    check_changes(system, T)


@contextmanager
def updating(
    system: System, statement: str = "UPDATE t SET v = v + 1 WHERE id % 50 = {turn}"
) -> Iterator[None]:
    stop = threading.Event()

    def work() -> None:
        turn = 0
        while not stop.wait(0.01):
            system.execute(f"UPDATE t SET v = v + 1 WHERE id % 50 = {turn % 50}")
            turn += 1

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_ranges_that_keys_grow_into_need_no_load_of_their_own(system: System, tmp_path: Path) -> None:
    with capturing(system, tmp_path):
        system.load_all()
        system.execute("INSERT INTO t SELECT i, 1 FROM generate_series(251, 777) i")
    system.execute("UPDATE t SET v = 2 WHERE id > 700", "DELETE FROM t WHERE id BETWEEN 390 AND 410")
    system.finish()
    found = [each.key for each in ranges_of(system.store.log(T).snapshot())]
    assert found == [f"r{index:06d}" for index in range(8)]


DATED = EventDate(column="day", granularity="day", start=dt.date(2026, 1, 1))


def test_single_dates_are_loaded_again_beside_captured_changes(
    database: FreshDatabase, tmp_path: Path
) -> None:
    made = system_of(
        database, tmp_path, [Table("app.public.t", id_ranges=ByBounds((50, 100)), event_date=DATED)]
    )
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, day date, v int)",
        "INSERT INTO t SELECT i, '2026-01-01'::date + i % 5, 0 FROM generate_series(1, 150) i",
        "INSERT INTO t VALUES (151, NULL, 0), (152, '12000-01-01', 0), (153, 'infinity', 0)",
        "DELETE FROM t WHERE id > 151",
    )
    made.prepare()
    made.load_all()
    made.project()
    table = made.table("t")
    made.execute("UPDATE t SET v = 1 WHERE id % 2 = 0", "DELETE FROM t WHERE id % 10 = 3")
    made.capture()
    made.execute("UPDATE t SET v = 2 WHERE id % 3 = 0", "DELETE FROM t WHERE id % 10 = 7")
    # Ahead of capture: the dates' rows are newer than those of the rest of their range.
    made.load(table, dates=(dt.date(2026, 1, 2), None))
    made.project()
    assert compare_projection(made.store, made.target(T), T).mismatches == 0
    made.execute("UPDATE t SET v = 3 WHERE id % 4 = 0", "DELETE FROM t WHERE id % 10 = 9")
    made.execute("INSERT INTO t SELECT i, '2026-01-02', 9 FROM generate_series(201, 210) i")
    made.project()
    made.finish()
    made.load(table, dates=(dt.date(2026, 1, 5),))
    made.execute("DELETE FROM t WHERE day = '2026-01-05' AND id < 50")
    made.finish()


def test_a_range_of_which_only_some_dates_were_loaded_holds_those(
    database: FreshDatabase, tmp_path: Path
) -> None:
    made = system_of(
        database, tmp_path, [Table("app.public.t", id_ranges=ByCount(1), event_date=DATED, append_only=True)]
    )
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, day date, v int)",
        "INSERT INTO t SELECT i, '2026-01-01'::date + i % 5, 0 FROM generate_series(1, 50) i",
    )
    made.prepare()
    made.load(made.table("t"), dates=(dt.date(2026, 1, 2), dt.date(2026, 1, 3)))
    made.execute("INSERT INTO t VALUES (100, '2026-01-02', 1), (101, '2026-01-04', 1)")
    made.capture()
    made.project()
    chosen = (dt.date(2026, 1, 2), dt.date(2026, 1, 3))
    expected = {row: n for row, n in made.in_source(T, made.live(T)).items() if row[1] in chosen}
    assert made.in_store(T) == made.in_projection(T) == expected


KEYS: list[tuple[str, str, Any]] = [
    ("bigint", "(i - 100) * 46116860184273879::bigint", ByBounds((-1, 0, 10**17))),
    ("text", "CASE i % 3 WHEN 0 THEN '' WHEN 1 THEN 'é' || i ELSE upper(md5(i::text)) END || i", ByCount(3)),
    ("uuid", "md5(i::text)::uuid", ByCount(4)),
    ("numeric(30,0)", "(i - 100) * 1000000000000000000000::numeric", ByWidth(10**18, -(10**18))),
    ("smallint", "i - 100", ByWidth(50, -100)),
]


@pytest.mark.parametrize(
    ("kind", "expression", "ranges"),
    # In short a number, a text, and what arrives as text: the ranges of all kinds are read by the
    # source's own tests.
    [
        pytest.param(*each, id=each[0], marks=[pytest.mark.full] if each[0] in ("uuid", "smallint") else [])
        for each in KEYS
    ],
)
def test_keys_of_every_kind_are_in_exactly_one_range(
    database: FreshDatabase, tmp_path: Path, kind: str, expression: str, ranges: Any
) -> None:
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ranges)])
    made.execute(
        f"CREATE TABLE t (id {kind} PRIMARY KEY, v int)",
        f"INSERT INTO t SELECT {expression}, i FROM generate_series(1, 150) i",
        "ANALYZE t",
    )
    made.prepare()
    made.load_all()
    made.execute(
        f"INSERT INTO t SELECT {expression}, i FROM generate_series(151, 200) i",
        "UPDATE t SET v = -v WHERE v % 3 = 0",
        "DELETE FROM t WHERE v % 7 = 0",
    )
    made.finish()
    assert len(ranges_of(made.store.log(T).snapshot())) > 1


def test_rows_without_a_key_are_cut_by_a_column_that_may_be_null(
    database: FreshDatabase, tmp_path: Path
) -> None:
    table = Table("app.public.t", id_ranges=ByWidth(10), range_column="a", append_only=True)
    made = system_of(database, tmp_path, [table])
    rows = "SELECT nullif(i % 25, 7), 'same', i % 2 FROM generate_series(-40, 60) i"
    made.execute("CREATE TABLE t (a int, b text, c int)", f"INSERT INTO t {rows}")
    made.prepare()
    with made.sql() as session, session.transaction():
        session.execute(f"INSERT INTO t {rows}".encode())
    made.load_all()
    made.execute(f"INSERT INTO t {rows}")
    made.finish()
    assert sum(made.in_projection(T).values()) == 303


def test_a_key_of_two_columns_moves_between_ranges(database: FreshDatabase, tmp_path: Path) -> None:
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByBounds((5, 10)))])
    made.execute(
        "CREATE TABLE t (b text, a int, v int, PRIMARY KEY (a, b))",
        "INSERT INTO t SELECT 'x' || i % 3, i, 0 FROM generate_series(1, 15) i",
    )
    made.prepare()
    made.load_all()
    made.project()
    made.execute("UPDATE t SET a = a + 20 WHERE a < 5", "UPDATE t SET b = 'y' WHERE a = 7")
    made.finish()


# --- two at once -------------------------------------------------------------------------


def test_of_two_captures_at_once_one_is_told_to_wait(system: System, tmp_path: Path) -> None:
    system.load_all()
    with capturing(system, tmp_path):
        wait_for(system, "SELECT FROM pg_replication_slots WHERE active")
        with pytest.raises(SlotBusy):
            system.capture()
        system.execute("UPDATE t SET v = 1")
    system.finish()


def test_a_load_a_re_load_a_capture_and_a_projection_at_once(system: System) -> None:
    audit(system, "t")
    table = system.table("t")
    with updating(system):
        steps = [start(load_step, system, T, each) for each in system.ranges(table)]
        run(capture_step, system)
        for step in steps:
            finish(step)
        again = [start(load_step, system, T, each) for each in system.ranges(table)[:2]]
        run(capture_step, system)
        system.project()
        for step in again:
            finish(step)
    system.finish()
    check_changes(system, T)


@dataclass(frozen=True)
class Wrapped:
    """A source with another way to open its stream."""

    inner: ChangeSource
    changes: Callable[..., AbstractContextManager[ChangeStream]]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_a_capture_that_another_overtook_asks_to_be_started_again(system: System) -> None:
    """Not `SlotLost`, whose remedy is to load everything again."""
    system.load_all()
    system.execute("UPDATE t SET v = 1")

    def opened_late(*arguments: Any, **named: Any) -> AbstractContextManager[ChangeStream]:
        system.capture()
        return system.source.changes(*arguments, **named)

    late: Any = Wrapped(system.source, changes=opened_late)
    reach = source_position(system.source, system.store).commit
    with pytest.raises(CommitConflict):
        capture(late, system.store, system.tables(), upto=reach)
    system.finish()


@dataclass(frozen=True)
class Overtaken:
    """A stream whose slot is lost to another capture when its first events were read, `before`
    or after the reader gets to see them. It then ends, so that the reader flushes late."""

    inner: ChangeStream
    meanwhile: Callable[[], None]
    before: bool

    def __iter__(self) -> Iterator[ChangeChunk]:
        for chunk in self.inner:
            overtaken = bool(chunk.batches)
            if overtaken and self.before:
                self.meanwhile()
            yield chunk
            if overtaken and not self.before:
                self.meanwhile()
            if overtaken:
                return

    def acknowledge(self, commit: int) -> None:
        raise AssertionError("nothing that it flushed may stand")


@pytest.mark.parametrize("before", [True, False], ids=["before it wrote", "after it wrote"])
def test_a_capture_that_lost_its_slot_and_flushes_late_stores_nothing_twice(
    system: System, before: bool
) -> None:
    audit(system, "t")
    system.load_all()
    system.execute("UPDATE t SET v = 1", "DELETE FROM t WHERE id < 20")

    def another_takes_over() -> None:
        with system.sql() as session:
            session.execute(
                "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE active"
            )
        system.capture()

    @contextmanager
    def overtaken(*arguments: Any, **named: Any) -> Iterator[ChangeStream]:
        with system.source.changes(*arguments, **named) as stream:
            yield Overtaken(stream, another_takes_over, before)

    late: Any = Wrapped(system.source, changes=overtaken)
    reach = source_position(system.source, system.store).commit
    with pytest.raises(CommitConflict):
        capture(late, system.store, system.tables(), upto=reach, policy=FlushPolicy(seconds=1e9))
    system.finish()
    check_changes(system, T)
