"""From a declared source to a scratch database on its server, where what a capture costs is measured.

Part of the composition root (see `replication`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from replication_assets.change_sources import change_source, driver, mysql_connection, postgres_connection
from replication_assets.core.overhead import BY_LOG, BY_TRIGGERS, UNREAD
from replication_assets.declarations import (
    MySqlSourceConfig,
    PostgresSourceConfig,
    SourceConfig,
    SqliteSourceConfig,
)
from replication_assets.errors import SourceNotReady
from replication_assets.ports import ChangeSource, EventStore
from replication_assets.ports.scratch import ScratchDatabase

OVERHEAD = "overhead"
"""The source that is made for measuring what capture costs: its slot and its log are named after it."""


def scratch_database(config: SourceConfig) -> ScratchDatabase:
    """Where the server of a source can be measured without its tables."""
    if isinstance(config, PostgresSourceConfig):
        from replication_assets.sources.postgres.scratch import PostgresScratch

        return PostgresScratch(postgres_connection(config))
    if isinstance(config, MySqlSourceConfig):
        with driver("pymysql", "mysql", config.name):
            from replication_assets.sources.mysql.scratch import MySqlScratch

        return MySqlScratch(mysql_connection(config))
    if isinstance(config, SqliteSourceConfig):
        from replication_assets.sources.sqlite.scratch import SqliteScratch

        return SqliteScratch(str(Path(config.path).resolve().parent))
    raise _unmeasured(config)


def scratch_captures(config: SourceConfig) -> dict[str, ChangeSource]:
    """Captures of a scratch database by way (`core.overhead`): by log and by triggers, whichever the
    source itself is captured by."""
    if isinstance(config, SqliteSourceConfig):
        from replication_assets.sources.sqlite.scratch import SqliteScratch

        path = str(SqliteScratch(str(Path(config.path).resolve().parent)).path)
        return _by_triggers(change_source(replace(config, name=OVERHEAD, path=path), _no_store))
    if isinstance(config, PostgresSourceConfig):
        return _both(replace(config, name=OVERHEAD, slot=None, publication=None))
    if isinstance(config, MySqlSourceConfig):
        return _both(replace(config, name=OVERHEAD, server_id=None))
    raise _unmeasured(config)


def _both(config: PostgresSourceConfig | MySqlSourceConfig) -> dict[str, ChangeSource]:
    by_triggers = change_source(replace(config, capture="triggers"), _no_store)
    return {BY_LOG: change_source(replace(config, capture="log"), _no_store), **_by_triggers(by_triggers)}


def _by_triggers(capture: ChangeSource) -> dict[str, ChangeSource]:
    return {UNREAD: capture, BY_TRIGGERS: capture}


def _unmeasured(config: SourceConfig) -> SourceNotReady:
    return SourceNotReady(
        "the load of a capture is not measured on this engine",
        where=config.name,
        fix="measure PostgreSQL, MySQL, MariaDB or SQLite",
    )


def _no_store() -> EventStore:
    raise AssertionError("a scratch database is captured into no store")
