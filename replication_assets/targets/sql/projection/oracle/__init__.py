"""Oracle as a projection target. Not run against a real server: docs/sql-projections.md says what was
checked instead."""

from replication_assets.targets.sql.projection.oracle.connection import OracleLogin
from replication_assets.targets.sql.projection.oracle.database import OracleDatabase

__all__ = ["OracleDatabase", "OracleLogin"]
