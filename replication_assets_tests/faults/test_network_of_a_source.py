"""The network between a source and its capture: whatever it does, a step ends soon with an error
that says so, and the next one goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from replication_assets.catalog import ByCount, Table
from replication_assets.errors import SourceUnavailable
from replication_assets.flows.validation.source import validate_source
from replication_assets.ports import ChangeSource
from replication_assets.sources.postgres import silence
from replication_assets.sources.postgres.connection import connect
from replication_assets.sources.postgres.source import PostgresSource
from replication_assets_tests.e2e.system import System, audit, check_changes, system_of, wait_for
from replication_assets_tests.faults.proxy import Fault, Kind, Proxy, proxy_to
from replication_assets_tests.postgres_servers import FreshDatabase

full = pytest.mark.full
STEP_SECONDS = 60
"""A step that has not ended by then hangs. Patience is shortened to a fraction of it."""


@dataclass(frozen=True)
class Networked(System):
    """A system whose source is reached through a proxy; the oracle reads it without."""

    @property
    def source(self) -> ChangeSource:
        source = super().source
        assert isinstance(source, PostgresSource)
        return replace(source, connection=replace(source.connection, connect_timeout=2))


@pytest.fixture
def proxy(database: FreshDatabase) -> Iterator[Proxy]:
    with proxy_to("127.0.0.1", database.server.port) as running:
        yield running


@pytest.fixture
def system(database: FreshDatabase, proxy: Proxy, tmp_path: Path) -> Networked:
    """An audited table, prepared and loaded, with changes that nobody captured yet."""
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByCount(1))])
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 6000) i",
    )
    made.prepare()
    audit(made, "t")
    made.load_all()
    made.execute("UPDATE t SET v = repeat(md5(v), 20) WHERE id % 3 = 0", "DELETE FROM t WHERE id % 100 = 0")
    through = replace(made.catalog.sources[0], port=proxy.port)
    return Networked(replace(made.catalog, sources=(through,)), made.dsn)


def fails(step: Callable[[], object]) -> SourceUnavailable:
    """The error that the step must end with, in time."""
    met: list[BaseException] = []

    def run() -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001
            met.append(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(silence, "SILENCE_SECONDS", 0.7)
        patch.setattr(silence, "PROBE_SECONDS", 2.0)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(STEP_SECONDS)
    assert not thread.is_alive(), "the step hangs"
    assert met, "the step met no error"
    if not isinstance(met[0], SourceUnavailable):
        raise met[0]
    assert met[0].where
    return met[0]


def left_alone(system: System) -> None:
    """Nothing of ours stays on the server: no session, no load's slot; the capture's slot is free."""
    wait_for(
        system,
        "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
        "  AND application_name = 'replication_assets')"
        " AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = current_database()"
        "  AND (temporary OR active))",
    )


def goes_on(system: System, proxy: Proxy) -> None:
    acknowledged_is_stored(system)
    proxy.heal()
    left_alone(system)
    system.execute("INSERT INTO t SELECT i, 'new' FROM generate_series(100001, 100010) i")
    system.finish()
    check_changes(system, system.table("t").id)
    acknowledged_is_stored(system)


def acknowledged_is_stored(system: System) -> None:
    mark = system.store.ledger("app").last()
    assert mark is not None
    with system.sql() as session:
        found = session.execute(
            "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots"
            " WHERE database = current_database() AND NOT temporary"
        ).fetchall()
    assert [int(position) <= mark.commit + 1 for (position,) in found] == [True]


FAULTS = [
    pytest.param("cut", False, id="cut", marks=full),
    pytest.param("reset", False, id="reset", marks=full),
    pytest.param("freeze", False, id="freeze-one"),
    pytest.param("freeze", True, id="freeze-all", marks=full),
]
by_fault = pytest.mark.parametrize(("kind", "spread"), FAULTS)


@by_fault
def test_a_capture_in_the_middle_of_a_transaction(
    system: Networked, proxy: Proxy, kind: Kind, *, spread: bool
) -> None:
    proxy.arm(Fault(kind, after=600_000, spread=spread))
    fails(system.capture)
    assert proxy.fired() == 1
    goes_on(system, proxy)


@full
@by_fault
def test_an_idle_capture(system: Networked, proxy: Proxy, kind: Kind, *, spread: bool) -> None:
    system.capture()

    def break_when_idle() -> None:
        wait_for(
            system,
            "SELECT 1 FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid"
            " WHERE s.database = current_database() AND a.wait_event ILIKE 'WalSenderWaitForWal'",
        )
        proxy.arm(Fault(kind, spread=spread))

    breaker = threading.Thread(target=break_when_idle)
    breaker.start()
    fails(lambda: system.capture_until(lambda: False))
    breaker.join()
    goes_on(system, proxy)


@by_fault
def test_a_load_in_the_middle_of_its_rows(
    system: Networked, proxy: Proxy, kind: Kind, *, spread: bool
) -> None:
    table = system.table("t")
    before = system.store.log(table.id).snapshot()
    proxy.arm(Fault(kind, after=1_000_000, spread=spread))
    fails(lambda: system.load(table))
    assert proxy.fired() == 1
    after = system.store.log(table.id).snapshot()
    assert [cell.rows for cell in after.counts()] == [cell.rows for cell in before.counts()]
    goes_on(system, proxy)


at_places = pytest.mark.parametrize(
    ("kind", "spread", "after"),
    [
        pytest.param("cut", False, 0, id="cut-0"),
        pytest.param("reset", False, 3_000, id="reset-3000"),
        pytest.param("freeze", False, 0, id="freeze-one-0"),
        pytest.param("freeze", False, 3_000, id="freeze-one-3000"),
        pytest.param("freeze", True, 3_000, id="freeze-all-3000"),
    ],
)
"""Bytes from the server until it happens: while a session is opened, and in its questions."""


@full
@at_places
def test_a_load_while_it_is_opened(
    system: Networked, proxy: Proxy, kind: Kind, after: int, *, spread: bool
) -> None:
    table = system.table("t")
    proxy.arm(Fault(kind, after=after, spread=spread))
    fails(lambda: system.load(table))
    goes_on(system, proxy)


@full
@at_places
def test_setting_a_capture_up(
    system: Networked, proxy: Proxy, kind: Kind, after: int, *, spread: bool
) -> None:
    system.capture()
    proxy.arm(Fault(kind, after=after, spread=spread))
    fails(system.prepare)
    goes_on(system, proxy)


@full
@at_places
def test_a_validation(system: Networked, proxy: Proxy, kind: Kind, after: int, *, spread: bool) -> None:
    system.capture()
    table = system.table("t")
    proxy.arm(Fault(kind, after=after, spread=spread))
    fails(lambda: validate_source(system.source, system.store, table, catch_up=system.reach))
    goes_on(system, proxy)


@full
def test_a_slow_link_is_no_fault(system: Networked, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes trickle for longer than silence is taken for a fault, and never stop."""
    proxy.arm(Fault("slow", rate=1_500_000, spread=True))
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 0.7)
    system.capture()
    # The rows are seen when they are all here, which takes longer than that.
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 2.0)
    system.load_all()
    assert proxy.fired() == 1
    goes_on(system, proxy)


def test_a_statement_that_takes_long_is_no_fault(system: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is asked meanwhile, more than once, and says that it works on it."""
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 0.2)
    source = system.source
    assert isinstance(source, PostgresSource)
    with connect(source.connection) as session:
        assert session.execute("SELECT 1 FROM pg_sleep(1.5)").fetchall() == [(1,)]
