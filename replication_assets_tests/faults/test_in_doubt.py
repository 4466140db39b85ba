"""Transactions that are neither committed nor rolled back while a load, a capture or a restart passes by.

A commit that waits for a standby is in the log and visible to nobody; a prepared one holds its rows for days.
A load must not lose such a row, and nothing may come twice.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psycopg
import pytest

from replication_assets.catalog import ByCount, Table
from replication_assets.core.schema import TableId
from replication_assets.errors import LoadBlocked
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.e2e.system import SOURCE, System, audit, check_changes, system_of, wait_for
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")


def bank(database: FreshDatabase, folder: Path) -> System:
    made = system_of(database, folder, [Table("app.public.t", id_ranges=ByCount(1))], load_wait=1)
    made.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1)")
    made.prepare()
    audit(made, "t")
    return made


def test_a_commit_in_doubt_during_a_load_is_not_lost(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    """Its record is in the log before any position that is read now, and nobody sees its row yet."""
    server = private_postgres({})
    server.create_database("bank")
    made = bank(FreshDatabase(server, "bank"), tmp_path)
    synchronous(server.dsn(), "ghost")
    in_doubt = made.sql(autocommit=False)
    in_doubt.execute("SET synchronous_commit = on")
    in_doubt.execute("INSERT INTO t VALUES (2, 2)")
    committing = threading.Thread(target=in_doubt.commit)
    committing.start()
    wait_for(made, "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    with pytest.raises(LoadBlocked, match="SyncRep"):
        made.load_all()
    made.capture()
    synchronous(server.dsn(), "")
    committing.join()
    in_doubt.close()
    made.load_all()
    made.execute("UPDATE t SET v = 3 WHERE id = 1")
    made.finish()
    assert made.in_projection(T) == {(1, 3): 1, (2, 2): 1}
    check_changes(made, T)


def synchronous(dsn: str, standby: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("SET synchronous_commit = local")
        session.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standby}'".encode())
        session.execute("SELECT pg_reload_conf()")
    time.sleep(0.3)


def prepared(system: System, name: str, *statements: str) -> None:
    with system.sql(autocommit=False) as session:
        for statement in statements:
            session.execute(statement.encode())
        session.execute(f"PREPARE TRANSACTION '{name}'".encode())


def test_a_prepared_transaction_is_named_by_a_load_and_comes_once_when_it_ends(
    database: FreshDatabase, tmp_path: Path
) -> None:
    """Captures pass it by, over and over, while others commit; one is committed then, one rolled back."""
    system = bank(database, tmp_path)
    system.load_all()
    kept, gone = f"{database.name}_kept", f"{database.name}_gone"
    prepared(system, kept, "INSERT INTO t VALUES (2, 2)", "UPDATE t SET v = 9 WHERE id = 1")
    prepared(system, gone, "INSERT INTO t VALUES (3, 3)")
    with pytest.raises(LoadBlocked, match=kept):
        system.load_all()
    for number in (4, 5):
        system.execute(f"INSERT INTO t VALUES ({number}, 0)")
        system.capture()
        system.project()
    assert set(system.in_projection(T)) == {(1, 1), (4, 0), (5, 0)}
    system.execute(f"COMMIT PREPARED '{kept}'", f"ROLLBACK PREPARED '{gone}'", "DELETE FROM t WHERE id = 4")
    system.finish()
    system.load_all()
    system.finish()
    assert set(system.in_projection(T)) == {(1, 9), (2, 2), (5, 0)}
    check_changes(system, T)


@pytest.mark.full
def test_prepared_transactions_outlive_a_killed_server(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    server = private_postgres({})
    server.create_database("bank")
    system = bank(FreshDatabase(server, "bank"), tmp_path)
    system.load_all()
    prepared(system, "kept", "INSERT INTO t VALUES (2, 2)")
    system.execute("INSERT INTO t VALUES (3, 3)")
    system.capture()
    server.kill()
    server.start()
    system.execute("INSERT INTO t VALUES (4, 4)")
    system.capture()
    system.execute("COMMIT PREPARED 'kept'")
    system.finish()
    check_changes(system, T)
