"""SQLite files as an environment of masked copies: for a laptop."""

from __future__ import annotations

from pathlib import Path

from replication_assets.targets.sql.sqlite.session import SqliteDialect
from replication_assets.targets.sql.target import SqlEnvironment

__all__ = ["SqliteDialect", "sqlite_environment"]


def sqlite_environment(folder: Path, environment: str, trust: str) -> SqlEnvironment:
    """The environment in this folder. Nothing is made in it before it is marked."""
    return SqlEnvironment(SqliteDialect(folder), environment, trust)
