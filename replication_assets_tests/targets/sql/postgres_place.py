"""An empty PostgreSQL database for the contract of environment targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from replication_assets.targets.sql.postgres import TargetConnection, postgres_environment
from replication_assets.targets.sql.target import SqlEnvironment
from replication_assets_tests.postgres_servers import FreshDatabase


@dataclass
class PostgresPlace:
    database: FreshDatabase

    @property
    def connection(self) -> TargetConnection:
        parts = psycopg.conninfo.conninfo_to_dict(self.database.dsn)
        return TargetConnection(
            str(parts["host"]),
            str(parts["dbname"]),
            str(parts["user"]),
            port=int(str(parts["port"])),
            sslmode="prefer",
        )

    def target(self, environment: str = "qa", trust: str = "nonproduction") -> SqlEnvironment:
        return postgres_environment(self.connection, environment, trust)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.dsn, autocommit=True) as session:
            cursor = session.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def ids(self, schema: str, table: str) -> list[int]:
        name = f'"{schema}"."{table}"'
        if self.ask(f"SELECT to_regclass('{name}') IS NULL")[0][0]:
            return []
        return [row[0] for row in self.ask(f"SELECT id FROM {name} ORDER BY 1")]

    def add(self, schema: str, table: str) -> int:
        return int(self.ask(f'INSERT INTO "{schema}"."{table}" DEFAULT VALUES RETURNING id')[0][0])

    def strange_table(self) -> None:
        self.ask("CREATE TABLE public.strange (id int)")

    def clear(self) -> None:
        """As if it were a new database, in a fraction of the time that one takes."""
        schemas = self.ask(
            "SELECT quote_ident(nspname) FROM pg_namespace"
            " WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
        )
        self.ask(f"DROP SCHEMA {', '.join(name for (name,) in schemas)} CASCADE")
        self.ask("CREATE SCHEMA public")
