"""The contract of targets, and what else projections into SQL databases promise, on the Oracle database that
`ORACLE_URL` names: `make test-oracle`, and nothing else, runs it.

Users `public_...` take the place of the schemas of the contract; they go with their test. The account of the
URL must be able to give what docs/sql-projections.md grants.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import oracledb
import pytest

from replication_assets.core.schema import TableId
from replication_assets.targets.sql.projection.database import Database
from replication_assets.targets.sql.projection.oracle import OracleDatabase, OracleLogin
from replication_assets.targets.sql.projection.oracle.names import named, text
from replication_assets_tests.contracts.projection_target import (
    ProjectionTargetContract,
    random_histories_equal_a_dict,
)
from replication_assets_tests.contracts.target_view import TargetViewContract
from replication_assets_tests.sources.oracle.places import VARIABLE, connection_of, require_server
from replication_assets_tests.targets.sql.projection import test_faults, test_types
from replication_assets_tests.targets.sql.projection.engines import Places, asking_for_places
from replication_assets_tests.targets.sql.projection.places import ORDERS, SqlPlace

_LEFT_OUT = {"test_hostile_names_are_names"}
"""Their names hold a double quote, which no name of Oracle does."""


globals().update(asking_for_places(test_types, test_faults, left_out=_LEFT_OUT))


@pytest.fixture(scope="session", autouse=True)
def _server() -> None:
    require_server()


@dataclass
class OraclePlace(SqlPlace):
    login: OracleLogin
    table: TableId = ORDERS
    options: dict[str, Any] = field(default_factory=dict)

    def opened(self) -> Database:
        return OracleDatabase(self.login, into=self.login.user)

    @property
    def name(self) -> str:
        return named(self.database.place(self.table))

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """As an application that the triggers do not know. Tests write names of columns as they are, which
        Oracle would read in upper case."""
        for name in ("_id_range", "_as_text", "name", "id"):
            statement = statement.replace(f" {name} ", f' "{name}" ').replace(f"({name}", f'("{name}"')
            statement = statement.replace(f", {name})", f', "{name}")')
        with oracledb.connect(**self.login.parameters()) as session, session.cursor() as cursor:
            cursor.execute(statement, fetch_lobs=False)
            found = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            session.commit()
            return found


@pytest.fixture
def login() -> Iterator[OracleLogin]:
    given = connection_of(os.environ[VARIABLE])
    admin = OracleLogin(
        given.host, given.service, given.user, given.secret(), given.port, given.tls, given.wallet
    )
    user, password = f"PUBLIC_{secrets.token_hex(6).upper()}", f"x{secrets.token_hex(10)}"
    with closing(admin.open()) as session:
        session.run(f'CREATE USER "{user}" IDENTIFIED BY "{password}" QUOTA UNLIMITED ON USERS')
        session.run(f'GRANT CREATE SESSION, CREATE TABLE, CREATE TRIGGER, CREATE SEQUENCE TO "{user}"')
        session.run(f'GRANT EXECUTE ON SYS.DBMS_LOCK TO "{user}"')
        try:
            yield replace(admin, user=user, password=password)
        finally:
            sessions = f"SELECT sid, serial# FROM v$session WHERE username = {text(user)}"
            for sid, serial in session.rows(sessions):
                session.run(f"ALTER SYSTEM KILL SESSION '{sid},{serial}' IMMEDIATE")
            session.run(f'DROP USER "{user}" CASCADE')


@pytest.fixture
def places(login: OracleLogin) -> Places:
    return lambda table: OraclePlace(login, table)


class TestOracle(ProjectionTargetContract, TargetViewContract):
    @pytest.fixture
    def place(self, login: OracleLogin) -> OraclePlace:
        return OraclePlace(login)


def test_any_history_in_any_pieces_equals_a_dict(login: OracleLogin) -> None:
    count = iter(range(10**6))
    random_histories_equal_a_dict(lambda: OraclePlace(login, TableId("shop", "s", f"t{next(count)}")))
