"""A slot that is gone is told, never papered over; a new epoch and new loads make everything right."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from replication_assets.catalog import ByCount, ByWidth, Table
from replication_assets.core.schema import TableId
from replication_assets.errors import NeedsReload, SlotLost
from replication_assets.flows.compare import source_position
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.e2e.system import SOURCE, System, system_of
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


@pytest.mark.parametrize("lose", [drop_the_slot, drop_and_create_the_slot, consume])
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


def test_prepare_says_that_the_slot_is_gone_instead_of_making_another(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = bank(database, tmp_path)
    drop_the_slot(system)
    with pytest.raises(SlotLost) as lost:
        system.prepare()
    assert "recover" in lost.value.fix


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
