"""Cut over on a real database: GO from end to end, every way to a NO-GO, the way back, the end."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import psycopg
import pytest
from deltalake import DeltaTable

from replication_assets.catalog import Cutover, DeltaProjection, PythonHook, WebhookHook
from replication_assets.core.cutover import Report
from replication_assets.core.positions import Position
from replication_assets.errors import CommitConflict, CutoverError, HookFailed, SlotBusy
from replication_assets.flows.cutover.attempt import Attempt
from replication_assets.flows.cutover.plan import plan
from replication_assets.flows.cutover.retire import retire
from replication_assets.flows.cutover.steps import (
    begin,
    decide,
    drained,
    run,
    switch,
    validated,
    writes_stopped,
)
from replication_assets.flows.cutover.switch import back
from replication_assets.flows.read import read_table
from replication_assets.ports import Refusal
from replication_assets.sources.postgres.membership import find_publication, record
from replication_assets_tests.e2e.cutovers import ACCOUNTS, NAME, bank, handover, steps
from replication_assets_tests.e2e.system import System
from replication_assets_tests.hooks.receiver import Receiver, listening
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database, running_server


@pytest.fixture
def readers() -> Iterator[Receiver]:
    """Where readers are told to go."""
    with listening() as receiver:
        yield receiver


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path, readers: Receiver) -> System:
    return bank(
        database,
        tmp_path,
        switch=WebhookHook(f"{readers.url}/switch"),
        back=WebhookHook(f"{readers.url}/back"),
    )


def verdict(report: Report) -> tuple[str, set[str]]:
    return report.verdict, {gate.name for gate in report.holding_up}


def evaluated(system: System) -> Report:
    """All gates of a run, up to its report."""
    work = handover(system)
    attempt = validated(work, drained(work, writes_stopped(work, begin(work))))
    return decide(work, attempt)[1]


# --- GO -----------------------------------------------------------------------------------


def test_a_cutover_drains_validates_switches_watches_and_retires_without_a_trace(
    system: System, readers: Receiver
) -> None:
    system.execute("UPDATE accounts SET owner = 'late' WHERE id = 3", "DELETE FROM accounts WHERE id = 1200")
    reports: list[Report] = []
    done: list[str] = []
    watched = run(
        handover(system),
        tell=lambda name, _: done.append(name),
        tell_report=lambda each: reports.append(each),
    )
    assert done == ["writes stopped", "drained", "validated", "switched"]
    assert [verdict(report) for report in (*reports, watched)] == [("GO", set()), ("GO", set())]
    assert steps(system) == ["started", "go", "switching", "switched", "watch-passed"]
    (told,) = readers.received
    assert (told["cutover"], told["direction"], told["tables"]) == (NAME, "switch", [ACCOUNTS])
    (window,) = reports[0].windows
    assert told["positions"] == {"app": str(window.last)}
    assert window.first <= window.last
    assert [(str(count.table), count.rows) for count in reports[0].tables] == [(ACCOUNTS, 1199)]
    assert reports[0].stop_writes == (), "writes are stopped"
    system.check(independently=True)

    finished = retire(handover(system), confirm=NAME)
    assert [line.split(" (")[0] for line in finished.removed] == [
        f"app: replication slot {system.catalog.source('app').slot_name}",
        f"app: publication {system.catalog.source('app').publication_name}",
        f"app: publication {system.catalog.source('app').publication_name}_append",
    ]
    assert on_server(system) == []
    assert steps(system)[-1] == "retired"
    table = system.catalog.tables[0].id
    assert sum(batch.num_rows for batch in read_table(system.store, table)) == 1199, "the history stays"
    assert sum(batch.num_rows for batch in system.target(table).read()) == 1199, "readers are there"
    with pytest.raises(CutoverError, match="retired"):
        run(handover(system))


def on_server(system: System) -> list[str]:
    query = (
        "SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database()"
        " UNION ALL SELECT pubname::text FROM pg_publication"
        " UNION ALL SELECT a.pid::text FROM pg_stat_replication JOIN pg_stat_activity a USING (pid)"
        " WHERE a.datname = current_database()"
    )
    with system.sql() as session:
        return [str(name) for (name,) in session.execute(query).fetchall()]


def test_a_cutover_goes_through_beside_a_continuous_capture(system: System, readers: Receiver) -> None:
    done = Event()
    with ThreadPoolExecutor(1) as pool:
        capturing = pool.submit(system.capture_until, done.is_set)
        try:
            system.execute("UPDATE accounts SET owner = 'late' WHERE id < 10")
            watched = run(handover(system))
        finally:
            done.set()
        capturing.result()
    assert verdict(watched) == ("GO", set())
    assert len(readers.received) == 1
    system.check()


def test_a_dry_run_says_go_and_leaves_no_trace(system: System, readers: Receiver) -> None:
    before = system.store.ledger("app").last()
    report = plan(handover(system))
    assert report.stage == "dry run"
    assert any(statement.startswith("REVOKE") for statement in report.stop_writes)
    held = {gate.name: gate.what for gate in report.holding_up}
    assert set(held) == {"writes stopped"}
    assert held["writes stopped"].startswith("171 changes of 1 table"), "those of the last minute"
    assert steps(system) == []
    assert readers.received == []
    assert system.store.ledger("app").last() == before
    (idle,) = [gate for gate in report.gates if gate.name == "validated against the source"]
    assert (idle.passed, idle.what) == (False, "3 of 3 id ranges not compared: no capture of app runs")
    assert "--capture" in idle.fix
    (compared,) = [
        gate
        for gate in plan(handover(system), capture=True).gates
        if gate.name == "validated against the source"
    ]
    assert (compared.passed, compared.what) == (True, "equal: 1,200 rows in 3 id ranges")


# --- NO-GO --------------------------------------------------------------------------------


def test_an_open_transaction_that_wrote_is_no_go(system: System, readers: Receiver) -> None:
    with psycopg.connect(system.dsn, application_name="shop api") as writing:
        writing.execute("UPDATE accounts SET balance = 0 WHERE id = 1")
        for report in (evaluated(system), plan(handover(system))):
            (gate,) = [each for each in report.gates if each.name == "writes stopped"]
            assert not gate.passed
            assert any(
                f"pid {writing.info.backend_pid}" in name and "shop api" in name for name, _ in gate.facts
            )
        with pytest.raises(CutoverError, match="NO-GO: writes stopped"):
            run(handover(system))
        writing.rollback()
    assert readers.received == []
    assert steps(system)[-1] == "no-go"


def test_writes_between_the_two_looks_are_no_go(system: System) -> None:
    work = handover(system)

    def write(_: float) -> None:
        system.execute("UPDATE accounts SET balance = balance + 1 WHERE id IN (1, 2)")

    attempt = writes_stopped(work, begin(work), wait=write)
    (gate, caught_up) = attempt.gates
    assert (gate.passed, caught_up.passed) == (False, True)
    assert gate.facts == ((f"changes of {ACCOUNTS}", 2),)


def test_writes_during_validation_are_no_go(system: System) -> None:
    work = handover(system)
    attempt = drained(work, writes_stopped(work, begin(work)))
    system.execute("DELETE FROM accounts WHERE id = 77")
    report = decide(work, validated(work, attempt))[1]
    assert "writes still stopped" in verdict(report)[1]


def test_a_prepared_transaction_is_no_go(tmp_path: Path, readers: Receiver) -> None:
    settings = {"max_prepared_transactions": "2"}
    with running_server(settings=settings) as server, fresh_database(server) as database:
        system = bank(database, tmp_path, switch=WebhookHook(readers.url), back=None)
        system.execute("BEGIN; DELETE FROM accounts WHERE id = 5; PREPARE TRANSACTION 'half'")
        report = evaluated(system)
        (gate,) = [each for each in report.gates if each.name == "writes stopped"]
        assert not gate.passed
        assert "prepared transaction 'half'" in gate.facts[0][0]
        assert "ROLLBACK PREPARED 'half';" in str(gate.facts[0][1])
        system.execute("ROLLBACK PREPARED 'half'")
        assert verdict(evaluated(system)) == ("GO", set())


def test_a_capture_that_does_not_get_on_is_no_go(system: System) -> None:
    (declared,) = system.catalog.cutovers
    hurried = System(
        replace(system.catalog, cutovers=(replace(declared, drain_seconds=0.5),)).validate(), system.dsn
    )
    system.execute("UPDATE accounts SET balance = 1 WHERE id = 9")
    with system.source.changes(
        [(table.id, table.schema) for table in system.tables()],
        epoch=1,
        after=system.store.ledger("app").last().commit,  # type: ignore[union-attr]
        upto=None,
        stop=lambda: False,
    ):
        report = evaluated(hurried)
    assert verdict(report) == ("NO-GO", {"captured", "projected", "validated"})
    assert "not looked at" in report.gates[-3].what
    assert verdict(evaluated(hurried)) == ("GO", set())


def test_a_row_planted_in_the_target_is_no_go(system: System, tmp_path: Path) -> None:
    work = handover(system)
    attempt = drained(work, writes_stopped(work, begin(work)))
    assert attempt.held == ""
    lake = next(DeltaTable(str(log.parent)) for log in (tmp_path / "lakehouse").rglob("_delta_log"))
    lake.update(updates={"owner": "'planted'"}, predicate="id = 12")
    report = decide(work, validated(work, attempt))[1]
    assert verdict(report) == ("NO-GO", {"validated against the event store"})
    dry = plan(work)
    assert {"projected", "validated against the event store"} <= verdict(dry)[1]
    assert verdict(evaluated(system)) == ("GO", set()), "an edited range is filled anew"
    table = system.catalog.tables[0].id
    owners = {owner for batch in system.target(table).read() for owner in batch["owner"].to_pylist()}
    assert "planted" not in owners


def _change_unseen(system: System) -> str:
    """Change a row while its table is not published; returns the publication's name."""
    publication = system.catalog.source("app").publication_name
    system.execute(
        f'ALTER PUBLICATION "{publication}" DROP TABLE ONLY accounts',
        "UPDATE accounts SET owner = 'unseen' WHERE id = 600",
        f'ALTER PUBLICATION "{publication}" ADD TABLE ONLY accounts',
    )
    return publication


def test_a_capture_that_refuses_is_no_go_with_its_reason(system: System) -> None:
    _change_unseen(system)
    report = evaluated(system)
    assert verdict(report)[0] == "NO-GO"
    (gate,) = (each for each in report.holding_up if each.name == "captured")
    assert "app" in gate.what
    assert "do not publish public.accounts, or did not all the time" in str(gate.facts)
    assert "load these tables again" in gate.fix


def test_a_row_that_was_changed_unseen_is_no_go(system: System, database: FreshDatabase) -> None:
    publication = _change_unseen(system)
    with psycopg.connect(database.dsn, autocommit=True) as session:
        # Nothing of what happened is left to see.
        found = find_publication(session, publication)
        assert found is not None
        record(session, publication, set(found.members))
    report = evaluated(system)
    assert verdict(report) == ("NO-GO", {"validated against the source"})
    (gate,) = report.holding_up
    assert [name for name, _ in gate.facts] == [f"{ACCOUNTS} r000001"]
    assert "1 differing" in str(gate.facts[0][1])


def test_an_open_dead_letter_and_a_suspended_table_are_no_go(system: System) -> None:
    table = system.catalog.tables[0].id
    letters = system.store.dead_letters("lake", table)
    now = dt.datetime.now(dt.UTC)
    letters.add("r000000", [Refusal('{"id": "4"}', Position(1, 4, 1), None, "too-large", "why")], now)
    for report in (evaluated(system), plan(handover(system))):
        assert "dead letters" in verdict(report)[1]
    letters.close(letters.open(), "discarded", now + dt.timedelta(seconds=1))
    letters.suspend("somebody said so", now)
    assert {"dead letters", "projected"} <= verdict(evaluated(system))[1]
    letters.resume(now + dt.timedelta(seconds=2))
    assert verdict(evaluated(system)) == ("GO", set())


def test_a_range_without_a_load_is_no_go(system: System) -> None:
    system.execute("ALTER TABLE accounts ADD COLUMN kind text DEFAULT 'private'")
    system.execute("UPDATE accounts SET kind = 'x' WHERE id = 1")
    report = evaluated(system)
    assert {"loaded", "projected"} <= verdict(report)[1]


def test_a_cutover_without_a_switch_is_no_go_and_one_without_a_way_back_is_told(system: System) -> None:
    (declared,) = system.catalog.cutovers
    bare = System(
        replace(system.catalog, cutovers=(replace(declared, switch=None, back=None),)).validate(), system.dsn
    )
    report = evaluated(bare)
    assert verdict(report) == ("NO-GO", {"switch"})
    assert {gate.name for gate in report.gates if not gate.passed} == {"switch", "way back"}


def test_before_anything_is_set_up_a_dry_run_says_so(database: FreshDatabase, tmp_path: Path) -> None:
    ready = bank(database, tmp_path, switch=None, back=None)
    ready.source.teardown()
    report = plan(handover(ready))
    assert {"set up", "switch"} == verdict(report)[1]


# --- the way back -------------------------------------------------------------------------


def test_a_hook_that_fails_takes_readers_back(system: System, readers: Receiver) -> None:
    readers.answer = 503
    with pytest.raises(HookFailed, match="answered 503; the way back failed too"):
        run(handover(system))
    assert steps(system)[-4:] == ["switching", "switch-failed", "going-back", "back-failed"]
    assert handover(system).log.history().unclear is not None
    assert [told["direction"] for told in readers.received] == ["switch", "back"]
    readers.answer = 200
    back(handover(system))
    assert steps(system)[-1] == "back"
    assert handover(system).log.history().unclear is None
    with pytest.raises(CutoverError, match="has not switched"):
        back(handover(system))


def test_after_a_failed_switch_and_a_good_way_back_readers_are_at_the_source(
    database: FreshDatabase, tmp_path: Path, readers: Receiver
) -> None:
    system = bank(
        database, tmp_path, switch=WebhookHook("http://127.0.0.1:9/no"), back=WebhookHook(readers.url)
    )
    with pytest.raises(HookFailed, match="readers were taken back to the source"):
        run(handover(system))
    assert [told["direction"] for told in readers.received] == ["back"]
    history = handover(system).log.history()
    assert (history.switched, history.unclear) == (None, None)


def test_readers_are_taken_back_after_a_switch_and_switched_again(system: System, readers: Receiver) -> None:
    run(handover(system))
    first = handover(system).log.history().switched
    back(handover(system))
    run(handover(system))
    second = handover(system).log.history().switched
    assert [told["direction"] for told in readers.received] == ["switch", "back", "switch"]
    assert first is not None
    assert second is not None
    assert first.attempt != second.attempt
    assert readers.received[1]["attempt"] == first.attempt


def test_without_a_way_back_it_is_noted_by_hand(
    database: FreshDatabase, tmp_path: Path, readers: Receiver
) -> None:
    system = bank(database, tmp_path, switch=WebhookHook(readers.url), back=None)
    run(handover(system))
    with pytest.raises(CutoverError, match="no way back is declared"):
        back(handover(system))
    back(handover(system), by_hand=True)
    assert handover(system).log.history().switched is None


# --- after the switch ---------------------------------------------------------------------


def test_a_write_after_the_switch_is_no_go_of_the_watch(system: System) -> None:
    def write(step: str, _: Attempt) -> None:
        if step == "switched":
            system.execute("UPDATE accounts SET balance = 0 WHERE id = 8")

    watched = run(handover(system), tell=write)
    assert verdict(watched) == ("NO-GO", {"no new writes at the source"})
    assert steps(system)[-1] == "watch-failed"
    with pytest.raises(CutoverError, match="did not pass"):
        retire(handover(system), confirm=NAME)


def test_two_runs_at_once_switch_once(system: System, readers: Receiver) -> None:
    work = handover(system)
    first = begin(work)
    first, report = decide(work, validated(work, drained(work, writes_stopped(work, first))))
    second = begin(work)
    with pytest.raises(CommitConflict, match="somebody else"):
        switch(work, first, report)
    assert readers.received == []
    second, report = decide(work, validated(work, drained(work, writes_stopped(work, second))))
    assert switch(work, second, report).switched_at is not None
    assert len(readers.received) == 1


KILLED = """
import pickle, sys
from replication_assets.flows.cutover.steps import run
from replication_assets_tests.e2e.cutovers import die, handover
run(handover(pickle.loads(bytes.fromhex(sys.argv[1]))), tell=lambda name, _: name == "switched" and die(None))
"""


def run_and_be_killed(system: System) -> None:
    """In a process of its own, killed in the hook or right after the switch."""
    arguments = [sys.executable, "-c", KILLED, pickle.dumps(system).hex()]
    killed = subprocess.run(arguments, env=os.environ, capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def test_a_run_killed_inside_the_hook_leaves_word_and_the_next_calls_it_again(
    system: System, readers: Receiver
) -> None:
    (declared,) = system.catalog.cutovers
    deadly = replace(declared, switch=PythonHook("replication_assets_tests.e2e.cutovers:die"))
    run_and_be_killed(System(replace(system.catalog, cutovers=(deadly,)).validate(), system.dsn))
    assert steps(system) == ["started", "go", "switching"]
    assert "readers may be on either side" in str(handover(system).log.history())
    reports: list[Report] = []
    assert run(handover(system), tell_report=reports.append).verdict == "GO"
    (told,) = [gate for gate in reports[0].gates if gate.name == "earlier attempt"]
    assert (told.passed, told.advisory) == (False, True)
    assert len(readers.received) == 1


def test_a_run_killed_after_the_switch_is_known_to_have_switched(system: System, readers: Receiver) -> None:
    run_and_be_killed(system)
    assert steps(system)[-1] == "switched"
    watched = run(handover(system))
    assert watched.stage == "watch"
    assert watched.verdict == "GO"
    assert len(readers.received) == 1, "the hook is not called again"
    assert handover(system).log.history().passed


def test_writes_between_a_killed_run_and_the_next_count(system: System) -> None:
    work = handover(system)
    attempt, report = decide(work, validated(work, drained(work, writes_stopped(work, begin(work)))))
    switch(work, attempt, report)
    system.execute("UPDATE accounts SET balance = 0 WHERE id = 8")
    assert verdict(run(handover(system))) == ("NO-GO", {"no new writes at the source"})


# --- retire -------------------------------------------------------------------------------


def test_retiring_wants_its_name_and_a_cutover_that_passed(system: System) -> None:
    with pytest.raises(CutoverError, match="not confirmed"):
        retire(handover(system), confirm="yes", force=True)
    with pytest.raises(CutoverError, match="did not pass"):
        retire(handover(system), confirm=NAME)
    assert system.source.remains()
    assert retire(handover(system), confirm=NAME, force=True).removed
    assert on_server(system) == []
    assert retire(handover(system), confirm=NAME).removed == ()


def test_a_source_that_others_need_is_not_retired(system: System, tmp_path: Path) -> None:
    run(handover(system))
    second = DeltaProjection("second", tables=(ACCOUNTS,), root=str(tmp_path / "second"))
    other = Cutover("other", projection="second")
    catalog = replace(
        system.catalog,
        projections=(*system.catalog.projections, second),
        cutovers=(*system.catalog.cutovers, other),
    )
    shared = System(catalog.validate(), system.dsn)
    with pytest.raises(CutoverError, match="needed by cutover other, projection second"):
        retire(handover(shared), confirm=NAME)
    assert system.source.remains()


def test_a_capture_that_reads_the_stream_holds_up_retiring(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication_assets.flows.cutover.retire.RELEASE_SECONDS", 0.5)
    run(handover(system))
    mark = system.store.ledger("app").last()
    assert mark is not None
    with system.source.changes(
        [(table.id, table.schema) for table in system.tables()],
        epoch=mark.epoch,
        after=mark.commit,
        upto=None,
        stop=lambda: False,
    ):
        with pytest.raises(SlotBusy, match="is read by pid"):
            retire(handover(system), confirm=NAME)
        retire(handover(system), confirm=NAME, force=True)
    assert on_server(system) == []
