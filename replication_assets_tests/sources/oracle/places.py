"""A schema of a test on a real server, and the applications that write to it.

SQL of the contract is translated: names keep their letters (Oracle makes unquoted ones upper case), rows of
an INSERT come one by one, and what another engine ignores by ON CONFLICT is ignored here.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import oracledb
import pytest
import sqlglot
from sqlglot import exp

from replication_assets.sources.oracle import OracleConnection, OracleSource
from replication_assets.sources.oracle.statements import mending

VARIABLE = "ORACLE_URL"
HOW = (
    f"set {VARIABLE} to oracle://USER:PASSWORD@HOST:PORT/SERVICE[?log_service=ROOT][&tls=true][&wallet=DIR]:"
    " an account that may create users, grant, and do what docs/oracle.md grants a replicator"
)
_DUPLICATE, _DEADLOCK = 1, 60


def require_server() -> None:
    """End the run where no server is named: nothing is skipped in silence."""
    if not os.environ.get(VARIABLE):
        pytest.exit(HOW, returncode=2)


def connection_of(url: str) -> OracleConnection:
    """Raises ValueError, without the URL, if it is none of an Oracle database."""
    parts = urlsplit(url)
    if parts.scheme != "oracle" or not parts.hostname or not parts.path.strip("/") or not parts.username:
        raise ValueError(HOW)
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return OracleConnection(
        host=parts.hostname,
        port=parts.port or 1521,
        service=parts.path.strip("/"),
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        tls=given.get("tls", "false") == "true",
        wallet=given.get("wallet"),
        log_service=given.get("log_service"),
    )


def translated(statement: str) -> list[str]:
    """The statements of Oracle that do the same."""
    parsed = sqlglot.parse_one(statement, read="postgres")
    for kind in parsed.find_all(exp.DataType):
        if kind.this == exp.DataType.Type.TEXT:
            kind.replace(exp.DataType.build("VARCHAR2(4000)", dialect="oracle"))
    if isinstance(parsed, exp.Insert):
        parsed.set("conflict", None)
        values = parsed.expression
        if isinstance(values, exp.Values):
            singles = [parsed.copy() for _ in values.expressions]
            for single, row in zip(singles, values.expressions, strict=True):
                single.expression.set("expressions", [row.copy()])
            return [single.sql(dialect="oracle", identify=True) for single in singles]
    return [parsed.sql(dialect="oracle", identify=True)]


class ApplicationTransaction:
    """An open transaction."""

    def __init__(self, session: oracledb.Connection) -> None:
        self._session = session

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for each in translated(statement):
            with self._session.cursor() as cursor:
                try:
                    cursor.execute(each)
                except oracledb.DatabaseError as error:
                    if error.args[0].code == _DEADLOCK:
                        self.rollback()
                    elif error.args[0].code != _DUPLICATE or "ON CONFLICT" not in statement:
                        raise
                if cursor.description:
                    found += [tuple(row) for row in cursor.fetchall()]
        return found

    def commit(self) -> None:
        self._session.commit()

    def rollback(self) -> None:
        self._session.rollback()


@dataclass(frozen=True)
class OraclePlace:
    """See `contracts.change_source.SourcePlace`."""

    connection: OracleConnection
    schema: str
    password: str
    writers: int = 3

    @property
    def source(self) -> OracleSource:
        return OracleSource("erp", self.connection)

    def create(self, table: str, columns: str) -> None:
        quoted = '"' + table + '"'
        self.execute(f"CREATE TABLE {quoted} ({columns})")
        self.run(mending.supplemental(self.schema, table))

    def run(self, statement: str) -> None:
        """As it stands."""
        with _session(self.connection, self.schema, self.password) as session, session.cursor() as cursor:
            cursor.execute(statement)
            session.commit()

    def execute(self, *statements: str) -> None:
        with self.transaction() as session:
            for statement in statements:
                session.execute(statement)
            session.commit()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.transaction() as session:
            return session.execute(query)

    @contextmanager
    def transaction(self) -> Iterator[ApplicationTransaction]:
        with _session(self.connection, self.schema, self.password) as session:
            yield ApplicationTransaction(session)


@contextmanager
def fresh_schema() -> Iterator[OraclePlace]:
    """A user of its own on the server of `ORACLE_URL`; it goes with the test."""
    connection = connection_of(os.environ.get(VARIABLE, ""))
    name, password = f"RA_{secrets.token_hex(6).upper()}", f"x{secrets.token_hex(10)}"
    with _session(connection, connection.user, connection.secret()) as admin, admin.cursor() as cursor:
        cursor.execute(f'CREATE USER "{name}" IDENTIFIED BY "{password}" QUOTA UNLIMITED ON USERS')
        cursor.execute(f'GRANT CREATE SESSION, CREATE TABLE, CREATE VIEW TO "{name}"')
        try:
            yield OraclePlace(connection, name, password)
        finally:
            cursor.execute(f'DROP USER "{name}" CASCADE')


@contextmanager
def _session(connection: OracleConnection, user: str, password: str) -> Iterator[oracledb.Connection]:
    parameters = connection.parameters(connection.service) | {"user": user, "password": password}
    with oracledb.connect(**parameters) as session:
        yield session
