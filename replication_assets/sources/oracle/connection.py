"""Sessions with an Oracle database through the driver's thin mode, all with the same settings.

What shapes the text of a value (time zone, calendar, number and date formats) and how text compares is set
for each session and never changed after: the values of a server, and of the environment, are not used.

Errors of the driver are translated here and nowhere else. Messages of the server are dropped, since many
quote values; what is told is the number, what it means, and what mends it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import oracledb
import pyarrow as pa

from replication_assets.core.logins import oracle_parameters
from replication_assets.core.oracle_driver import (
    BLOCKED,
    LOGIN_MEANINGS,
    PASSING,
    SEVERED,
    code_of,
    number_of,
    told,
)
from replication_assets.errors import (
    LoadBlocked,
    SlotLost,
    SourceError,
    SourceNotReady,
    SourceUnavailable,
)
from replication_assets.secret_references import Secret, SecretReference, login_secret
from replication_assets.sources.oracle.sessions import NO_BINDS, STATEMENT_SECONDS, Binds, Row, Session
from replication_assets.sources.oracle.statements.rows import SESSION_SETTINGS


@dataclass(frozen=True, slots=True)
class OracleConnection:
    """Where a database is and who reads it. Secrets are in no repr and no message.

    `service` is that of the database, a pluggable one included. `log_service` is that of the root of its
    container, where LogMiner must run in it (before 19.10); None for `service`. With `tls` the connection
    is encrypted and the server's certificate verified: by the system's authorities, or by `wallet`, a
    folder with an `ewallet.pem`, which may hold a certificate of ours as well.
    """

    host: str
    service: str
    user: str
    password: SecretReference | Secret | str | None = field(default=None, repr=False)
    port: int = 1521
    tls: bool = False
    wallet: str | None = None
    wallet_password: SecretReference | Secret | str | None = field(default=None, repr=False)
    server_name: str | None = None
    log_service: str | None = None
    connect_timeout: int = 10

    @property
    def where(self) -> str:
        """For messages: which database, without how to get in."""
        return f"oracle {self.host}:{self.port}/{self.service}"

    def open(self, *, statement_seconds: int = STATEMENT_SECONDS, log: bool = False) -> Session:
        service = self.log_service or self.service if log else self.service
        with driver_errors(self.where):
            connection = oracledb.connect(**self.parameters(service))
            try:
                session = DriverSession(connection, self.where)
                for setting in SESSION_SETTINGS:
                    session.run(setting)
                connection.call_timeout = statement_seconds * 1000
            except BaseException:
                _leave(connection)
                raise
        return session

    def secret(self) -> str | None:
        """The password. Pass it on, never keep it."""
        return login_secret(self.password, self.where)

    def parameters(self, service: str) -> dict[str, Any]:
        """The driver's parameters, secrets among them: pass them on, never keep them."""
        return oracle_parameters(
            self.host,
            self.port,
            service,
            self.user,
            self.secret(),
            tls=self.tls,
            wallet=self.wallet,
            wallet_password=login_secret(self.wallet_password, self.where)
            if self.wallet is not None
            else None,
            server_name=self.server_name,
            connect_timeout=self.connect_timeout,
        )


class DriverSession:
    """See `sessions.Session`. Large objects come as values: never a locator, which is read row by row."""

    def __init__(self, connection: oracledb.Connection, where: str) -> None:
        self._connection, self.where = connection, where

    def rows(self, statement: str, binds: Binds = NO_BINDS) -> list[Row]:
        with driver_errors(self.where), self._connection.cursor() as cursor:
            cursor.execute(statement, dict(binds), fetch_lobs=False, fetch_decimals=False)
            return list(cursor.fetchall())

    def frames(self, statement: str, binds: Binds = NO_BINDS, size: int = 10_000) -> Iterator[pa.RecordBatch]:
        with driver_errors(self.where):
            for frame in self._connection.fetch_df_batches(
                statement, dict(binds), size=size, fetch_decimals=True
            ):
                yield from pa.table(frame).to_batches()

    def run(self, statement: str, binds: Binds = NO_BINDS) -> None:
        with driver_errors(self.where), self._connection.cursor() as cursor:
            cursor.execute(statement, dict(binds))

    def number(self, statement: str, out: str, binds: Binds = NO_BINDS) -> int:
        with driver_errors(self.where), self._connection.cursor() as cursor:
            told = cursor.var(int)
            cursor.execute(statement, {**binds, out: told})
            return int(told.getvalue())

    def close(self) -> None:
        _leave(self._connection)


def _leave(connection: oracledb.Connection) -> None:
    try:
        connection.close()
    except oracledb.Error:
        # It is gone already, which is what was asked for.
        return


# --- errors ---------------------------------------------------------------------------------

_NOT_READY = frozenset(
    {900, 903, 904, 942, 980, 1017, 1031, 1039, 1045, 1219, 1720, 1950, 4043, 4063, 6550, 28000, 28001}
    | {28002, 65050, 38104, 39165}
)
_LOST_LOG = frozenset({1284, 1285, 1289, 1290, 1291, 1292, 1346, 308, 310, 313, 327, 334, 7445, 1333})
_SCN_TOO_OLD = 30052

_MEANINGS = LOGIN_MEANINGS | {
    54: ("the table is locked", "let the statement that holds it end, then retry"),
    904: ("a column is not there", "read the table's schema again"),
    942: ("a table or view is not there, or not granted", "GRANT READ on it to the connecting account"),
    1031: ("a privilege is missing", "run `check`: it names the grant"),
    1291: ("a file of the redo log is missing", "restore it from the backup, or load every id range again"),
    1466: ("the table was altered after the SCN that it was to be read as of", "load again"),
    1555: (
        "undo of the rows was overwritten while they were read (snapshot too old)",
        "raise UNDO_RETENTION (and the undo tablespace, with RETENTION GUARANTEE), or cut smaller id ranges",
    ),
    8103: ("the table was emptied or moved while it was read", "load again"),
    22924: (
        "an old version of a large object was overwritten while it was read (snapshot too old)",
        "raise the RETENTION of the LOB segment, or cut smaller id ranges",
    ),
    _SCN_TOO_OLD: ("the SCN is older than what undo is kept for", "raise UNDO_RETENTION, and load again"),
}


@contextmanager
def driver_errors(where: str) -> Iterator[None]:
    """Turn driver errors into the project's. The driver's own is not chained: its text may hold cell
    values."""
    try:
        yield
    except oracledb.Error as error:
        raise driver_error(error, where) from None
    except ssl.SSLError:
        raise SourceNotReady(
            "no TLS could be agreed on",
            where=where,
            fix="check that the port speaks TCPS, and that its certificate is trusted here (`wallet`)",
        ) from None
    except OSError:
        raise SourceUnavailable("the connection was lost", where=where) from None


def driver_error(error: oracledb.Error, where: str) -> SourceError:
    """The project's error for one of the driver: its number and what that means, never its text."""
    number = number_of(error)
    if number is None:
        return _driver_side(code_of(error), isinstance(error, oracledb.OperationalError), where)
    return server_error(number, where)


def _driver_side(code: str, operational: bool, where: str) -> SourceError:
    what = f"the driver says {code or 'no code'}"
    if operational or code in SEVERED:
        return SourceUnavailable(
            f"no connection, or it was lost: {what}", where=where, fix="check `host`, `port` and `service`"
        )
    if code in ("DPY-3015", "DPY-3010", "DPY-4027", "DPY-6001"):
        fix = "DPY-3015: give the account a password of the 12C verifier; DPY-3010: use Oracle 12.1 or later"
        return SourceNotReady(what, where=where, fix=fix)
    return SourceError(what, where=where)


def server_error(number: int, where: str) -> SourceError:
    """The project's error for a number of the server."""
    meaning, fix = _MEANINGS.get(number, ("", ""))
    what = told(number, meaning)
    if number in _LOST_LOG:
        fix = fix or "restore the file of the redo log, or recover the source and load every id range again"
        return SlotLost(f"the redo log cannot be read: {what}", where=where, fix=fix)
    if number in BLOCKED:
        return LoadBlocked(what, where=where, fix=fix)
    if number in PASSING or number == _SCN_TOO_OLD:
        return SourceUnavailable(what, where=where, fix=fix)
    if number in _NOT_READY:
        return SourceNotReady(what, where=where, fix=fix)
    return SourceError(what, where=where, fix=fix)
