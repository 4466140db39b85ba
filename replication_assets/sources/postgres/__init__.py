"""PostgreSQL: loads through exported snapshots, capture through logical replication."""

from replication_assets.sources.postgres.connection import PostgresConnection
from replication_assets.sources.postgres.source import PostgresSource

__all__ = ["PostgresConnection", "PostgresSource"]
