"""Sessions with a MySQL or MariaDB server: how one is opened, what it is told, how it fails.

Strict mode, character set and time zone are set for each session, because servers differ in them and
the wrong one changes values. Without a certificate to verify the server by, only a server on this
machine is taken: everything else would send rows and the password to whoever answers.

Messages of the server are dropped: many of them quote values. What is told is the number, its name,
and the column where a message names one that the caller knows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from replication_assets.core.mysql_driver import PASSING, constant_of
from replication_assets.core.quoting import backticked, constant
from replication_assets.errors import GuardError, RefreshError, TargetUnavailable, VerificationFailed
from replication_assets.secret_references import Secret, SecretReference, login_secret

if TYPE_CHECKING:
    from replication_assets.targets.sql.mysql.local_data import LoadingConnection

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
CONNECT_SECONDS = 15
LOCK_SECONDS = 30
"""How long a statement waits for readers. A publication that waits longer is tried again later."""

_SQL_MODES = (
    "STRICT_ALL_TABLES",
    "NO_ZERO_DATE",
    "NO_ZERO_IN_DATE",
    "NO_ENGINE_SUBSTITUTION",
    # A zero in an AUTO_INCREMENT column is a value, not a wish for the next one.
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_BACKSLASH_ESCAPES",
)
# Without it MariaDB makes an account for a name that has none. MySQL 8 never does, and has no such mode.
_MARIADB_MODE = "NO_AUTO_CREATE_USER"

_NO_LOCK = 1205
_BROKEN_RULE = frozenset({1022, 1048, 1062, 1169, 1216, 1217, 1451, 1452, 1586, 1761, 1762, 3819, 4025})
_NO_LOCAL_FILES = frozenset({1148, 2068, 3948, 4166})
# Messages made of names alone.
_NAMES_ONLY = frozenset({1044, 1045, 1049, 1142, 1227, 1370, 1410, 1419})


@dataclass(frozen=True, slots=True)
class MySqlServer:
    """A server and an account on it. `password` stays a reference until a session is opened."""

    host: str
    user: str
    port: int = 3306
    password: SecretReference | Secret | None = field(default=None, repr=False)
    sslrootcert: str | None = None

    @property
    def where(self) -> str:
        return f"mysql {self.host}:{self.port}"

    def engine(self) -> sa.Engine:
        """Makes sessions. Opens none itself, and reads no secret.

        Raises:
            RefreshError: the driver is not installed.
        """
        with translated(self.where):
            return sa.create_engine(
                "mysql+pymysql://",
                creator=self._open,
                poolclass=NullPool,
                # A closed session undoes what it did; a query that was left has nothing to say any more.
                pool_reset_on_return=None,
                hide_parameters=True,
            )

    def _open(self) -> LoadingConnection:
        from replication_assets.targets.sql.mysql.local_data import LoadingConnection

        opened = LoadingConnection(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self._secret(),
            charset="utf8mb4",
            connect_timeout=CONNECT_SECONDS,
            local_infile=True,
            **self._tls(),
        )
        with opened.cursor() as cursor:
            modes = [*_SQL_MODES, *([_MARIADB_MODE] if is_mariadb(opened.get_server_info()) else [])]
            settings = {
                "sql_mode": literal(",".join(modes)),
                "time_zone": "'+00:00'",
                "default_storage_engine": "InnoDB",
                "sql_notes": "1",
                "lock_wait_timeout": str(LOCK_SECONDS),
                "innodb_lock_wait_timeout": str(LOCK_SECONDS),
                # A session that holds the environment says nothing for hours.
                "wait_timeout": "31536000",
            }
            cursor.execute(
                "SET " + ", ".join(f"SESSION {name} = {value}" for name, value in settings.items())
            )
        return opened

    def _secret(self) -> str:
        return login_secret(self.password, self.where) or ""

    def _tls(self) -> dict[str, Any]:
        if self.sslrootcert is not None:
            return {"ssl_ca": self.sslrootcert, "ssl_verify_cert": True, "ssl_verify_identity": True}
        if self.host not in LOCAL_HOSTS:
            raise GuardError(
                "a server on another machine is taken with a verified certificate only",
                where=self.where,
                fix="give the target `sslrootcert`, the file of the authority that signed its certificate",
            )
        return {"ssl_disabled": True}


def is_mariadb(version: str) -> bool:
    return "mariadb" in version.lower()


@contextmanager
def translated(where: str, columns: Collection[str] = ()) -> Iterator[None]:
    """Errors of the driver as the project's own, without their text; `columns` may be named."""
    try:
        import pymysql
    except ImportError:
        raise RefreshError(
            "the driver for MySQL is not installed",
            where=where,
            fix="pip install 'replication-assets[mysql]'",
        ) from None
    try:
        yield
    except pymysql.MySQLError as error:
        raise told(error, where, columns) from None
    except sa.exc.DBAPIError as error:
        if isinstance(error.orig, pymysql.MySQLError):
            raise told(error.orig, where, columns) from None
        raise RefreshError(f"{type(error.orig).__name__} in the driver", where=where) from None
    except sa.exc.SQLAlchemyError as error:
        raise RefreshError(f"{type(error).__name__} in SQLAlchemy", where=where) from None


def told(error: Exception, where: str, columns: Collection[str] = ()) -> Exception:
    """The project's error for one of the driver. Names, numbers, never values."""
    from pymysql.constants import CR, ER

    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else ""
    what = f"the server refused with error {number}{constant_of(number, (ER, CR))}"
    if number in _NAMES_ONLY:
        what = f"{what}: {text}"
    found = column_in(text, columns)
    if found is not None:
        what = f"{what}, about column {found!r}"
    if number in PASSING or number in (_NO_LOCK, 0):
        return TargetUnavailable(what, where=where, fix="try again; the refresh goes on where it stopped")
    if number in _BROKEN_RULE:
        return VerificationFailed(f"rows break a rule of the copy: {what}", where=where)
    if number in _NO_LOCAL_FILES:
        return RefreshError(
            "the server does not take rows in bulk",
            where=where,
            fix="SET GLOBAL local_infile = 1 (as an administrator, and in its configuration)",
        )
    return RefreshError(what, where=where)


def column_in(message: str, columns: Collection[str]) -> str | None:
    """The column that a message of the server speaks of, if it is one of these."""
    for name in columns:
        if re.search(rf"[`']{re.escape(name)}[`'] at row \d+$", message):
            return name
    return None


quoted = backticked
literal = constant


def run(connection: sa.Connection, statement: str) -> tuple[tuple[Any, ...], ...]:
    """One statement as it is: no parameters, so percent signs stand for themselves."""
    with driver_of(connection).cursor() as cursor:
        cursor.execute(statement)
        return tuple(cursor.fetchall())


def driver_of(connection: sa.Connection) -> LoadingConnection:
    """The driver's own connection under SQLAlchemy's."""
    found = connection.connection.driver_connection
    assert found is not None
    opened: LoadingConnection = found
    return opened


@contextmanager
def transaction(connection: sa.Connection) -> Iterator[None]:
    """A transaction with a snapshot of its own: a read before it may have begun an older one."""
    if connection.in_transaction():
        connection.rollback()
    with connection.begin():
        yield
