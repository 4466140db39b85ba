"""A fresh database per test on a running server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from replication_assets.sources.postgres.connection import PostgresConnection, connect

_DEFAULT_DSN = "host=127.0.0.1 port=55432 user=postgres dbname=postgres"


@pytest.fixture(scope="session")
def server() -> PostgresConnection:
    """A superuser's way into the test server's maintenance database."""
    return PostgresConnection.parse(os.environ.get("RA_TEST_PG_DSN", _DEFAULT_DSN))


@pytest.fixture
def database(server: PostgresConnection) -> Iterator[PostgresConnection]:
    """A new database; its slots and itself are gone afterwards."""
    yield from fresh_database(server)


@pytest.fixture(scope="module")
def shared_database(server: PostgresConnection) -> Iterator[PostgresConnection]:
    """As `database`, once for all tests of a module that only read it."""
    yield from fresh_database(server)


def fresh_database(server: PostgresConnection) -> Iterator[PostgresConnection]:
    name = f"pgsource_{uuid.uuid4().hex[:12]}"
    with connect(server) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield replace(server, database=name)
        finally:
            drop_slots(admin, name)
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def drop_slots(admin: psycopg.Connection[Any], database: str) -> None:
    admin.execute(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
        " WHERE database = %s AND active_pid IS NOT NULL",
        (database,),
    )
    admin.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        " WHERE database = %s AND NOT temporary",
        (database,),
    )


@pytest.fixture
def sql(database: PostgresConnection) -> Iterator[psycopg.Connection[Any]]:
    """An application's session in the fresh database."""
    with psycopg.connect(database.conninfo(), autocommit=True) as session:
        session.execute("SET search_path = public")
        yield session
