"""kill -9 in every step of a refresh: readers have the old copy or the new one, and the next run mends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import GuardError, RefreshInProgress
from replication_assets.flows.refresh import mask
from replication_assets.flows.refresh.mask import mask_refresh
from replication_assets.flows.refresh.plan import plan_refresh
from replication_assets.flows.refresh.run import run_refresh
from replication_assets.flows.refresh.verify_published import verify_published
from replication_assets_tests.e2e.refreshes import RefreshSystem, refresh_system, run_name
from replication_assets_tests.e2e.workers import Crash, finish, start
from replication_assets_tests.postgres_servers import fresh_database

STEPS = [
    Crash("staging", "complete", "after", 1),
    Crash("target", "publish", "before"),
    Crash("target", "publish", "after"),
]
"""Half of the masked rows staged; all is proven and nothing shown; all is shown and nothing recorded."""
FURTHER_STEPS = [
    Crash("staging", "begin", "after"),
    Crash("target", "load", "after", 2),
    Crash("target", "violations", "after"),
]
TABLES = ("customers", "orders")


@pytest.fixture(scope="module")
def made(postgres_18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RefreshSystem]:
    with (
        fresh_database(postgres_18) as database,
        refresh_system(
            database, tmp_path_factory.mktemp("store"), customers=10, orders=40, tables=TABLES
        ) as system,
    ):
        run_refresh(system.refreshing(), run="first")
        yield system


def refresh_and_crash(made: RefreshSystem, crash: Crash) -> None:
    refreshing = made.refreshing()
    owner: Any = type(refreshing.staging if crash.part == "staging" else refreshing.target)
    original, calls = getattr(owner, crash.method), 0

    def crashing(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if crash.when == "before" and calls == crash.nth:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*given, **named)
        if crash.when == "after" and calls == crash.nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, crash.method, crashing)
    run_refresh(refreshing, run="killed")


def change_source(made: RefreshSystem) -> None:
    made.system.execute("UPDATE customers SET country = 'X' || substr(md5(random()::text), 1, 6)")
    made.system.capture()


@pytest.mark.parametrize(
    "crash",
    [*STEPS, *(pytest.param(crash, marks=pytest.mark.full) for crash in FURTHER_STEPS)],
    ids=str,
)
def test_a_killed_refresh_leaves_a_masked_copy_and_the_next_run_succeeds(
    made: RefreshSystem, crash: Crash
) -> None:
    change_source(made)
    before = made.rows("customers")
    finish(start(refresh_and_crash, made, crash), -signal.SIGKILL)
    after = made.rows("customers")
    published = str(crash) == "after target.publish #1"
    assert (after != before) == published
    if published:
        change_source(made)
    assert all(row[1].endswith("@masked.invalid") for row in after)
    copy = run_refresh(made.refreshing(), run=run_name())
    assert {row[-1] for row in made.rows("customers")} == {
        row[0] for row in made.system.sql().execute("SELECT country FROM customers").fetchall()
    }
    lines = [line for line in made.refreshing().audit.lines() if line.what == "publish"]
    assert lines[-1].refresh_id == copy.id
    assert len({line.refresh_id for line in lines}) == len(lines)


def test_two_runs_never_refresh_one_environment_at_once(made: RefreshSystem) -> None:
    refreshing = made.refreshing()
    with refreshing.held("the first"), pytest.raises(RefreshInProgress, match="the first"):
        run_refresh(made.refreshing(), run="the second")
    run_refresh(made.refreshing(), run="the third")
    assert verify_published(made.refreshing()).passed


def test_a_run_goes_on_at_the_range_where_masking_stopped(made: RefreshSystem) -> None:
    refreshing = made.refreshing()
    plan = plan_refresh(refreshing, run="a", fresh=True)

    def stop(progress: Any) -> None:
        if progress.table == "app.public.orders":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mask_refresh(refreshing, plan, run="a", progress=stop)
    again = plan_refresh(refreshing, run="b")
    assert again == plan
    receipt = mask_refresh(refreshing, again, run="b")
    assert receipt.resumed == 1
    assert receipt.rows["app.public.orders"] == 40


def test_an_error_of_a_library_leaves_without_its_words(
    made: RefreshSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshing = made.refreshing()
    plan = plan_refresh(refreshing, run="a", fresh=True)

    def failing(*_: Any) -> Iterator[Any]:
        yield from ()
        raise ValueError("could not convert person1@corporate-mail.example")

    monkeypatch.setattr(mask, "raw_rows", failing)
    with pytest.raises(GuardError, match="ValueError") as caught:
        mask_refresh(refreshing, plan, run="a")
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not any("corporate" in str(error) for error in chain)
    line = refreshing.audit.lines()[-1]
    assert line.what == "failed"
    assert "corporate" not in str(line)
    assert refreshing.staging.plan() is None
