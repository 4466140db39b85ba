"""Sessions with a MySQL or MariaDB server, all with the same settings.

What shapes the text of a value (character set, time zone, SQL mode), or shortens an answer
(`sql_select_limit`), is set for each session and never changed after: servers differ in their defaults.

Errors of the driver are translated here and nowhere else. Messages of the server are dropped, since
many quote values; what is told is the number, its name, and the text where it is made of names alone.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CLIENT, CR, ER

from replication_assets.core.lost_changes import changes_lost
from replication_assets.core.mysql_driver import PASSING, constant_of
from replication_assets.core.quoting import backticked, constant
from replication_assets.errors import LoadBlocked, SourceError, SourceNotReady, SourceUnavailable
from replication_assets.secret_references import Secret, SecretReference, login_secret

SslMode: TypeAlias = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
"""libpq's words. `allow` is `prefer`: the driver does not come back to try the other way."""

STATEMENT_SECONDS = 60
"""For reads of the catalog. Loads and the change stream run as long as they must."""

LOCK_SECONDS = 30
"""How long a statement waits for a table that is being altered."""

ANSWER_SECONDS = 10
"""How much longer than the server's own limit an answer may take."""

_SILENT_SECONDS = 60
"""After which a network that answers nothing is a lost connection."""

_DAY = "86400"
_SETTINGS = (
    ("time_zone", "'+00:00'"),
    # Neither PAD_CHAR_TO_FULL_LENGTH, which changes values, nor ANSI_QUOTES, which changes ours.
    ("sql_mode", "'NO_BACKSLASH_ESCAPES'"),
    ("sql_select_limit", "18446744073709551615"),
    ("sql_big_selects", "1"),
    ("completion_type", "0"),
    ("lock_wait_timeout", str(LOCK_SECONDS)),
    # A reader that waits for a full disk or a slow store is not to be thrown out meanwhile.
    ("net_write_timeout", _DAY),
    ("wait_timeout", _DAY),
)


@dataclass(frozen=True, slots=True)
class MySqlConnection:
    """Where a server is and who reads it. The password is in no repr and no message.

    Give it as a reference: it is then resolved for each session, and a pickle of the connection (for
    another process) holds the reference only.
    """

    host: str
    user: str
    password: SecretReference | Secret | str | None = field(default=None, repr=False)
    port: int = 3306
    sslmode: SslMode = "prefer"
    sslrootcert: str | None = None
    connect_timeout: int = 10

    @property
    def where(self) -> str:
        """For messages: which server, without how to get in."""
        return f"mysql {self.host}:{self.port}"

    def secret(self) -> str:
        """The password. Pass it on, never keep it."""
        return login_secret(self.password, self.where) or ""

    def tls(self) -> ssl.SSLContext | None:
        """None for a connection in the clear."""
        if self.sslmode == "disable":
            return None
        # As libpq: a certificate that is given is verified, whatever else was asked for.
        verified = self.sslmode in ("verify-ca", "verify-full") or self.sslrootcert is not None
        if not verified:
            # Without the system's authorities, which take tens of milliseconds to read.
            unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
            return unverified
        try:
            context = ssl.create_default_context(cafile=self.sslrootcert)
        except OSError:
            raise SourceNotReady(
                "the file of the certificate authority cannot be read",
                where=self.where,
                fix="give a readable PEM file as sslrootcert",
            ) from None
        context.check_hostname = self.sslmode == "verify-full"
        context.verify_mode = ssl.CERT_REQUIRED
        return context


class Session(Connection):  # type: ignore[misc]
    """A driver's connection that never sends a login in the clear where TLS was asked for."""

    def __init__(self, connection: MySqlConnection, **settings: Any) -> None:
        self._needs_tls = connection.sslmode not in ("disable", "allow", "prefer")
        self.where, self.connection = connection.where, connection
        context = connection.tls()
        super().__init__(
            host=connection.host,
            port=connection.port,
            user=connection.user,
            password=connection.secret(),
            charset="utf8mb4",
            connect_timeout=connection.connect_timeout,
            # Of the greeting and the login; `connect` lifts it.
            read_timeout=connection.connect_timeout,
            autocommit=True,
            ssl=context,
            ssl_disabled=context is None,
            program_name="replication_assets",
            **settings,
        )

    def _request_authentication(self) -> None:
        offered = self.server_capabilities & CLIENT.SSL
        if not offered and self._needs_tls:
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server has no TLS")
        if not offered:
            self.ssl = False
        super()._request_authentication()

    @property
    def is_mariadb(self) -> bool:
        return "mariadb" in str(self.get_server_info()).lower()

    @property
    def version(self) -> tuple[int, ...]:
        """Major, minor, patch. MariaDB puts `5.5.5-` before its own where old replicas read it."""
        text = str(self.get_server_info()).removeprefix("5.5.5-")
        return tuple(int(part) for part in text.split("-")[0].split(".")[:3])

    def rows(self, query: str) -> tuple[tuple[Any, ...], ...]:
        """The answer to one statement. It has no parameters: percent signs stand for themselves."""
        with source_errors(self.where), self.cursor() as cursor:
            cursor.execute(query)
            return tuple(cursor.fetchall())

    def row(self, query: str) -> tuple[Any, ...] | None:
        """The first row of an answer."""
        found = self.rows(query)
        return found[0] if found else None


def connect(connection: MySqlConnection, *, statement_seconds: int = STATEMENT_SECONDS) -> Session:
    """A session that commits every statement. `statement_seconds` bounds each read; 0 for none."""
    with source_errors(connection.where):
        session = Session(connection)
        try:
            _notice_silence(session)
            settings = [*_SETTINGS, _time_limit(session, statement_seconds)]
            with session.cursor() as cursor:
                cursor.execute("SET " + ", ".join(f"SESSION {name} = {value}" for name, value in settings))
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            # The server ends what takes too long; a proxy that lost the answer does not.
            session._read_timeout = statement_seconds + ANSWER_SECONDS if statement_seconds else None
        except BaseException:
            session._force_close()
            raise
    return session


@contextmanager
def connected(
    connection: MySqlConnection, *, statement_seconds: int = STATEMENT_SECONDS
) -> Iterator[Session]:
    """`connect`, closed at the end of the block."""
    session = connect(connection, statement_seconds=statement_seconds)
    try:
        yield session
    finally:
        leave(session)


def leave(session: Session) -> None:
    """Close a session without waiting for what it was sent."""
    session._force_close()


def _time_limit(session: Session, seconds: int) -> tuple[str, str]:
    if session.is_mariadb:
        return "max_statement_time", str(seconds)
    return "max_execution_time", str(seconds * 1000)


def _notice_silence(session: Session) -> None:
    """A peer that is gone without a word ends the session within a minute."""
    sock = session._sock
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT_SECONDS // 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _SILENT_SECONDS // 6)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    # Keep-alives are not sent while bytes of ours wait for their acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_SECONDS * 1000)


# --- errors ---------------------------------------------------------------------------------

_BLOCKED = frozenset({1205, 1412})
"""A lock that was not given in time; a table that was altered since the snapshot."""
_NOT_READY = frozenset(
    {1044, 1045, 1049, 1051, 1054, 1109, 1141, 1142, 1143, 1146, 1227, 1251, 1345, 1356, 1370, 1381, 1419}
    | {1698, 1820, 1862, 2026, 2059, 2061, 3118, 3159, 4151}
)
_LOST_LOG = frozenset({1236, 1220})
"""The server cannot read its binlog from where it was asked to."""
_NAMES_ONLY = frozenset({1044, 1045, 1049, 1054, 1142, 1143, 1146, 1227, 1356, 1370, 1698})
"""Messages made of names and commands alone."""

_FIXES = {
    1045: "check `user` and the password",
    1142: "GRANT SELECT on the table to the connecting account",
    1143: "GRANT SELECT on the whole table to the connecting account",
    1146: "check the spelling (case may count) and the database",
    1227: "grant the privilege to the connecting account",
    1345: "GRANT SELECT, SHOW VIEW on the view's database, and on those that it reads, to the account",
    1356: "let the view's definer have access to what the view reads, or recreate the view",
    1820: "give the account a password that has not expired",
    1862: "give the account a password that has not expired",
    2003: "check `host` and `port`, that the server runs, and that this machine may reach it",
    2026: "the server has no TLS, or its certificate is not trusted here: give its authority (`sslrootcert`)",
    2059: "the account's authentication plugin is not one of this driver: give it another",
}


@contextmanager
def source_errors(where: str) -> Iterator[None]:
    """Turn driver errors into the project's. The driver's own is not chained: its text may hold
    cell values."""
    try:
        yield
    except pymysql.MySQLError as error:
        raise source_error(error, where) from None
    except ssl.SSLError:
        raise SourceNotReady("no TLS could be agreed on", where=where, fix=_FIXES[2026]) from None
    except OSError:
        raise SourceUnavailable("the connection was lost", where=where) from None


def source_error(error: pymysql.MySQLError, where: str) -> SourceError:
    """The project's error for one of the driver: names and numbers, never values."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if number == CR.CR_CONN_HOST_ERROR and isinstance(
        getattr(error, "original_exception", None), ssl.SSLError
    ):
        number = CR.CR_SSL_CONNECTION_ERROR
    return server_error(number, str(error.args[1]) if len(error.args) > 1 else "", where)


def server_error(number: int, text: str, where: str) -> SourceError:
    """The project's error for an error number, and the message of which only names are passed on."""
    what = f"error {number}{constant_of(number, (ER, CR))}"
    if number in _NAMES_ONLY:
        what = f"{what}: {text}"
    fix = _FIXES.get(number, "")
    if number in _LOST_LOG:
        return changes_lost(f"the binlog is gone: {what}", where)
    if number in _BLOCKED:
        fix = "let the statement that holds or alters the table end, then retry"
        return LoadBlocked(f"the table is locked or being altered: {what}", where=where, fix=fix)
    if number in PASSING or number == 0:
        return SourceUnavailable(what if number else "the connection was lost", where=where, fix=fix)
    if number in _NOT_READY:
        return SourceNotReady(what, where=where, fix=fix)
    return SourceError(what, where=where, fix=fix)


# --- SQL text -------------------------------------------------------------------------------


quoted = backticked
literal = constant


def literals(texts: Sequence[str]) -> str:
    return ", ".join(literal(text) for text in texts)
