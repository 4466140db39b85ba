"""Sessions over python-oracledb in thin mode, all with the same settings.

A database whose character set lacks characters is refused: they would become question marks. Errors of the
driver are translated here and nowhere else. Messages of the server are dropped, since many quote values;
what is told is the number, what it means, and what mends it.
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
from replication_assets.errors import TargetError, TargetUnavailable
from replication_assets.secret_references import Secret, SecretReference, login_secret
from replication_assets.targets.sql.projection.oracle.sessions import Driver
from replication_assets.targets.sql.projection.oracle.statements import BUSY, CHARACTER_SET, SETTINGS

_WHOLE_SETS = ("AL32UTF8",)


@dataclass(frozen=True, slots=True)
class OracleLogin:
    """Where a database is and who writes to it. Secrets are in no repr and no message.

    With `tls` the connection is encrypted and the server's certificate verified: by the system's
    authorities, or by `wallet`, a folder with an `ewallet.pem`; it must name the host, or have
    `server_name` as its distinguished name.
    """

    host: str
    service: str
    user: str
    password: SecretReference | Secret | str | None = field(default=None, repr=False)
    port: int = 1521
    tls: bool = True
    wallet: str | None = None
    wallet_password: SecretReference | Secret | str | None = field(default=None, repr=False)
    server_name: str | None = None
    connect_timeout: int = 15

    @property
    def where(self) -> str:
        return f"oracle {self.host}:{self.port}/{self.service}"

    def open(self) -> Driver:
        with driver_errors(self.where):
            opened = oracledb.connect(**self.parameters())
        session = DriverSession(opened, self.where)
        try:
            for setting in SETTINGS:
                session.run(setting)
            ((found,),) = session.rows(CHARACTER_SET)
            if found not in _WHOLE_SETS:
                raise TargetError(
                    f"the character set of the database is {found}, which lacks characters",
                    where=self.where,
                    fix="project into a database of AL32UTF8",
                )
        except BaseException:
            session.close()
            raise
        return session

    def parameters(self) -> dict[str, Any]:
        """The driver's parameters, secrets among them: pass them on, never keep them."""
        return oracle_parameters(
            self.host,
            self.port,
            self.service,
            self.user,
            login_secret(self.password, self.where),
            tls=self.tls,
            wallet=self.wallet,
            wallet_password=login_secret(self.wallet_password, self.where)
            if self.wallet is not None
            else None,
            server_name=self.server_name,
            connect_timeout=self.connect_timeout,
        )


class DriverSession:
    """See `sessions.Driver`."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection, self._where = connection, where

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with driver_errors(self._where), self._connection.cursor() as cursor:
            # Large objects as values: never a locator, which is read row by row.
            cursor.execute(statement, fetch_lobs=False)
            return [tuple(row) for row in cursor.fetchall()]

    def run(self, statement: str) -> None:
        with driver_errors(self._where), self._connection.cursor() as cursor:
            cursor.execute(statement)

    def changed(self, statement: str) -> int:
        with driver_errors(self._where), self._connection.cursor() as cursor:
            cursor.execute(statement)
            return int(cursor.rowcount)

    def insert(self, statement: str, rows: pa.RecordBatch) -> int:
        with driver_errors(self._where), self._connection.cursor() as cursor:
            cursor.executemany(statement, pa.Table.from_batches([rows]))
            return int(cursor.rowcount)

    def batches(self, statement: str, schema: pa.Schema, size: int) -> Iterator[pa.RecordBatch]:
        with driver_errors(self._where):
            for frame in self._connection.fetch_df_batches(statement, size=size, requested_schema=schema):
                yield from pa.table(frame).to_batches()

    def commit(self) -> None:
        with driver_errors(self._where):
            self._connection.commit()

    def rollback(self) -> None:
        with driver_errors(self._where):
            self._connection.rollback()

    def close(self) -> None:
        try:
            self._connection.close()
        except oracledb.Error:
            # It is gone already, which is what was asked for; the server ends its transaction.
            return


# --- errors ---------------------------------------------------------------------------------

_RESET = "compare the table with the source's, or reset it: replication-assets project --reset"
_MEANINGS = LOGIN_MEANINGS | {
    1: ("a row of another range has the key of one of these", "run again; if it stays, reset the projection"),
    904: ("a column is not there", _RESET),
    942: ("a table is not there, or not granted", "GRANT what docs/sql-projections.md names"),
    1031: ("a privilege is missing", "GRANT what docs/sql-projections.md names"),
    1438: ("a number has more digits than its column", _RESET),
    1450: ("a key is longer than an index of blocks of this size takes", "a tablespace of blocks of 8 KiB"),
    1536: ("the quota of the tablespace is used up", "ALTER USER ... QUOTA ... ON the tablespace"),
    1555: ("undo of the rows was overwritten (snapshot too old)", "raise UNDO_RETENTION"),
    1628: ("there is no room for undo", "try again when others are done, or give undo more room"),
    1653: ("the tablespace is full", "add a file to it"),
    1654: ("the tablespace is full", "add a file to it"),
    1691: ("the tablespace is full", "add a file to it"),
    1950: ("the schema has no quota on its tablespace", "ALTER USER ... QUOTA ... ON the tablespace"),
    6550: ("a block cannot be compiled", "GRANT EXECUTE ON SYS.DBMS_LOCK TO the connecting account"),
    12899: ("a text is longer than its column", _RESET),
    30036: ("there is no room for undo", "try again when others are done, or add a file to its tablespace"),
    30006: ("another writer holds the range", "try again"),
}


@contextmanager
def driver_errors(where: str) -> Iterator[None]:
    """The driver's own is not chained: its text may hold values."""
    try:
        yield
    except oracledb.Error as error:
        raise driver_error(error, where) from None
    except ssl.SSLError:
        raise TargetError(
            "no TLS could be agreed on",
            where=where,
            fix="check that the port speaks TCPS, and that its certificate is trusted here (`wallet`)",
        ) from None
    except OSError:
        raise TargetUnavailable("the connection was lost", where=where, fix="try again") from None


def driver_error(error: oracledb.Error, where: str) -> TargetError:
    """The project's error for one of the driver: its number and what that means, never its text."""
    number = number_of(error)
    if number is not None:
        return server_error(number, where)
    code = code_of(error)
    what = f"the driver says {code or 'no code'}"
    if isinstance(error, oracledb.OperationalError) or code in SEVERED:
        fix = "check `host`, `port` and `service`"
        return TargetUnavailable(f"no connection, or it was lost: {what}", where=where, fix=fix)
    fix = "DPY-3015: give the account a password of the 12C verifier; DPY-3010: use Oracle 18c or later"
    return TargetError(what, where=where, fix=fix if code in ("DPY-3015", "DPY-3010") else _RESET)


def server_error(number: int, where: str) -> TargetError:
    """The project's error for a number of the server."""
    if number == BUSY:
        return TargetUnavailable("another process makes tables", where=where, fix="try again")
    meaning, fix = _MEANINGS.get(number, ("", ""))
    what = told(number, meaning)
    if number in PASSING or number in BLOCKED:
        return TargetUnavailable(what, where=where, fix=fix or "try again")
    return TargetError(what, where=where, fix=fix or _RESET)
