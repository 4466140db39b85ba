"""Real MariaDB servers for the tests: started once, gone at the end, whatever happens.

The server is a child of ours with a data directory and a port of its own, on the loopback address
only; its superuser has no password. It never touches the service or the data of a MariaDB that
the machine has.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql

from replication_assets.demo.child_processes import ends_with_parent, free_port
from replication_assets.demo.postgres_binaries import Account, account

HOST = "127.0.0.1"
SUPERUSER = "root"
START_SECONDS = 60
STOP_SECONDS = 20
PORT_ATTEMPTS = 5

# Small and not durable: several servers live side by side on a busy machine.
SETTINGS: Mapping[str, str] = {
    "bind-address": HOST,
    "innodb-buffer-pool-size": "48M",
    "innodb-log-file-size": "16M",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-flush-method": "nosync",
    "innodb-fast-shutdown": "2",
    # One file for all tables: making and dropping one costs no file.
    "innodb-file-per-table": "OFF",
    "sync-frm": "OFF",
    "key-buffer-size": "1M",
    # An internal temporary row of 200 texts pins 1.6 MiB of it, and waits for ever for what is not there.
    "aria-pagecache-buffer-size": "8M",
    "performance-schema": "OFF",
    # What the target asks of a session must not depend on what the server happens to have.
    "sql-mode": "",
    "character-set-server": "latin1",
    "default-time-zone": "+05:30",
}

BINLOG_SETTINGS: Mapping[str, str] = {
    "log-bin": "binlog",
    "server-id": "7",
    "binlog-format": "ROW",
    "binlog-row-image": "FULL",
    "binlog-row-metadata": "FULL",
    "sync-binlog": "0",
    # Rows of several network packets.
    "max-allowed-packet": "64M",
}
"""What a source needs beside; changed by a test on a server of its own."""


@dataclass(frozen=True, slots=True)
class MariaDbServer:
    port: int
    host: str = HOST
    user: str = SUPERUSER

    def connect(self, **settings: object) -> pymysql.connections.Connection:
        """As superuser unless told otherwise, committing every statement."""
        login = {"host": self.host, "port": self.port, "user": self.user, **settings}
        found: pymysql.connections.Connection = pymysql.connect(charset="utf8mb4", autocommit=True, **login)
        return found


@dataclass(frozen=True, slots=True)
class MariaDbPrefix:
    """Databases of one test: those whose name begins with `prefix`."""

    server: MariaDbServer
    prefix: str

    def databases(self) -> tuple[str, ...]:
        with closing(self.server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW DATABASES")
            return tuple(name for (name,) in cursor.fetchall() if name.startswith(self.prefix))


@contextmanager
def running_mariadb(settings: Mapping[str, str] | None = None) -> Iterator[MariaDbServer]:
    """A server with a data directory of its own, deleted at the end."""
    # pytest's own temporary directories are closed to the account that a server of root runs under.
    home = Path(tempfile.mkdtemp(prefix="replication-assets-mariadb-"))
    home.chmod(0o755)
    runs_as = account()
    data = home / "data"
    data.mkdir(mode=0o700)
    runs_as.owns(data)
    try:
        _initialise(data, runs_as)
        process, port = _started(home, data, runs_as, {**SETTINGS, **(settings or {})})
        try:
            yield MariaDbServer(port)
        finally:
            _end(process)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def fresh_prefix(server: MariaDbServer) -> Iterator[MariaDbPrefix]:
    """A prefix that no database has yet; databases with it are dropped at the end."""
    fresh = MariaDbPrefix(server, f"t{uuid.uuid4().hex[:8]}_")
    try:
        yield fresh
    finally:
        with closing(server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            for name in fresh.databases():
                cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")


def _initialise(data: Path, runs_as: Account) -> None:
    command = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db"]
    command += ["--auth-root-authentication-method=normal", "--innodb-log-file-size=16M"]
    done = subprocess.run(
        command,
        user=runs_as.name,
        group=runs_as.group,
        extra_groups=runs_as.groups,
        env=_environment(),
        cwd="/",
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")


def _started(
    home: Path, data: Path, runs_as: Account, settings: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    log_file = home / "log"
    # Between finding a free port and using it, another program may take it.
    for _ in range(PORT_ATTEMPTS):
        port = free_port(HOST)
        command = ["mariadbd", "--no-defaults", f"--datadir={data}", f"--port={port}"]
        command += [f"--socket={data / 'socket'}", f"--pid-file={data / 'pid'}", f"--tmpdir={data}"]
        command += [f"--{name}={value}" for name, value in settings.items()]
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                command,
                user=runs_as.name,
                group=runs_as.group,
                extra_groups=runs_as.groups,
                env=_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=ends_with_parent(signal.SIGKILL),
            )
        if _accepts_connections(process, port, data):
            return process, port
        _end(process)
    raise AssertionError(f"MariaDB did not start: {log_file.read_text(errors='replace')[-3000:]}")


def _accepts_connections(process: subprocess.Popen[bytes], port: int, data: Path) -> bool:
    """Whether our own server answers; False when it gives up, as when the port was taken."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with closing(MariaDbServer(port).connect()) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT @@datadir")
                (found,) = cursor.fetchone() or ("",)
        except pymysql.err.OperationalError:
            time.sleep(0.05)
            continue
        return Path(str(found)) == data
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    """Only what the programs need: a variable for a client or a server would override our arguments."""
    return {"PATH": f"{os.defpath}:/usr/sbin:/usr/local/sbin:/usr/libexec", "LC_ALL": "C"}
