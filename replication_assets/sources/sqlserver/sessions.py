"""Sessions with a SQL Server database: the seam that the rest of the adapter talks through.

`SqlServerConnection` is the one implementation that is shipped; what it needs of the driver is text of
statements, rows of small answers, and Arrow batches of large ones. Statements have no parameters.

Errors of the driver are translated here and nowhere else. Messages of the server may quote values: what
is told is the driver's own text for the SQLSTATE, and of a message only what `_NAMES_ONLY` knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import mssql_python
import pyarrow as pa

from replication_assets.core.logins import Encrypt, sqlserver_connection_string
from replication_assets.core.sqlserver_driver import FIRST_ROWS, message_of, names_only, next_rows
from replication_assets.errors import LoadBlocked, SourceError, SourceNotReady, SourceUnavailable
from replication_assets.secret_references import Secret, SecretReference, login_secret

Row: TypeAlias = tuple[Any, ...]

STATEMENT_SECONDS = 60
"""For reads of the catalog. Loads and the change stream run as long as they must."""

_SETTINGS = (
    # Off, a comparison with NULL is true; on, text of more than a kilobyte is not cut.
    "SET ANSI_NULLS ON",
    "SET ANSI_WARNINGS ON",
    "SET ARITHABORT ON",
    "SET QUOTED_IDENTIFIER ON",
    "SET CONCAT_NULL_YIELDS_NULL ON",
    "SET NOCOUNT ON",
    "SET ROWCOUNT 0",
    "SET TEXTSIZE 2147483647",
    # A failed statement must not leave a transaction open behind it.
    "SET XACT_ABORT ON",
    "SET LOCK_TIMEOUT 30000",
    "SET DATEFORMAT ymd",
)


class Session(Protocol):
    """One connection. Every statement commits by itself unless it begins a transaction."""

    where: str

    def rows(self, statement: str) -> list[Row]:
        """The answer to a small query."""
        ...

    def run(self, statement: str) -> None:
        """A statement whose answer, if there is one, does not matter."""
        ...

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        """The answer to a large query, in batches of some megabytes. At least one, which may be empty."""
        ...

    def close(self) -> None: ...


class Sessions(Protocol):
    """Opens sessions."""

    @property
    def where(self) -> str: ...

    def connect(self, *, statement_seconds: int = STATEMENT_SECONDS) -> Session:
        """`statement_seconds` bounds each statement; 0 for none."""
        ...


@contextmanager
def connected(sessions: Sessions, *, statement_seconds: int = STATEMENT_SECONDS) -> Iterator[Session]:
    with closing(sessions.connect(statement_seconds=statement_seconds)) as session:
        yield session


@dataclass(frozen=True, slots=True)
class SqlServerConnection:
    """Where a database is and who reads it. The password is in no repr and no message.

    Give it as a reference: it is then resolved for each session, and a pickle of the connection (for
    another process) holds the reference only. `encrypt` is ODBC's: `yes` is TLS, `strict` is TLS before
    anything else is said (TDS 8.0). With `trust_server_certificate` nobody checks whose it is;
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

    def secret(self) -> str:
        """The password. Pass it on, never keep it."""
        return login_secret(self.password, self.where) or ""

    def connection_string(self) -> str:
        """Holds the password."""
        return sqlserver_connection_string(
            self.host,
            self.port,
            self.database,
            self.user,
            self.secret(),
            encrypt=self.encrypt,
            trust_server_certificate=self.trust_server_certificate,
            server_certificate=self.server_certificate,
        )

    def connect(self, *, statement_seconds: int = STATEMENT_SECONDS) -> Session:
        # A pooled connection would come with the settings and locks of whoever had it before.
        mssql_python.pooling(enabled=False)
        with driver_errors(self.where):
            opened = mssql_python.connect(
                self.connection_string(), autocommit=True, timeout=self.connect_timeout, native_uuid=False
            )
        try:
            with driver_errors(self.where):
                opened.timeout = statement_seconds
            session = DriverSession(opened, self.where)
            for setting in _SETTINGS:
                session.run(setting)
        except BaseException:
            opened.close()
            raise
        return session


class DriverSession:
    """A `Session` over a connection of mssql-python."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection, self.where = connection, where

    def rows(self, statement: str) -> list[Row]:
        with self._executed(statement) as cursor:
            # Statements before the query of a batch have answers without columns.
            while cursor.description is None and cursor.nextset():
                pass
            return [tuple(row) for row in cursor.fetchall()]

    def run(self, statement: str) -> None:
        with self._executed(statement) as cursor:
            while cursor.nextset():
                pass

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        rows = FIRST_ROWS
        with self._executed(statement) as cursor:
            first = True
            while True:
                batch = cursor.arrow_batch(rows)
                if batch.num_rows == 0 and not first:
                    return
                first = False
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
        with driver_errors(self.where):
            cursor = self._connection.cursor()
            try:
                # Prepared, a SET would end with the statement that prepared it.
                cursor.execute(statement, use_prepare=False)
                yield cursor
            finally:
                cursor.close()


# --- errors ---------------------------------------------------------------------------------

_NAMES_ONLY = names_only(
    r"Could not find stored procedure '[^']{1,128}'",
    r"User does not have permission to perform this action",
)


@contextmanager
def driver_errors(where: str) -> Iterator[None]:
    try:
        yield
    except mssql_python.Error as error:
        raise source_error(error, where) from None
    except mssql_python.ConnectionStringParseError:
        fix = "check host, database, user and password: none may be empty or hold a NUL"
        raise SourceNotReady("the connection is not well described", where=where, fix=fix) from None
    except RuntimeError:
        # The native part raises these with the server's text.
        raise SourceUnavailable("the connection was lost", where=where) from None


def source_error(error: Any, where: str) -> SourceError:
    """The project's error for one of the driver: names, never values."""
    message = message_of(error, _NAMES_ONLY)
    what = message.what
    if message.unready is not None:
        missing, fix = message.unready
        return SourceNotReady(missing, where=where, fix=fix)
    if message.is_altered:
        fix = "let the statement that alters or locks the table end, then retry"
        return LoadBlocked("the table is locked or was altered while it was read", where=where, fix=fix)
    if message.is_lost or isinstance(error, mssql_python.InterfaceError):
        return SourceUnavailable(what, where=where)
    if message.names is not None:
        return SourceNotReady(what, where=where, fix="create what is missing, or GRANT the permission")
    if isinstance(error, mssql_python.OperationalError):
        return SourceUnavailable(what, where=where)
    return SourceError(what, where=where)
