"""From a declared source to the adapter that loads and captures it.

Part of the composition root (see `replication`): nothing is opened and no secret is read here.
Adapters that few catalogs use are imported by the function that makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replication_assets.core.overhead import BY_LOG, BY_TRIGGERS, UNREAD
from replication_assets.declarations import (
    MySqlSourceConfig,
    PostgresSourceConfig,
    SourceConfig,
    SqliteSourceConfig,
    SqlServerSourceConfig,
)
from replication_assets.errors import SourceNotReady
from replication_assets.ports import ChangeSource
from replication_assets.ports.scratch import ScratchDatabase
from replication_assets.sources.postgres.connection import PostgresConnection
from replication_assets.sources.postgres.source import PostgresSource

if TYPE_CHECKING:
    from replication_assets.sources.mysql import MySqlConnection


def change_source(config: SourceConfig) -> ChangeSource:
    """Raises SourceNotReady if the engine's driver is not installed."""
    return _MAKERS[type(config)](config)


def _postgres_connection(config: PostgresSourceConfig) -> PostgresConnection:
    return PostgresConnection(
        host=config.host,
        port=config.port,
        database=config.database,
        user=config.user,
        password=config.password,
        sslmode=config.sslmode,
        sslrootcert=config.sslrootcert,
    )


def _postgres(config: PostgresSourceConfig) -> ChangeSource:
    connection = _postgres_connection(config)
    if config.capture == "triggers":
        from replication_assets.sources.postgres.triggers.source import TriggerSource

        return TriggerSource(config.name, connection, load_wait=config.load_wait_seconds)
    return PostgresSource(
        config.name,
        connection,
        slot=config.slot_name,
        publication=config.publication_name,
        load_wait=config.load_wait_seconds,
    )


def _mysql_connection(config: MySqlSourceConfig) -> MySqlConnection:
    from replication_assets.sources.mysql import MySqlConnection

    return MySqlConnection(
        host=config.host,
        port=config.port,
        user=config.user,
        password=config.password,
        sslmode=config.sslmode,
        sslrootcert=config.sslrootcert,
    )


def _mysql(config: MySqlSourceConfig) -> ChangeSource:
    with _driver("pymysql", "mysql", config.name):
        from replication_assets.sources.mysql import MySqlSource

    connection = _mysql_connection(config)
    if config.capture == "triggers":
        from replication_assets.sources.mysql.triggers.source import MySqlTriggerSource

        return MySqlTriggerSource(
            config.name, connection, cascades=config.cascades, load_wait=config.load_wait_seconds
        )
    return MySqlSource(
        config.name,
        connection,
        server_id=config.server_id,
        cascades=config.cascades,
        load_wait=config.load_wait_seconds,
    )


def _sqlserver(config: SqlServerSourceConfig) -> ChangeSource:
    with _driver("mssql_python", "sqlserver", config.name):
        from replication_assets.sources.sqlserver.sessions import SqlServerConnection
        from replication_assets.sources.sqlserver.source import CdcSource, TrackingSource

    connection = SqlServerConnection(
        host=config.host,
        database=config.database,
        user=config.user,
        password=config.password,
        port=config.port,
        encrypt=config.encrypt,
        trust_server_certificate=config.trust_server_certificate,
        server_certificate=config.server_certificate,
    )
    by = {"cdc": CdcSource, "change_tracking": TrackingSource}
    return by[config.capture](config.name, connection)


def _sqlite(config: SqliteSourceConfig) -> ChangeSource:
    from replication_assets.sources.sqlite.connection import SqliteDatabase
    from replication_assets.sources.sqlite.source import SqliteSource

    return SqliteSource(config.name, SqliteDatabase(config.path, config.busy_seconds))


_MAKERS: Mapping[type, Callable[[Any], ChangeSource]] = {
    PostgresSourceConfig: _postgres,
    MySqlSourceConfig: _mysql,
    SqliteSourceConfig: _sqlite,
    SqlServerSourceConfig: _sqlserver,
}


@contextmanager
def _driver(module: str, extra: str, source: str) -> Iterator[None]:
    """An import of an adapter whose driver is an extra of this package."""
    try:
        yield
    except ImportError as error:
        if error.name != module:
            raise
        raise SourceNotReady(
            f"the driver {module} is not installed",
            where=source,
            fix=f"pip install 'replication-assets[{extra}]'",
        ) from None


# --- scratch databases ------------------------------------------------------------------------

OVERHEAD = "overhead"
"""The source that is made for measuring what capture costs: its slot and its log are named after it."""


def scratch_database(config: SourceConfig) -> ScratchDatabase:
    """Where the server of a source can be measured without its tables."""
    if isinstance(config, PostgresSourceConfig):
        from replication_assets.sources.postgres.scratch import PostgresScratch

        return PostgresScratch(_postgres_connection(config))
    if isinstance(config, MySqlSourceConfig):
        with _driver("pymysql", "mysql", config.name):
            from replication_assets.sources.mysql.scratch import MySqlScratch

        return MySqlScratch(_mysql_connection(config))
    from replication_assets.sources.sqlite.scratch import SqliteScratch

    return SqliteScratch(str(Path(config.path).resolve().parent))


def scratch_captures(config: SourceConfig) -> dict[str, ChangeSource]:
    """Captures of a scratch database by way (`core.overhead`): by log and by triggers, whichever the
    source itself is captured by."""
    if isinstance(config, SqliteSourceConfig):
        from replication_assets.sources.sqlite.scratch import SqliteScratch

        path = str(SqliteScratch(str(Path(config.path).resolve().parent)).path)
        return _by_triggers(change_source(replace(config, name=OVERHEAD, path=path)))
    if isinstance(config, PostgresSourceConfig):
        config = replace(config, slot=None, publication=None)
    else:
        config = replace(config, server_id=None)
    by_log, by_triggers = (
        change_source(replace(config, name=OVERHEAD, capture=capture)) for capture in ("log", "triggers")
    )
    return {BY_LOG: by_log, **_by_triggers(by_triggers)}


def _by_triggers(capture: ChangeSource) -> dict[str, ChangeSource]:
    return {UNREAD: capture, BY_TRIGGERS: capture}
