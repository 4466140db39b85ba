"""PostgreSQL (14 and later) as a target."""

from __future__ import annotations

from replication_assets.targets.sql.postgres.connection import TargetConnection
from replication_assets.targets.sql.postgres.session import PostgresDialect
from replication_assets.targets.sql.target import SqlEnvironment

__all__ = ["TargetConnection", "postgres_environment"]


def postgres_environment(connection: TargetConnection, environment: str, trust: str) -> SqlEnvironment:
    """The environment in this database. Nothing is connected to before the first call."""
    return SqlEnvironment(PostgresDialect(connection), environment, trust)
