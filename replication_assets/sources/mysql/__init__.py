"""The adapter for MySQL and MariaDB. `MySqlSource` is a `ports.ChangeSource`."""

from replication_assets.sources.mysql.connection import MySqlConnection
from replication_assets.sources.mysql.source import MySqlSource

__all__ = ["MySqlConnection", "MySqlSource"]
