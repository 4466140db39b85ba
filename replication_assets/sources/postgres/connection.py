"""Sessions to a PostgreSQL server, all with one canonical output format.

A load reads values through one kind of session and capture through another (a walsender).
Both print a value the same way only if the settings that shape output are the same, so
they are start-up options of every session and are never changed afterwards.

Errors of the drivers are translated here and nowhere else. Only a message's first line is
passed on, and not even that for data exceptions: DETAIL, CONTEXT and "invalid input" lines
quote cell values.
"""

from __future__ import annotations

import re
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import adbc_driver_manager
import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq.abc import PGconn, PGresult

from replication_assets.errors import (
    LoadBlocked,
    SlotBusy,
    SlotLost,
    SourceError,
    SourceNotReady,
    SourceUnavailable,
)
from replication_assets.secret_references import Secret, SecretReference, login_secret
from replication_assets.sources.postgres.diagnosis import diagnose
from replication_assets.sources.postgres.silence import Silence, WatchedSession

if TYPE_CHECKING:
    import adbc_driver_postgresql.dbapi

CANONICAL_SETTINGS = (
    ("DateStyle", "ISO,YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("quote_all_identifiers", "off"),
    ("standard_conforming_strings", "on"),
    ("search_path", "pg_catalog"),
    # A policy that hides rows from us must fail the read, not shorten it.
    ("row_security", "off"),
    ("idle_in_transaction_session_timeout", "0"),
    # A database whose writes were stopped, for a cutover, still lets its capture be removed.
    ("default_transaction_read_only", "off"),
)
"""Settings of every session. `search_path` also decides how type and object names print."""

STATEMENT_TIMEOUT = "60s"
"""For catalog reads and DDL. Loads and the change stream run as long as they must."""


@dataclass(frozen=True, slots=True)
class PostgresConnection:
    """Where a database is and who reads it. The password is in no repr and no message.

    Give it as a reference: it is then resolved for each session, and a pickle of the
    connection (for another process) holds the reference only.
    """

    host: str
    database: str
    user: str
    password: SecretReference | Secret | str | None = field(default=None, repr=False)
    port: int = 5432
    sslmode: str = "prefer"
    sslrootcert: str | None = None
    connect_timeout: int = 10
    application_name: str = "replication_assets"

    @classmethod
    def parse(cls, dsn: str, **replace: Any) -> PostgresConnection:
        """From a libpq URI or keyword string; parts that it leaves out keep the defaults."""
        parts: dict[str, Any] = {**conninfo_to_dict(dsn), **replace}
        names = {"dbname": "database"}
        known = {names.get(key, key): value for key, value in parts.items()}
        unknown = set(known) - set(cls.__slots__)
        if unknown:
            raise ValueError(f"connection parameters {sorted(unknown)} are not supported")
        for name in ("port", "connect_timeout"):
            if name in known:
                known[name] = int(known[name])
        known.setdefault("host", "localhost")
        known.setdefault("user", "postgres")
        known.setdefault("database", known["user"])
        return cls(**known)

    def conninfo(self, *, statement_timeout: str = "0", lock_timeout: str = "30s", **extra: str) -> str:
        """The libpq connection string. It holds the password: pass it on, never keep it."""
        settings = (
            *CANONICAL_SETTINGS,
            ("statement_timeout", statement_timeout),
            ("lock_timeout", lock_timeout),
        )
        return make_conninfo(
            host=self.host,
            port=self.port,
            dbname=self.database,
            user=self.user,
            password=self._password(),
            sslmode=self.sslmode,
            sslrootcert=self.sslrootcert,
            connect_timeout=self.connect_timeout,
            application_name=self.application_name,
            client_encoding="UTF8",
            keepalives=1,
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            # Keep-alives are not sent while bytes of ours wait for their acknowledgement.
            tcp_user_timeout=60_000,
            options=" ".join(f"-c {name}={value}" for name, value in settings),
            **extra,
        )

    def _password(self) -> str | None:
        return login_secret(self.password, self.where)

    @property
    def where(self) -> str:
        """For messages: which database, without how to get in."""
        return f"postgresql {self.host}:{self.port}/{self.database}"


def connect(
    connection: PostgresConnection, *, statement_timeout: str = STATEMENT_TIMEOUT
) -> psycopg.Connection[tuple[Any, ...]]:
    """A session for catalog reads and small statements, in autocommit."""
    with source_errors(connection.where):
        session = WatchedSession.connect(
            connection.conninfo(statement_timeout=statement_timeout), autocommit=True, prepare_threshold=None
        )
    session.watch(connection)
    return session


def connect_replication(connection: PostgresConnection) -> PGconn:
    """A walsender session bound to the database: replication commands and plain SQL."""
    # Creating a slot waits for transactions through locks; how long is the caller's choice.
    session = pq.PGconn.connect(connection.conninfo(lock_timeout="0", replication="database").encode())
    if session.status != pq.ConnStatus.OK:
        message = session.get_error_message()
        session.finish()
        raise source_error(None, message, connection.where)
    return session


def run_command(session: PGconn, command: str, connection: PostgresConnection) -> PGresult:
    """One command of a walsender session; a result that is no error."""
    silence = Silence(connection, session.backend_pid)
    with source_errors(connection.where):
        session.send_query(command.encode())
        result = result_until(session, None, silence)
    if result is None:
        raise SourceUnavailable("the connection was lost", where=connection.where)
    check_result(result, connection.where)
    # The end of the answer; the stream itself, where one begins, is no further result.
    with source_errors(connection.where):
        while result.status != pq.ExecStatus.COPY_BOTH:
            if result_until(session, None, silence) is None:
                break
    return result


def result_until(session: PGconn, deadline: float | None, silence: Silence | None) -> PGresult | None:
    """What was asked last, once it is all here; None at the deadline, or if the server hung up."""
    while session.is_busy():
        remaining = 1.0 if deadline is None else deadline - time.monotonic()
        if remaining <= 0:
            return None
        readable, _, _ = select.select([session.socket], [], [], min(remaining, 1.0))
        if readable:
            session.consume_input()
        elif silence is not None:
            silence.check()
    return session.get_result()


_DRIVERS: dict[tuple[str, int], adbc_driver_manager.AdbcDatabase] = {}
"""The Arrow driver by server, with the catalog of types that it reads before its first session: 45 ms of
CPU, more than a small range takes to load. We ask for built-in types only, which have the same ids in all
databases of a server. Holds no session and no login."""

_MOST_DRIVERS = 8


def connect_adbc(connection: PostgresConnection) -> adbc_driver_postgresql.dbapi.Connection:
    """A session that streams query results as Arrow, of built-in types. The first statement opens a
    transaction."""
    # Brings pandas and polars along where they are installed: most of the time that a program
    # which only looks at a source would take to start.
    import adbc_driver_postgresql.dbapi

    conninfo, server = connection.conninfo(), (connection.host, connection.port)
    with source_errors(connection.where):
        # Whoever comes while another one connects takes a driver of its own.
        driver = _DRIVERS.pop(server, None) or adbc_driver_postgresql.connect(conninfo)
        try:
            driver.set_options(uri=conninfo)
            session = adbc_driver_manager.AdbcConnection(driver)
        finally:
            driver.set_options(uri="")
    while len(_DRIVERS) >= _MOST_DRIVERS:
        _DRIVERS.pop(next(iter(_DRIVERS), server), None)
    _DRIVERS[server] = driver
    return adbc_driver_postgresql.dbapi.Connection(_Staying(), session)


class _Staying:
    """What a session may close: nothing, as its driver serves others."""

    def close(self) -> None:
        return


@contextmanager
def source_errors(where: str) -> Iterator[None]:
    """Turn driver errors into the project's. The driver's own is not chained: its text and
    its diagnostics may hold cell values."""
    try:
        yield
    except psycopg.Error as error:
        raise source_error(error.sqlstate, error.diag.message_primary or str(error), where) from None
    except adbc_driver_manager.Error as error:
        raise source_error(error.sqlstate, _server_message(str(error)), where) from None


def check_result(result: PGresult, where: str) -> None:
    """Raise if a `pq` command failed."""
    if result.status in (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE):
        sqlstate = result.error_field(pq.DiagnosticField.SQLSTATE)
        primary = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
        message = primary.decode() if primary else result.get_error_message()
        raise source_error(sqlstate.decode() if sqlstate else None, message, where)


_NOT_READY_CLASSES = ("0A", "22", "23", "28", "3D", "3F", "42", "55")
_UNAVAILABLE_CLASSES = ("08", "53", "57", "40")
_AT_CONNECT_CLASSES = ("08", "28", "3D", "53", "57")
_NO_REPLICATION = ("start walsender", "start WAL sender")
_LOST_SLOT = re.compile(
    r"replication slot .* does not exist|can no longer (get changes|access)"
    r"|cannot read from logical replication slot"
)


def source_error(sqlstate: str | None, message: str, where: str) -> SourceError:
    """The project's error for a server's SQLSTATE and primary message."""
    text = _first_line(message)
    state = sqlstate or ""
    if _LOST_SLOT.search(text):
        return SlotLost(text, where=where, fix="recreate the slot (setup) and load every id range again")
    if state == "55006" and "slot" in text:
        return SlotBusy(text, where=where, fix="stop the other capture of this source")
    if state[:2] in ("22", "23"):
        return SourceError(f"the server refused a value (SQLSTATE {state})", where=where)
    if state == "55P03":
        return LoadBlocked(text, where=where, fix="let the transaction that holds the lock end, then retry")
    if state == "42501":
        return SourceNotReady(text, where=where, fix="grant the missing privilege to the connecting role")
    if any(words in text for words in _NO_REPLICATION):
        fix = "ALTER ROLE the connecting role REPLICATION (on Amazon RDS and Aurora: GRANT rds_replication)"
        return SourceNotReady(text, where=where, fix=fix)
    known = diagnose(text) if not state or state[:2] in _AT_CONNECT_CLASSES else None
    fix = known.fix if known is not None else ""
    if state[:2] in _NOT_READY_CLASSES or (known is not None and known.lasting):
        return SourceNotReady(text, where=where, fix=fix)
    if not state or state[:2] in _UNAVAILABLE_CLASSES:
        fix = fix or "check that the server runs and accepts connections"
        return SourceUnavailable(text, where=where, fix=fix)
    return SourceError(f"{text} (SQLSTATE {state})", where=where)


def _first_line(message: str) -> str:
    lines = message.strip().splitlines()
    if len(lines) > 1 and lines[0].startswith("Multiple connection attempts failed"):
        # A name with several addresses; the last one tried is as good as any.
        return lines[-1].strip(" -\t")
    return lines[0].strip() if lines else "the connection was lost"


def _server_message(message: str) -> str:
    """The server's own line out of an ADBC message, which quotes DETAIL and CONTEXT as well."""
    match = re.search(r"(?:ERROR|FATAL|PANIC):\s+(.*)", message)
    return match.group(1) if match else _first_line(message)
