"""From a declared source to the adapter that loads and captures it.

Part of the composition root (see `replication`): nothing is opened and no secret is read here.
Adapters that few catalogs use are imported by the function that makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from replication_assets.core.envelopes.types import ValueFormat, spelled_column
from replication_assets.declarations import (
    KafkaSourceConfig,
    MySqlSourceConfig,
    OracleSourceConfig,
    PostgresSourceConfig,
    SourceConfig,
    SqliteSourceConfig,
    SqlServerSourceConfig,
)
from replication_assets.errors import SourceNotReady
from replication_assets.ports import ChangeSource, EventStore
from replication_assets.sources.postgres.connection import PostgresConnection
from replication_assets.sources.postgres.source import PostgresSource

if TYPE_CHECKING:
    from replication_assets.sources.mysql import MySqlConnection


def change_source(config: SourceConfig, store: Callable[[], EventStore]) -> ChangeSource:
    """A source of topics keeps its offset journal in the `store`.

    Raises:
        SourceNotReady: the engine's driver is not installed.
    """
    if isinstance(config, KafkaSourceConfig):
        return _kafka(config, store())
    return _MAKERS[type(config)](config)


def postgres_connection(config: PostgresSourceConfig) -> PostgresConnection:
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
    connection = postgres_connection(config)
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


def mysql_connection(config: MySqlSourceConfig) -> MySqlConnection:
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
    with driver("pymysql", "mysql", config.name):
        from replication_assets.sources.mysql import MySqlSource

    connection = mysql_connection(config)
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
    with driver("mssql_python", "sqlserver", config.name):
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


def _oracle(config: OracleSourceConfig) -> ChangeSource:
    with driver("oracledb", "oracle", config.name):
        from replication_assets.sources.oracle import OracleConnection, OracleSource

    connection = OracleConnection(
        host=config.host,
        port=config.port,
        service=config.service,
        user=config.user,
        password=config.password,
        tls=config.tls,
        wallet=config.wallet,
        wallet_password=config.wallet_password,
        server_name=config.server_name,
        log_service=config.log_service,
    )
    return OracleSource(config.name, connection)


def _kafka(config: KafkaSourceConfig, store: EventStore) -> ChangeSource:
    with driver("confluent_kafka", "kafka", config.name):
        from replication_assets.sources.kafka.connection import KafkaCluster
        from replication_assets.sources.kafka.source import KafkaSource, TopicFormat

    cluster = KafkaCluster(
        config.bootstrap_servers,
        tls=config.tls,
        ca_file=config.ca_file,
        certificate_file=config.certificate_file,
        key_file=config.key_file,
        sasl=config.sasl,
        user=config.user,
        password=config.password,
        region=config.region,
    )
    binary = config.binary or ("hex" if config.envelope == "dms" else "base64")
    values = ValueFormat(binary, config.decimals, epochs=config.envelope == "debezium")
    columns = {
        table: tuple(spelled_column(each) for each in spelled) for table, spelled in config.columns.items()
    }
    form = TopicFormat(
        config.envelope,
        values,
        columns,
        keep_refused=config.malformed == "keep",
        partial_history=config.partial_history,
    )
    return KafkaSource(config.name, cluster, tuple(config.topics), form, store.offsets(config.name))


_MAKERS: Mapping[type, Callable[[Any], ChangeSource]] = {
    PostgresSourceConfig: _postgres,
    MySqlSourceConfig: _mysql,
    SqliteSourceConfig: _sqlite,
    SqlServerSourceConfig: _sqlserver,
    OracleSourceConfig: _oracle,
}


@contextmanager
def driver(module: str, extra: str, source: str) -> Iterator[None]:
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
