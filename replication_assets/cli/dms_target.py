"""The SQL database that `dms import` declares for tables without an object mapping: places to fill in, and
a password by reference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from replication_assets.declarations import ProjectionDatabase
    from replication_assets.dms.compiling import Compiled

ENGINES = {
    "postgres": "postgres",
    "postgresql": "postgres",
    "aurora-postgresql": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
    "aurora": "mysql",
    "sqlserver": "sqlserver",
    "oracle": "oracle",
    "sqlite": "sqlite",
}
"""Engines of target endpoints, as AWS DMS calls them and without their hyphens."""
OTHERS = ("", "dynamodb", "s3", "kafka", "kinesis")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""MySQL on another machine is reached with a verified certificate alone."""


def database_of(engine: str, *, host: str, database: str, user: str) -> ProjectionDatabase | None:
    """None where tables go to a lakehouse.

    Raises:
        CatalogError: no projection writes to the engine.
    """
    from replication_assets.catalog import (
        EnvVar,
        MySqlTarget,
        OracleTarget,
        PostgresTarget,
        SqliteTarget,
        SqlServerTarget,
    )

    if engine in OTHERS:
        return None
    password = EnvVar("TARGET_PASSWORD")
    kind = ENGINES.get(engine)
    if kind == "postgres":
        return PostgresTarget(host=host, database=database, user=user, password=password)
    if kind == "mysql":
        return MySqlTarget(host=host, user=user, password=password, sslrootcert=_CERTIFICATES)
    if kind == "sqlserver":
        return SqlServerTarget(host=host, database=database, user=user, password=password)
    if kind == "oracle":
        return OracleTarget(host=host, service=database, user=user, password=password)
    if kind == "sqlite":
        return SqliteTarget(database)
    known = ", ".join([*ENGINES, *OTHERS[1:]])
    raise CatalogError([f"no projection writes to {engine[:40]!r}. Fix: one of {known}"], where="--target")


def into_database(compiled: Compiled, database: str) -> Compiled:
    """With a database that was named, where all tables of a MySQL target go: its server has one for each
    schema else. Settings of the task that name a schema win."""
    from replication_assets.catalog import MySqlTarget, SqlProjection

    projections = tuple(
        replace(each, into=each.into or database)
        if isinstance(each, SqlProjection) and isinstance(each.target, MySqlTarget) and database
        else each
        for each in compiled.projections
    )
    return replace(compiled, projections=projections)
