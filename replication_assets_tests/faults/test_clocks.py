"""The clock of the machine that captures is wrong, jumps, or changes to winter time: what is stored,
and in which order, does not depend on it."""

from __future__ import annotations

import datetime as dt
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from replication_assets.catalog import ByCount, Table
from replication_assets.core.events import COMMITTED_AT
from replication_assets_tests.contracts.projection_target import A, apply, at, changes, fill, row
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.e2e.system import System, audit, check_changes, system_of
from replication_assets_tests.postgres_servers import FreshDatabase
from replication_assets_tests.targets.dynamodb.places import DynamoDbPlace

SetClock = Callable[[dt.timedelta], None]
REAL_TIME, REAL_NANOSECONDS = time.time, time.time_ns
DAY = dt.timedelta(days=1)


class _Wrong(type):
    """Real values are instances: the project compares and checks them."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, dt.datetime)


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Puts this process's wall clock off, for all that the project asks it. The server's, and the
    monotonic one, go on as they are."""
    skew = dt.timedelta()

    class Wrong(dt.datetime, metaclass=_Wrong):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
            return dt.datetime.now(tz) + skew

    module = types.ModuleType("datetime")
    module.__dict__.update({**vars(dt), "datetime": Wrong})
    for name, each in list(sys.modules.items()):
        if name.startswith("replication_assets.") and getattr(each, "dt", None) is dt:
            monkeypatch.setattr(each, "dt", module)
    monkeypatch.setattr(time, "time", lambda: REAL_TIME() + skew.total_seconds())
    monkeypatch.setattr(time, "time_ns", lambda: REAL_NANOSECONDS() + int(skew.total_seconds()) * 10**9)

    def put(off: dt.timedelta) -> None:
        nonlocal skew
        skew = off

    return put


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByCount(2))])
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT i, 0 FROM generate_series(1, 40) i",
    )
    made.prepare()
    audit(made, "t")
    return made


@pytest.mark.parametrize(
    "offs",
    [
        pytest.param((DAY, -DAY, 400 * DAY), id="jumps"),
        pytest.param((-DAY,), id="a day late", marks=pytest.mark.full),
        pytest.param((DAY,), id="a day early", marks=pytest.mark.full),
    ],
)
def test_a_wrong_clock_changes_neither_events_nor_their_order(
    system: System, set_clock: SetClock, offs: tuple[dt.timedelta, ...]
) -> None:
    set_clock(offs[0])
    system.load_all()
    positions = []
    for turn, off in enumerate((*offs, dt.timedelta()), 1):
        set_clock(off)
        system.execute(
            f"UPDATE t SET v = {turn} WHERE id % {turn + 1} = 0", f"DELETE FROM t WHERE id = {turn}"
        )
        receipt = system.capture()
        assert receipt.started_at < receipt.position
        positions.append(receipt.position)
        system.project()
    assert positions == sorted(positions)
    with system.sql() as session:
        now = session.execute("SELECT clock_timestamp()").fetchone()
    assert now is not None
    table = system.table("t").id
    stored = system.events(table)[COMMITTED_AT].to_pylist()
    assert all(now[0] - dt.timedelta(hours=1) < each <= now[0] for each in stored)
    months = {(now[0] - off).date().replace(day=1) for off in (dt.timedelta(), dt.timedelta(hours=1))}
    assert {cell.event_date for cell in system.store.log(table).snapshot().counts()} <= months
    system.finish()
    check_changes(system, system.table("t").id)


@pytest.mark.full
def test_a_clock_that_jumps_while_a_capture_runs_does_not_disturb_it(
    system: System, set_clock: SetClock
) -> None:
    system.load_all()
    turns = iter([DAY, -DAY, dt.timedelta(0)])
    written = 0

    def stop() -> bool:
        nonlocal written
        if written % 3 == 0:
            off = next(turns, None)
            if off is None:
                return True
            set_clock(off)
            system.execute(f"UPDATE t SET v = v + 1 WHERE id % {written + 2} = 0")
        written += 1
        return False

    receipt = system.capture_until(stop, seconds=0.01)
    assert receipt.rows > 0
    system.finish()
    check_changes(system, system.table("t").id)


@pytest.mark.full
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_a_machine_in_another_time_zone_on_the_night_of_the_change_stores_the_same(
    system: System, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    system.load_all()
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        now = dt.datetime.now(dt.UTC)
        # 2026-11-01 06:00 UTC: New York's 1:59 is followed by 1:00.
        for local in ("2026-11-01T05:59:59", "2026-11-01T06:00:01", "2026-03-08T07:00:01"):
            set_clock(dt.datetime.fromisoformat(local).replace(tzinfo=dt.UTC) - now)
            system.execute("UPDATE t SET v = v + 1 WHERE id % 4 = 0")
            system.capture()
            system.project()
        system.finish()
        check_changes(system, system.table("t").id)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_leases_and_checkpoints_of_dynamodb_ask_no_wall_clock(
    moto_dynamodb: DynamoDbServer, set_clock: SetClock
) -> None:
    mine = DynamoDbPlace(moto_dynamodb)
    fill(mine.target, [row(at(5), id=1)], at(5))
    other = mine.rival()
    for turn, off in enumerate((DAY, -DAY, 400 * DAY, dt.timedelta()), 6):
        set_clock(off)
        place = mine if turn % 2 else other
        apply(place.target, changes(upserts=[row(at(turn, 1), id=1)]), at(turn, 1))
        found = place.target.checkpoint(A)
        assert found is not None
        assert found.position == at(turn, 1)
    mine.holds([row(at(9, 1), id=1)], A)
