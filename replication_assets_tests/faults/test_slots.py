"""A slot or a publication that is not as we left it is told, never papered over; new loads make all right."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from replication_assets.catalog import ByCount, ByWidth, Table
from replication_assets.core.schema import TableId
from replication_assets.errors import NeedsReload, SlotLost, SourceError, SourceNotReady
from replication_assets.flows.compare import source_position
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.e2e.system import SOURCE, System, system_of, wait_for
from replication_assets_tests.e2e.workers import capture_until_step, finish, start
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")


def bank(database: FreshDatabase, folder: Path) -> System:
    """Loaded, captured, projected; then changed, unseen."""
    made = system_of(
        database,
        folder,
        [
            Table("app.public.t", id_ranges=ByWidth(50)),
            Table("app.public.h", id_ranges=ByCount(1), append_only=True),
        ],
    )
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT i, 0 FROM generate_series(1, 120) i",
        "CREATE TABLE h (a int, b text)",
        "INSERT INTO h VALUES (1, 'x'), (1, 'x')",
    )
    made.prepare()
    made.load_all()
    made.execute("UPDATE t SET v = 1 WHERE id < 60", "INSERT INTO h VALUES (2, 'y')")
    made.capture()
    made.project()
    return made


def drop_the_slot(system: System) -> None:
    with system.sql() as session:
        session.execute("SELECT pg_drop_replication_slot(%s)", (system.catalog.sources[0].slot_name,))


def drop_and_create_the_slot(system: System) -> None:
    """As a restore or an operator may: everything looks well, and changes are missing."""
    drop_the_slot(system)
    system.execute("UPDATE t SET v = 50 WHERE id = 1")
    with system.sql() as session:
        name = system.catalog.sources[0].slot_name
        session.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))


def consume(system: System) -> None:
    """Someone else reads our slot."""
    source = system.catalog.sources[0]
    system.execute("UPDATE t SET v = 50 WHERE id = 1")
    with system.sql() as session:
        session.execute(
            "SELECT count(*) FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL,"
            " 'proto_version', '1', 'publication_names', %s)",
            (source.slot_name, source.publication_name),
        )
    system.execute("UPDATE t SET v = 51 WHERE id = 1")


@pytest.mark.parametrize(
    "lose",
    [
        drop_and_create_the_slot,
        pytest.param(drop_the_slot, marks=pytest.mark.full),
        pytest.param(consume, marks=pytest.mark.full),
    ],
)
def test_a_lost_slot_stops_capture_until_recovered_and_loaded_again(
    database: FreshDatabase, tmp_path: Path, lose: Callable[[System], None]
) -> None:
    system = bank(database, tmp_path)
    before = {each.id: system.in_store(each.id) for each in system.tables()}
    reached = source_position(system.source, system.store)
    lose(system)
    system.execute("UPDATE t SET v = 2 WHERE id > 100", "DELETE FROM t WHERE id = 5", "DELETE FROM h")
    with pytest.raises(SlotLost) as lost:
        system.capture()
    assert "again" in lost.value.fix
    assert {each.id: system.in_store(each.id) for each in system.tables()} == before
    epoch = system.recover().epoch
    assert epoch == 2
    system.execute("UPDATE t SET v = 3 WHERE id = 110")
    system.capture()
    for table in system.tables():
        with pytest.raises(NeedsReload):
            system.project(table)
    system.load_all()
    system.execute("UPDATE t SET v = 4 WHERE id = 111", "INSERT INTO h VALUES (3, 'z')")
    system.finish()
    # The history before the loss is still there, as it was.
    assert {each.id: system.in_store(each.id, as_of=reached) for each in system.tables()} == before


@pytest.mark.full
def test_prepare_says_that_the_slot_is_gone_instead_of_making_another(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = bank(database, tmp_path)
    drop_the_slot(system)
    with pytest.raises(SlotLost) as lost:
        system.prepare()
    assert "recover" in lost.value.fix


@pytest.mark.full
def test_a_slot_that_the_server_gave_up_is_told_and_recovered(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    server = private_postgres(
        {"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    )
    server.create_database("bank")
    system = bank(FreshDatabase(server, "bank"), tmp_path)
    system.execute("CREATE TABLE filler (x text)")
    deadline = time.monotonic() + 60
    while system.source.status().state not in ("lost", "unreserved"):
        assert time.monotonic() < deadline
        system.execute(
            "INSERT INTO filler SELECT repeat(md5(i::text), 30) FROM generate_series(1, 20000) i",
            "SELECT pg_switch_wal()",
            "CHECKPOINT",
        )
    system.execute("UPDATE t SET v = 2 WHERE id = 7")
    system.execute("CHECKPOINT")
    with pytest.raises(SlotLost) as lost:
        system.capture()
    assert "again" in lost.value.fix
    system.recover()
    system.load_all()
    system.execute("UPDATE t SET v = 3 WHERE id = 8")
    system.finish()


@pytest.mark.full
def test_a_slot_dropped_under_a_running_capture_ends_it_and_the_next_one_tells(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = bank(database, tmp_path)
    slot = system.catalog.sources[0].slot_name
    running = start(capture_until_step, system, tmp_path / "never")
    wait_for(system, f"SELECT FROM pg_replication_slots WHERE slot_name = '{slot}' AND active")
    with system.sql() as session:
        session.execute(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = %s",
            (slot,),
        )
        session.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
    finish(running, exitcode=1)
    system.execute("DELETE FROM t WHERE id = 5")
    with pytest.raises(SlotLost):
        system.capture()
    system.recover()
    system.load_all()
    system.finish()


# --- publications ------------------------------------------------------------------------


def changed_unseen(*statements: str) -> tuple[str, ...]:
    return (statements[0], "UPDATE t SET v = 9 WHERE id > 100", "DELETE FROM t WHERE id = 5", *statements[1:])


MEDDLING = {
    "taken out and put back": changed_unseen(
        "ALTER PUBLICATION {} DROP TABLE t", "ALTER PUBLICATION {} ADD TABLE ONLY t"
    ),
    "taken out": changed_unseen("ALTER PUBLICATION {} DROP TABLE t"),
    "dropped": changed_unseen("DROP PUBLICATION {}"),
    "dropped and made again": changed_unseen("DROP PUBLICATION {}", "CREATE PUBLICATION {} FOR TABLE ONLY t"),
    "fewer operations": changed_unseen("ALTER PUBLICATION {} SET (publish = 'insert')"),
    "fewer operations for a while": changed_unseen(
        "ALTER PUBLICATION {} SET (publish = 'insert')",
        "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')",
    ),
    "a row filter": changed_unseen("ALTER PUBLICATION {} SET TABLE ONLY t WHERE (id < 3)"),
    "a row filter for a while": changed_unseen(
        "ALTER PUBLICATION {} SET TABLE ONLY t WHERE (id < 3)", "ALTER PUBLICATION {} SET TABLE ONLY t"
    ),
    "a list of columns": changed_unseen("ALTER PUBLICATION {} SET TABLE ONLY t (id)"),
    "called otherwise for a while": changed_unseen(
        "ALTER PUBLICATION {} RENAME TO another", "ALTER PUBLICATION another RENAME TO {}"
    ),
}
SHORT = ("taken out and put back",)


@pytest.mark.parametrize(
    "meddling", [each if each in SHORT else pytest.param(each, marks=pytest.mark.full) for each in MEDDLING]
)
def test_a_publication_that_left_changes_out_stops_capture_until_set_up_and_loaded_again(
    database: FreshDatabase, tmp_path: Path, meddling: str
) -> None:
    system = bank(database, tmp_path)
    publication = f'"{system.catalog.sources[0].publication_name}"'
    system.execute(*(each.format(publication) for each in MEDDLING[meddling]))
    before = {each.id: system.in_store(each.id) for each in system.tables()}
    with pytest.raises(SourceNotReady, match=r"do not publish public\.t, or") as told:
        system.capture()
    assert "load these tables again" in told.value.fix
    assert {each.id: system.in_store(each.id) for each in system.tables()} == before
    set_up_and_loaded_again(system)


def set_up_and_loaded_again(system: System) -> None:
    """Until it is loaded the table is refused; the other one, whose changes all came, is not."""
    system.prepare()
    system.execute("UPDATE t SET v = 10 WHERE id = 110")
    system.capture()
    with pytest.raises(NeedsReload, match="not captured for a while"):
        system.project(system.table("t"))
    system.project(system.table("h"))
    system.load(system.table("t"))
    system.execute("UPDATE t SET v = 4 WHERE id = 111", "INSERT INTO h VALUES (3, 'z')")
    system.finish()


@pytest.mark.full
def test_a_setup_that_died_before_it_told_of_the_gap_is_done_again(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = bank(database, tmp_path)
    publication = f'"{system.catalog.sources[0].publication_name}"'
    system.execute(*(each.format(publication) for each in MEDDLING["taken out and put back"]))
    tables = [(each.id, each.schema) for each in system.tables()]
    assert system.source.setup(tables).added == (T,)
    with pytest.raises(SourceNotReady):
        system.capture()
    set_up_and_loaded_again(system)


@pytest.mark.full
def test_a_setup_that_finds_everything_as_it_left_it_demands_nothing(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = bank(database, tmp_path)
    system.prepare()
    system.execute("VACUUM (FULL, FREEZE) pg_publication", "VACUUM (FULL, FREEZE) pg_publication_rel")
    system.prepare()
    system.execute("DELETE FROM t WHERE id = 5")
    system.finish()


@pytest.mark.full
def test_a_table_taken_out_under_a_running_capture_ends_it(database: FreshDatabase, tmp_path: Path) -> None:
    system = bank(database, tmp_path)
    running = start(capture_until_step, system, tmp_path / "never")
    slot = system.catalog.sources[0].slot_name
    wait_for(system, f"SELECT FROM pg_replication_slots WHERE slot_name = '{slot}' AND active")
    time.sleep(1)
    publication = f'"{system.catalog.sources[0].publication_name}"'
    system.execute(*(each.format(publication) for each in MEDDLING["taken out and put back"]))
    finish(running, exitcode=1)
    with pytest.raises(SourceError):
        system.capture()
    set_up_and_loaded_again(system)
