"""Sessions over mssql-python, all with the same settings.

Errors of the driver are translated here and nowhere else. Messages of the server may quote values: what is
told is the driver's own text for the SQLSTATE, and of a message only what is made of names alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mssql_python
import pyarrow as pa

from replication_assets.core.logins import Encrypt, sqlserver_connection_string
from replication_assets.core.sqlserver_driver import FIRST_ROWS, message_of, names_only, next_rows
from replication_assets.errors import TargetError, TargetUnavailable
from replication_assets.secret_references import Secret, SecretReference, login_secret
from replication_assets.targets.sql.projection.sqlserver.sessions import Driver
from replication_assets.targets.sql.projection.sqlserver.statements import CHANGED, SETTINGS, SNAPSHOT


@dataclass(frozen=True, slots=True)
class SqlServerLogin:
    """Where a database is and who writes to it. The password is in no repr and no message.

    Give it as a reference: it is then resolved for each session. `encrypt` is ODBC's: `yes` is TLS, `strict`
    is TLS before anything else is said. With `trust_server_certificate` nobody checks whose it is;
    `server_certificate` is a file that it must be.
    """

    host: str
    database: str
    user: str
    password: SecretReference | Secret | str | None = field(default=None, repr=False)
    port: int = 1433
    encrypt: Encrypt = "yes"
    trust_server_certificate: bool = False
    server_certificate: str | None = None
    connect_timeout: int = 15

    @property
    def where(self) -> str:
        return f"sqlserver {self.host}:{self.port}/{self.database}"

    def connection_string(self) -> str:
        """Holds the password."""
        return sqlserver_connection_string(
            self.host,
            self.port,
            self.database,
            self.user,
            login_secret(self.password, self.where) or "",
            encrypt=self.encrypt,
            trust_server_certificate=self.trust_server_certificate,
            server_certificate=self.server_certificate,
        )

    def open(self) -> Driver:
        # A pooled connection would come with the settings and locks of whoever had it before.
        mssql_python.pooling(enabled=False)
        with driver_errors(self.where):
            opened = mssql_python.connect(
                self.connection_string(), autocommit=True, timeout=self.connect_timeout, native_uuid=False
            )
        try:
            with driver_errors(self.where):
                # A fill takes as long as it must; locks are waited for as `SETTINGS` say.
                opened.timeout = 0
            session = DriverSession(opened, self.where)
            for setting in (*SETTINGS, SNAPSHOT):
                session.run(setting)
        except BaseException:
            opened.close()
            raise
        return session


class DriverSession:
    """See `sessions.Driver`."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection, self._where = connection, where

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self._executed(statement) as cursor:
            # Statements before the query of a batch have answers without columns.
            while cursor.description is None and cursor.nextset():
                pass
            return [tuple(row) for row in cursor.fetchall()]

    def run(self, statement: str) -> None:
        with self._executed(statement) as cursor:
            while cursor.nextset():
                pass

    def changed(self, statement: str) -> int:
        ((count,),) = self.rows(statement + CHANGED)
        return int(count)

    def hand_over(self, statement: str, piece: str) -> None:
        with driver_errors(self._where):
            cursor = self._connection.cursor()
            try:
                cursor.execute(statement, (piece,))
            finally:
                cursor.close()

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        rows = FIRST_ROWS
        with self._executed(statement) as cursor:
            while (batch := cursor.arrow_batch(rows)).num_rows:
                yield batch
                rows = next_rows(rows, batch)

    def close(self) -> None:
        try:
            self._connection.close()
        except (mssql_python.Error, RuntimeError):
            # It is gone, which is what was wanted; the server ends its transaction.
            return

    @contextmanager
    def _executed(self, statement: str) -> Iterator[Any]:
        with driver_errors(self._where):
            cursor = self._connection.cursor()
            try:
                # Prepared, a SET would end with the statement that prepared it.
                cursor.execute(statement, use_prepare=False)
                yield cursor
            finally:
                cursor.close()


# --- errors ---------------------------------------------------------------------------------

_NAMES_ONLY = names_only(
    r"There is already an object named '[^']{1,128}' in the database",
    r"Column names in each table must be unique. Column name '[^']{1,128}'",
)
_NO_OPENJSON = re.compile(r"'?OPENJSON'?", re.IGNORECASE)
_DUPLICATE = re.compile(r"Cannot insert duplicate key|Violation of PRIMARY KEY")


@contextmanager
def driver_errors(where: str) -> Iterator[None]:
    """The driver's own is not chained: its text may hold values."""
    try:
        yield
    except mssql_python.Error as error:
        raise target_error(error, where) from None
    except mssql_python.ConnectionStringParseError:
        fix = "check host, database, user and password: none may be empty or hold a NUL"
        raise TargetError("the connection is not well described", where=where, fix=fix) from None
    except RuntimeError:
        # The native part raises these with the server's text.
        raise TargetUnavailable("the connection was lost", where=where, fix="try again") from None


def target_error(error: Any, where: str) -> TargetError:
    """The project's error for one of the driver: names, never values."""
    message = message_of(error, _NAMES_ONLY)
    what, names = message.what, message.names
    if message.unready is not None:
        missing, fix = message.unready
        return TargetError(missing, where=where, fix=fix)
    if _DUPLICATE.search(message.text):
        fix = "run again; if it stays, reset the projection: replication-assets project --reset"
        return TargetError("a row of another range has the key of one of these", where=where, fix=fix)
    if names is not None and _NO_OPENJSON.search(names):
        fix = "ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = 130, or a higher one"
        return TargetError("the database knows no OPENJSON", where=where, fix=fix)
    if message.is_lost or message.is_altered or isinstance(error, mssql_python.InterfaceError):
        return TargetUnavailable(what, where=where, fix="try again")
    if names is not None:
        return TargetError(what, where=where, fix="create what is missing, or GRANT the permission")
    if isinstance(error, mssql_python.OperationalError):
        return TargetUnavailable(what, where=where, fix="try again")
    return TargetError(what, where=where, fix="compare the table with the source's, or reset it")
