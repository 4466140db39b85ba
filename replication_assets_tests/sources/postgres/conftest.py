"""Sources and application sessions on fresh databases of real servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from replication_assets.sources.postgres import PostgresConnection, PostgresSource
from replication_assets_tests.postgres_servers import FreshDatabase


@pytest.fixture
def connection(any_postgres_database: FreshDatabase) -> PostgresConnection:
    """An empty database, on each server in turn."""
    return PostgresConnection.parse(any_postgres_database.dsn)


@pytest.fixture
def source(connection: PostgresConnection, any_postgres_database: FreshDatabase) -> PostgresSource:
    """A source on that database; its objects are called after it, since slots are shared."""
    return PostgresSource(any_postgres_database.name, connection, load_wait=20)


@pytest.fixture
def sql(connection: PostgresConnection) -> Iterator[psycopg.Connection[Any]]:
    """An application's session in that database."""
    with application(connection) as session:
        yield session


def application(
    connection: PostgresConnection, name: str = "application", *, autocommit: bool = True
) -> psycopg.Connection[Any]:
    """A session that writes, with the settings of an ordinary client."""
    return psycopg.connect(
        host=connection.host,
        port=connection.port,
        dbname=connection.database,
        user=connection.user,
        application_name=name,
        autocommit=autocommit,
    )
