"""Nothing of ours changes while others write: the slot follows all the same, and the log is recycled."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets.catalog import ByCount, Table
from replication_assets.flows.capture import FlushPolicy
from replication_assets.flows.prepare import last_mark
from replication_assets.sources.postgres.lsn import parse_lsn
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

FILL = "INSERT INTO theirs SELECT repeat(md5(i::text), 20) FROM generate_series(1, 3000) i"


def bank(database: FreshDatabase, folder: Path) -> System:
    made = system_of(database, folder, [Table("app.public.t", id_ranges=ByCount(1))])
    made.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1)")
    made.execute("CREATE TABLE theirs (x text)")
    made.prepare()
    made.load_all()
    made.capture()
    return made


def slot(system: System, what: str) -> str:
    with system.sql() as session:
        query = f"SELECT ({what})::text FROM pg_replication_slots WHERE slot_name = %s"
        row = session.execute(query.encode(), (system.catalog.sources[0].slot_name,)).fetchone()
    assert row is not None
    return str(row[0])


def follows(system: System) -> None:
    """The slot is past what others wrote, and never past what our ledger says."""
    confirmed = parse_lsn(slot(system, "confirmed_flush_lsn"))
    mark = last_mark(system.source, system.store.ledger(SOURCE))
    assert confirmed <= mark.commit + 1


def test_each_micro_batch_moves_the_slot_past_what_others_wrote(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = bank(database, tmp_path)
    for _ in range(2):
        before = parse_lsn(slot(system, "pg_current_wal_lsn()"))
        system.execute(FILL)
        system.capture()
        assert parse_lsn(slot(system, "confirmed_flush_lsn")) > before
        follows(system)
    system.execute("UPDATE t SET v = 2")
    system.finish()


@pytest.mark.full
def test_a_continuous_capture_lets_the_log_be_recycled(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    """Segments that were written since are gone from the disk, although no change of ours came."""
    server = private_postgres({"min_wal_size": "32MB", "max_wal_size": "32MB"})
    server.create_database("bank")
    system = bank(FreshDatabase(server, "bank"), tmp_path)
    turns = iter(range(400))

    def stop() -> bool:
        turn = next(turns, None)
        if turn is not None and turn % 2 == 0:
            system.execute(FILL, "SELECT pg_switch_wal()")
        return turn is None or turn > 24

    first = slot(system, "pg_walfile_name(restart_lsn)")
    system.capture(upto=2**62, stop=stop, policy=FlushPolicy(seconds=0.2, idle_seconds=0.5))
    system.execute("CHECKPOINT")
    system.capture()
    system.execute("CHECKPOINT")
    follows(system)
    with system.sql() as session:
        kept = {name for (name,) in session.execute("SELECT name FROM pg_ls_waldir()")}
    assert first not in kept
    assert slot(system, "pg_walfile_name(restart_lsn)") > first
    system.execute("UPDATE t SET v = 2")
    system.finish()
