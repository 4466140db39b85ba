"""The composition root: a catalog, and the adapters that it declares, made when asked for.

With `change_sources` and `topic_adapters` the one place that names adapters. It knows no Dagster; assets, the
demonstration and tests all start here. Nothing is opened and no secret is read before a method is called.

Adapters whose libraries take long to import (boto3, SQLAlchemy) or that few catalogs use are
imported by the method that makes them: every step of a Dagster run is a process that imports anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from replication_assets.catalog import Catalog, DeltaProjection, DynamoDbProjection, Projection, SqlProjection
from replication_assets.change_sources import change_source
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.schema import TableId
from replication_assets.core.shape_specs import called, given_names
from replication_assets.core.shaped_structures import shaped_structures
from replication_assets.declarations import (
    Channel,
    CloudWatch,
    Environment,
    Hook,
    MetricExport,
    MySqlTarget,
    OracleTarget,
    PostgresTarget,
    PythonHook,
    Sns,
    SqliteTarget,
    SqlServerTarget,
    TopicProjection,
    Webhook,
)
from replication_assets.errors import RefreshError, TargetError
from replication_assets.event_store import DeltaEventStore
from replication_assets.ports import ChangeSource, EventStore, ProjectionTarget, SwitchHook
from replication_assets.ports.dms_tasks import DmsTaskControl
from replication_assets.ports.environment import EnvironmentTarget
from replication_assets.ports.topics import Topic
from replication_assets.ports.watch import MetricSink, Notifier
from replication_assets.secret_references import SecretReference, resolve_for
from replication_assets.targets.delta import DeltaTarget
from replication_assets.targets.shaped import ShapedTarget
from replication_assets.topic_adapters import topic_of

if TYPE_CHECKING:
    from replication_assets.targets.dynamodb import DynamoDbSettings
    from replication_assets.targets.sql.mysql import MySqlServer
    from replication_assets.targets.sql.postgres import TargetConnection
    from replication_assets.targets.sql.projection.database import Database
    from replication_assets.targets.sql.projection.layout import Named


class Replication:
    """What a catalog declares, ready to be used. Cheap to make; picklable."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def source(self, name: str) -> ChangeSource:
        """Raises KeyError for a source that is not declared, SecretError for its password."""
        return change_source(self.catalog.source(name), self.store)

    def store(self) -> EventStore:
        """Raises SecretError for a storage option that cannot be read."""
        config = self.catalog.event_store
        return DeltaEventStore(config.root, _revealed(config.storage_options, "event store"))

    def target(self, projection: Projection, table: TableId) -> ProjectionTarget:
        """Raises SecretError for a credential that cannot be read."""
        target = self._plain_target(projection, table)
        shape = next((each for each in projection.shapes if each.table == str(table)), None)
        return ShapedTarget(target, shape) if shape is not None and shape.is_of_rows else target

    def _plain_target(self, projection: Projection, table: TableId) -> ProjectionTarget:
        if isinstance(projection, DynamoDbProjection):
            return self._dynamodb_target(projection, table)
        target = self._row_target(projection, table)
        documents = [each for each in projection.documents if each.table == str(table)]
        if not documents:
            return target
        from replication_assets.targets.documents import DocumentTarget

        return DocumentTarget(target, documents, f"projection {projection.name} {table}")

    def _row_target(self, projection: DeltaProjection | SqlProjection, table: TableId) -> ProjectionTarget:
        if isinstance(projection, DeltaProjection):
            options = _revealed(projection.storage_options, f"projection {projection.name}")
            return DeltaTarget(projection.root, table, options, called=called(projection.shapes, table))
        return self._sql_target(projection, table)

    def _dynamodb_target(self, projection: DynamoDbProjection, table: TableId) -> ProjectionTarget:
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

    def _sql_target(self, projection: SqlProjection, table: TableId) -> ProjectionTarget:
        from replication_assets.targets.sql.projection import Projected, SqlTarget

        tables = frozenset(each.id for each in self.catalog.projected(projection))
        structures = shaped_structures(lambda each: self.store().structures(each).last(), projection.shapes)
        projected = Projected(tables, structures)
        return SqlTarget(_sql_database(projection, tables), table, projected=projected)

    def topic(self, projection: TopicProjection, table: TableId) -> Topic:
        """The topic or stream of a table. Nothing is connected to, and no secret read, before a call.

        Raises:
            SourceNotReady: the driver is not installed.
        """
        return topic_of(projection, table)

    def environment_target(self, environment: Environment) -> EnvironmentTarget:
        """The database of an environment. Nothing is connected to, and no secret read, before a call.

        Raises:
            RefreshError: its driver is not installed.
        """
        target = environment.target
        if isinstance(target, PostgresTarget):
            from replication_assets.targets.sql.postgres import postgres_environment

            return postgres_environment(_postgres_connection(target), environment.name, environment.trust)
        if isinstance(target, MySqlTarget):
            from replication_assets.targets.sql.mysql import mysql_environment

            server = _mysql_server(target)
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

    def dms_task(self, name: str) -> DmsTaskControl:
        """Raises KeyError for a task that is not declared."""
        from replication_assets.sources.dms_task.control import Boto3DmsTask

        task = self.catalog.dms_task(name)
        return Boto3DmsTask(task.arn, task.endpoint_url, task.access_key_id, task.secret_access_key)

    def hook(self, hook: Hook) -> SwitchHook:
        """What points readers elsewhere, ready to be called."""
        if isinstance(hook, PythonHook):
            from replication_assets.hooks.function import FunctionHook

            return FunctionHook(hook.function)
        from replication_assets.hooks.webhook import HttpHook

        return HttpHook(hook.url)


def _sql_database(projection: SqlProjection, tables: Collection[TableId] = ()) -> Database:
    """`tables` are those of the projection."""
    target, into = projection.target, projection.into
    named = given_names(projection.shapes, tables)
    if isinstance(target, PostgresTarget):
        from replication_assets.targets.sql.projection.postgres import PostgresDatabase

        return PostgresDatabase(_postgres_connection(target), into=into, called=named)
    if isinstance(target, MySqlTarget):
        from replication_assets.targets.sql.projection.mysql import MySqlDatabase

        return MySqlDatabase(_mysql_server(target), prefix=target.prefix, into=into, called=named)
    if isinstance(target, SqlServerTarget):
        return _sqlserver_database(target, projection, named)
    if isinstance(target, OracleTarget):
        return _oracle_database(target, projection, named)
    from replication_assets.targets.sql.projection.sqlite import SqliteDatabase

    return SqliteDatabase(Path(target.folder), into=into, called=named)


@contextmanager
def _driver(module: str, extra: str, projection: SqlProjection) -> Iterator[None]:
    """An import of an adapter whose driver is an extra of this package."""
    try:
        yield
    except ImportError as error:
        if error.name != module:
            raise
        raise TargetError(
            f"the driver {module} is not installed",
            where=f"projection {projection.name}",
            fix=f"pip install 'replication-assets[{extra}]'",
        ) from None


def _sqlserver_database(target: SqlServerTarget, projection: SqlProjection, named: Named) -> Database:
    with _driver("mssql_python", "sqlserver", projection):
        from replication_assets.targets.sql.projection.sqlserver import SqlServerDatabase, SqlServerLogin

    login = SqlServerLogin(
        host=target.host,
        database=target.database,
        user=target.user,
        password=target.password,
        port=target.port,
        encrypt=target.encrypt,
        trust_server_certificate=target.trust_server_certificate,
        server_certificate=target.server_certificate,
    )
    return SqlServerDatabase(login, into=projection.into, called=named)


def _oracle_database(target: OracleTarget, projection: SqlProjection, named: Named) -> Database:
    with _driver("oracledb", "oracle", projection):
        from replication_assets.targets.sql.projection.oracle import OracleDatabase, OracleLogin

    login = OracleLogin(
        host=target.host,
        service=target.service,
        user=target.user,
        password=target.password,
        port=target.port,
        tls=target.tls,
        wallet=target.wallet,
        wallet_password=target.wallet_password,
        server_name=target.server_name,
    )
    return OracleDatabase(login, into=projection.into, called=named)


def _postgres_connection(target: PostgresTarget) -> TargetConnection:
    from replication_assets.targets.sql.postgres import TargetConnection

    return TargetConnection(
        host=target.host,
        database=target.database,
        user=target.user,
        password=target.password,
        port=target.port,
        sslmode=target.sslmode,
        sslrootcert=target.sslrootcert,
    )


def _mysql_server(target: MySqlTarget) -> MySqlServer:
    from replication_assets.targets.sql.mysql import MySqlServer

    return MySqlServer(target.host, target.user, target.port, target.password, sslrootcert=target.sslrootcert)


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
