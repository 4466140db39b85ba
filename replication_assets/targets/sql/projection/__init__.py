"""Tables of PostgreSQL, MySQL, MariaDB and SQLite kept equal to the folds of tables of any source."""

from replication_assets.targets.sql.projection.mysql import MySqlDatabase
from replication_assets.targets.sql.projection.postgres import PostgresDatabase
from replication_assets.targets.sql.projection.sqlite import SqliteDatabase
from replication_assets.targets.sql.projection.target import SqlTarget

__all__ = ["MySqlDatabase", "PostgresDatabase", "SqlTarget", "SqliteDatabase"]
