"""The source that `dms import` writes: an engine by name, with places to fill in."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replication_assets.declarations import SourceConfig
    from replication_assets.dms.compiling import Compiled


class Engine(StrEnum):
    """What the source is."""

    POSTGRES = "postgres"
    MYSQL = "mysql"
    MARIADB = "mariadb"
    SQLSERVER = "sqlserver"
    ORACLE = "oracle"
    SQLITE = "sqlite"


def source_config(
    engine: Engine, name: str, *, host: str, database: str, user: str, compiled: Compiled
) -> SourceConfig:
    """`database` is Oracle's service, and SQLite's file. The password is an environment variable. What a
    task says of waiting for transactions is for engines whose loads wait."""
    from replication_assets.catalog import (
        EnvVar,
        MySqlSourceConfig,
        OracleSourceConfig,
        PostgresSourceConfig,
        SqliteSourceConfig,
        SqlServerSourceConfig,
    )

    loads = compiled.max_parallel_loads or 4
    wait = compiled.load_wait_seconds or 60
    password = EnvVar(f"{name.upper()}_PASSWORD")
    if engine == Engine.SQLITE:
        return SqliteSourceConfig(name, path=database, max_parallel_loads=loads)
    if engine in (Engine.MYSQL, Engine.MARIADB):
        return MySqlSourceConfig(
            name, host=host, user=user, password=password, max_parallel_loads=loads, load_wait_seconds=wait
        )
    if engine == Engine.SQLSERVER:
        return SqlServerSourceConfig(
            name, host=host, database=database, user=user, password=password, max_parallel_loads=loads
        )
    if engine == Engine.ORACLE:
        return OracleSourceConfig(
            name, host=host, service=database, user=user, password=password, max_parallel_loads=loads
        )
    return PostgresSourceConfig(
        name,
        host=host,
        database=database,
        user=user,
        password=password,
        max_parallel_loads=loads,
        load_wait_seconds=wait,
    )
