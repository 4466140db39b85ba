"""The composition root: a catalog, and the adapters that it declares, made when asked for.

The one module that names adapters. It knows no Dagster; assets, the demonstration and tests
all start here. Nothing is opened and no secret is read before a method is called.

Adapters whose libraries take long to import (boto3, SQLAlchemy) or that few catalogs use are
imported by the method that makes them: every step of a Dagster run is a process that imports anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from replication_assets.catalog import Catalog, DeltaProjection, DynamoDbProjection, Projection
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.schema import TableId
from replication_assets.declarations import (
    Channel,
    CloudWatch,
    Environment,
    Hook,
    MetricExport,
    MySqlSourceConfig,
    MySqlTarget,
    PostgresTarget,
    PythonHook,
    Sns,
    SqliteTarget,
    Webhook,
)
from replication_assets.errors import RefreshError, SourceNotReady
from replication_assets.event_store import DeltaEventStore
from replication_assets.ports import ChangeSource, EventStore, ProjectionTarget, SwitchHook
from replication_assets.ports.environment import EnvironmentTarget
from replication_assets.ports.watch import MetricSink, Notifier
from replication_assets.secret_references import SecretReference, resolve_for
from replication_assets.sources.postgres.connection import PostgresConnection
from replication_assets.sources.postgres.source import PostgresSource
from replication_assets.targets.delta import DeltaTarget

if TYPE_CHECKING:
    from replication_assets.targets.dynamodb import DynamoDbSettings


class Replication:
    """What a catalog declares, ready to be used. Cheap to make; picklable."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def source(self, name: str) -> ChangeSource:
        """Raises KeyError for a source that is not declared, SecretError for its password."""
        config = self.catalog.source(name)
        if isinstance(config, MySqlSourceConfig):
            return _mysql_source(config)
        connection = PostgresConnection(
            host=config.host,
            port=config.port,
            database=config.database,
            user=config.user,
            password=config.password,
            sslmode=config.sslmode,
            sslrootcert=config.sslrootcert,
        )
        return PostgresSource(
            config.name,
            connection,
            slot=config.slot_name,
            publication=config.publication_name,
            load_wait=config.load_wait_seconds,
        )

    def store(self) -> EventStore:
        """Raises SecretError for a storage option that cannot be read."""
        config = self.catalog.event_store
        return DeltaEventStore(config.root, _revealed(config.storage_options, "event store"))

    def target(self, projection: Projection, table: TableId) -> ProjectionTarget:
        """Raises SecretError for a credential that cannot be read."""
        if isinstance(projection, DeltaProjection):
            options = _revealed(projection.storage_options, f"projection {projection.name}")
            return DeltaTarget(projection.root, table, options)
        from replication_assets.targets.dynamodb import DynamoDbTarget

        (items,) = (each for each in projection.items if each.table == str(table))
        beside = [
            each
            for other in self.catalog.projections
            if isinstance(other, DynamoDbProjection)
            for each in other.items
            if each.into == items.into
        ]
        return DynamoDbTarget(
            _dynamodb_settings(projection),
            items,
            table,
            expiry=next((each.ttl.name for each in beside if each.ttl is not None), None),
            shared=len(beside) > 1,
        )

    def environment_target(self, environment: Environment) -> EnvironmentTarget:
        """The database of an environment. Nothing is connected to, and no secret read, before a call.

        Raises:
            RefreshError: its driver is not installed.
        """
        target = environment.target
        if isinstance(target, PostgresTarget):
            from replication_assets.targets.sql.postgres import TargetConnection, postgres_environment

            connection = TargetConnection(
                host=target.host,
                database=target.database,
                user=target.user,
                password=target.password,
                port=target.port,
                sslmode=target.sslmode,
                sslrootcert=target.sslrootcert,
            )
            return postgres_environment(connection, environment.name, environment.trust)
        if isinstance(target, MySqlTarget):
            from replication_assets.targets.sql.mysql import MySqlServer, mysql_environment

            server = MySqlServer(
                target.host, target.user, target.port, target.password, sslrootcert=target.sslrootcert
            )
            return mysql_environment(server, environment.name, environment.trust, prefix=target.prefix)
        if isinstance(target, SqliteTarget):
            from replication_assets.targets.sql.sqlite import sqlite_environment

            return sqlite_environment(Path(target.folder), environment.name, environment.trust)
        raise RefreshError(
            f"{type(target).__name__} is not supported", where=f"environment {environment.name}"
        )

    def mask_keys(self, environment: Environment) -> KeyRing:
        """The keys of an environment's masks, read now.

        Raises:
            SecretError, GuardError: there is none, or none that may be used.
        """
        text = resolve_for(environment.mask_key, f"environment {environment.name}").reveal()
        return KeyRing.from_text(text, environment=environment.name, scope=environment.scope)

    def notifier(self, channel: Channel) -> Notifier:
        """A channel of `Watch.notify`."""
        if isinstance(channel, Webhook):
            from replication_assets.notify.webhook import WebhookNotifier

            return WebhookNotifier(channel.url, channel.headers, channel.cafile)
        if isinstance(channel, Sns):
            from replication_assets.notify.sns import SnsNotifier

            return SnsNotifier(channel.topic_arn, channel.region, channel.endpoint_url)
        from replication_assets.notify.email import EmailNotifier

        return EmailNotifier(
            channel.host,
            channel.port,
            channel.sender,
            channel.recipients,
            channel.user,
            channel.password,
            channel.tls,
            channel.cafile,
        )

    def metric_sink(self, export: MetricExport) -> MetricSink:
        """A monitoring system of `Watch.metrics`."""
        if isinstance(export, CloudWatch):
            from replication_assets.metrics.cloudwatch import CloudWatchSink

            return CloudWatchSink(export.namespace, export.region, export.endpoint_url, export.dimensions)
        from replication_assets.metrics.prometheus import PrometheusFile

        return PrometheusFile(export.file)

    def hook(self, hook: Hook) -> SwitchHook:
        """What points readers elsewhere, ready to be called."""
        if isinstance(hook, PythonHook):
            from replication_assets.hooks.function import FunctionHook

            return FunctionHook(hook.function)
        from replication_assets.hooks.webhook import HttpHook

        return HttpHook(hook.url)


def _dynamodb_settings(projection: DynamoDbProjection) -> DynamoDbSettings:
    from replication_assets.targets.dynamodb import DynamoDbSettings
    from replication_assets.targets.dynamodb.wire.credentials import Credentials
    from replication_assets.targets.dynamodb.wire.wire import WireSettings

    capacity = projection.load_capacity
    access, secret = projection.access_key_id, projection.secret_access_key
    credentials = None
    if access is not None and secret is not None:
        whom = f"projection {projection.name}"
        credentials = Credentials(resolve_for(access, whom).reveal(), resolve_for(secret, whom).reveal())
    return DynamoDbSettings(
        projection.name,
        WireSettings(
            region=projection.region,
            endpoint_url=projection.endpoint_url,
            credentials=credentials,
            connections=projection.connections,
        ),
        control_table=projection.control_table,
        tombstone_hours=projection.tombstone_hours,
        on_demand_loads=capacity is not None and capacity.mode == "on-demand",
        warm_units=capacity.write_units if capacity is not None else None,
    )


def _revealed(options: Mapping[str, str | SecretReference], whom: str) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else resolve_for(value, whom).reveal()
        for name, value in options.items()
    }


def _mysql_source(config: MySqlSourceConfig) -> ChangeSource:
    """Raises SourceNotReady if the driver is not installed."""
    try:
        from replication_assets.sources.mysql import MySqlConnection, MySqlSource
    except ImportError as error:
        if error.name != "pymysql":
            raise
        raise SourceNotReady(
            "the driver for MySQL is not installed",
            where=config.name,
            fix="pip install 'replication-assets[mysql]'",
        ) from None
    connection = MySqlConnection(
        host=config.host,
        port=config.port,
        user=config.user,
        password=config.password,
        sslmode=config.sslmode,
        sslrootcert=config.sslrootcert,
    )
    return MySqlSource(
        config.name,
        connection,
        server_id=config.server_id,
        cascades=config.cascades,
        load_wait=config.load_wait_seconds,
    )
