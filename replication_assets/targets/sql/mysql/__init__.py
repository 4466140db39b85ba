"""MySQL and MariaDB as environments of masked copies."""

from __future__ import annotations

from replication_assets.targets.sql.mysql.connection import MySqlServer
from replication_assets.targets.sql.mysql.target import MySqlDialect
from replication_assets.targets.sql.target import SqlEnvironment

__all__ = ["MySqlDialect", "MySqlServer", "mysql_environment"]


def mysql_environment(
    server: MySqlServer, environment: str, trust: str, *, prefix: str = ""
) -> SqlEnvironment:
    """The target of an environment: the databases below a prefix."""
    return SqlEnvironment(MySqlDialect(server, prefix), environment, trust)
