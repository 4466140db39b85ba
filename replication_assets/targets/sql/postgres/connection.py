"""Sessions to a PostgreSQL database that copies go to, and what its errors may say.

Values are printed and read in one canonical form whatever the server's defaults are, so the settings
that shape it are start-up options of every session. Of a driver's error only the SQLSTATE, names of
constraints and columns, and first lines that cannot quote a value are passed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.conninfo import make_conninfo
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import NullPool

from replication_assets.errors import RefreshError, ReplicationError, TargetUnavailable, VerificationFailed
from replication_assets.secret_references import Secret, SecretReference, login_secret
from replication_assets.targets.sql.postgres.copied_out import copied_out

_SETTINGS = (
    ("DateStyle", "ISO,YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("standard_conforming_strings", "on"),
    ("search_path", "pg_catalog"),
    ("row_security", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "0"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read\\ committed"),
    ("quote_all_identifiers", "off"),
)


@dataclass(frozen=True, slots=True)
class TargetConnection:
    """Where the database is and who writes to it. The password is resolved for each session."""

    host: str
    database: str
    user: str
    password: SecretReference | Secret | None = field(default=None, repr=False)
    port: int = 5432
    sslmode: str = "require"
    sslrootcert: str | None = None
    connect_timeout: int = 10

    @property
    def where(self) -> str:
        return f"postgresql {self.host}:{self.port}/{self.database}"

    def open(self) -> psycopg.Connection[tuple[Any, ...]]:
        conninfo = make_conninfo(
            host=self.host,
            port=self.port,
            dbname=self.database,
            user=self.user,
            password=login_secret(self.password, self.where),
            sslmode=self.sslmode,
            sslrootcert=self.sslrootcert,
            connect_timeout=self.connect_timeout,
            application_name="replication_assets refresh",
            client_encoding="UTF8",
            keepalives=1,
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            # Keep-alives are not sent while bytes of ours wait for their acknowledgement.
            tcp_user_timeout=60_000,
            options=" ".join(f"-c {name}={value}" for name, value in _SETTINGS),
        )
        return psycopg.connect(conninfo, prepare_threshold=None)


_NAMED = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
"""Renders SQL for a driver that looks for no placeholders: `%` in a name stays one."""


class Work:
    """An open session: statements in transactions, errors in the project's own words."""

    __slots__ = ("_connection", "where")

    def __init__(self, connection: sa.Connection, where: str) -> None:
        self._connection = connection
        self.where = where

    def __repr__(self) -> str:
        return f"Work({self.where!r})"

    @property
    def records_connection(self) -> sa.Connection:
        """For `Records`, whose statements join the transaction that is open."""
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with target_errors(self.where), self._connection.begin():
            yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undone alone if it fails; errors are the driver's own: `target_errors` of the transaction
        translates what is not expected."""
        with self._connection.begin_nested():
            yield

    def run(self, sql: str | sa.schema.ExecutableDDLElement) -> None:
        """One statement. The extended protocol takes no second one."""
        text = sql if isinstance(sql, str) else str(sql.compile(dialect=_NAMED))
        with self._driver.cursor(binary=True) as cursor:
            cursor.execute(text.encode())

    def rows(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        with self._driver.cursor() as cursor:
            return cursor.execute(sql.encode(), parameters).fetchall()

    def count(self, query: sa.Select[int]) -> int:
        text = str(query.compile(dialect=_NAMED, compile_kwargs={"literal_binds": True}))
        return int(self.rows(text)[0][0])

    @contextmanager
    def copy(self, sql: str) -> Iterator[psycopg.Copy]:
        with self._driver.cursor() as cursor, cursor.copy(sql.encode()) as copy:
            yield copy

    def copied_out(self, sql: str, most: int) -> Iterator[bytes]:
        """What COPY sends, in pieces of about `most` bytes."""
        return copied_out(self._driver, sql, most)

    @property
    def _driver(self) -> psycopg.Connection[tuple[Any, ...]]:
        driver: Any = self._connection.connection.driver_connection
        return driver  # type: ignore[no-any-return]


def new_engine(connection: TargetConnection) -> sa.Engine:
    """No connection is made or kept until one is asked for."""
    return sa.create_engine(
        "postgresql+psycopg://",
        creator=connection.open,
        poolclass=NullPool,
        use_native_hstore=False,
        hide_parameters=True,
    )


@contextmanager
def target_errors(where: str, columns: Sequence[str] = ()) -> Iterator[None]:
    """Errors of driver and SQLAlchemy become the project's. `columns` are those of a COPY, so that
    the one whose value was refused can be named."""
    try:
        yield
    except ReplicationError:
        raise
    except sa.exc.DBAPIError as error:
        raise _translated(error.orig, where, columns) from None
    except psycopg.Error as error:
        raise _translated(error, where, columns) from None
    except sa.exc.SQLAlchemyError as error:
        raise RefreshError(f"SQLAlchemy refused ({type(error).__name__})", where=where) from None


def state_of(error: BaseException) -> str:
    """The SQLSTATE of an error of the driver, also as SQLAlchemy wraps it; "" if it has none."""
    original = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return (original.sqlstate or "") if isinstance(original, psycopg.Error) else ""


def _translated(error: BaseException | None, where: str, columns: Sequence[str]) -> ReplicationError:
    if not isinstance(error, psycopg.Error):
        return TargetUnavailable("the driver failed", where=where)
    state = error.sqlstate or ""
    first = (error.diag.message_primary or str(error)).strip().splitlines()
    if state[:2] == "23":
        named = error.diag.constraint_name or error.diag.column_name or "of the table"
        kind = "NOT NULL of column" if state == "23502" else "constraint"
        what = f"rows break the {kind} {named!r} (SQLSTATE {state})"
        return VerificationFailed(what, where=where, fix=_BROKEN)
    if state[:2] == "22":
        column = _column_of(error.diag.context or "", columns)
        named = f" of column {column!r}" if column else ""
        return RefreshError(f"the server refused a value{named} (SQLSTATE {state})", where=where)
    if state == "55P03":
        return TargetUnavailable("a lock was not to be had in time", where=where, fix="retry later")
    if not state or state[:2] in ("08", "53", "57", "40", "58"):
        text = first[0] if first and state[:2] != "40" else "the transaction was undone by the server"
        return TargetUnavailable(text, where=where, fix="check that the server runs and accepts connections")
    if state == "42501":
        return RefreshError(first[0], where=where, fix="grant the missing privilege to the loading role")
    # What functions raise (P0) may be any text.
    text = first[0] if state[:2] != "P0" else "a function of the target refused"
    return RefreshError(f"{text} (SQLSTATE {state})", where=where)


_BROKEN = "nothing was published; mask the column by a rule that keeps it, or mend the rows at the source"


def _column_of(context: str, columns: Sequence[str]) -> str | None:
    """The column that a COPY failed in: `COPY t, line 3, column c: "a value"`. Only a name that is
    known is taken out of a text that goes on with a value."""
    for name in sorted(columns, key=len, reverse=True):
        if re.match(rf"COPY .*?, line \d+, column {re.escape(name)}: ", context):
            return name
    return None
