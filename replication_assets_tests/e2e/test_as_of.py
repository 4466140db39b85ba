"""The past as it was: rows at earlier positions and times, in the middle of everything."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from replication_assets.catalog import ByWidth, Table
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.errors import NotLoaded, StoreError
from replication_assets.flows.compare import source_position
from replication_assets_tests.e2e.system import SOURCE, Rows, System, differences, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")

STEPS = [
    "UPDATE t SET v = v + 1 WHERE id % 3 = 0",
    "DELETE FROM t WHERE id % 10 = 4",
    "INSERT INTO t SELECT i, 9, repeat('late', 2000) FROM generate_series(200, 260) i",
    "UPDATE t SET id = id + 1000 WHERE id BETWEEN 20 AND 30",
    "UPDATE t SET v = -1 WHERE id > 1000",
    "TRUNCATE t",
    "INSERT INTO t SELECT i, 10, NULL FROM generate_series(1, 90) i",
]


def test_rows_at_every_past_position_and_time_are_those_of_then(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByWidth(100))])
    system.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int, big text)",
        "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
        "INSERT INTO t SELECT i, 0, repeat('x', 3000) FROM generate_series(1, 150) i",
    )
    system.prepare()
    before = moment(system)
    system.load_all()
    past: list[tuple[Position, dt.datetime, Rows]] = []
    for number, step in enumerate(STEPS):
        system.execute(step)
        # The position and the time of the last commit, and the rows as everyone sees them.
        system.capture()
        past.append((source_position(system.source, system.store), moment(system), rows(system)))
        if number in (1, 4):
            # Neither a second load nor a compaction changes what was.
            system.load_all()
            system.store.log(T).compact()
    for position, time, expected in past:
        assert differences(expected, system.in_store(T, as_of=position)) == [], position
        assert differences(expected, system.in_store(T, as_of=time)) == [], time
    with pytest.raises((StoreError, NotLoaded)):
        system.in_store(T, as_of=before)
    with pytest.raises(NotLoaded):
        system.in_store(T, as_of=Position(1, 1))


def rows(system: System) -> Rows:
    return system.in_source(T, system.live(T))


def moment(system: System) -> dt.datetime:
    """The server's clock, which commit times are of."""
    with system.sql() as session:
        found = session.execute("SELECT clock_timestamp()").fetchone()
    assert found is not None
    time: dt.datetime = found[0]
    return time
