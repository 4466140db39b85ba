"""SQL Server as a projection target. Not run against a real server: docs/sql-projections.md says what was
checked instead."""

from replication_assets.targets.sql.projection.sqlserver.connection import SqlServerLogin
from replication_assets.targets.sql.projection.sqlserver.database import SqlServerDatabase

__all__ = ["SqlServerDatabase", "SqlServerLogin"]
