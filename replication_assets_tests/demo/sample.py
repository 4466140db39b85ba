"""A small sample database for tests, and a way to look into it."""

import psycopg

from replication_assets.demo import monolith
from replication_assets_tests.postgres_servers import FreshDatabase


def small_monolith(database: FreshDatabase) -> None:
    monolith.create(database.dsn, events=2_000, widgets=200, customers=100, orders=300)


def rows(database: FreshDatabase, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.dsn) as connection:
        return connection.execute(statement.encode()).fetchall()
