"""What a user declares: sources, tables, the event store, projections and how they are served.

Declarations are frozen dataclasses without behaviour; `catalog.py` puts them together and
`catalog_rules` says what is wrong with them.
"""

from replication_assets.core.row_filters import Compare, Where
from replication_assets.core.shape_specs import Computed, Shape
from replication_assets.declarations.base import Declaration, LiteralSecret
from replication_assets.declarations.dms_tasks import DmsTask
from replication_assets.declarations.dynamodb import (
    Attribute,
    ItemKey,
    Items,
    LoadCapacity,
    S3Pointer,
    Split,
    Ttl,
)
from replication_assets.declarations.environments import (
    DatabaseTarget,
    Environment,
    MySqlTarget,
    PostgresTarget,
    SqliteTarget,
)
from replication_assets.declarations.masking import ColumnPolicy, MaskingPolicy, Namespace, TablePolicy
from replication_assets.declarations.operations import (
    Cutover,
    Hook,
    PythonHook,
    RefusalPolicy,
    Refusals,
    Validation,
    WebhookHook,
)
from replication_assets.declarations.projections import (
    DeltaProjection,
    Document,
    DynamoDbProjection,
    Follow,
    Projection,
    SqlProjection,
)
from replication_assets.declarations.refreshes import (
    AfterLoad,
    EnvironmentRefresh,
    OneTime,
    RefreshHook,
    Schedule,
    SeedRows,
    SqlHook,
    Subset,
)
from replication_assets.declarations.sources import (
    CaptureBy,
    CaptureMode,
    EventStoreConfig,
    KafkaSourceConfig,
    LandedSourceConfig,
    MySqlSourceConfig,
    OracleSourceConfig,
    PostgresSourceConfig,
    SourceConfig,
    SqliteSourceConfig,
    SqlServerSourceConfig,
    SslMode,
)
from replication_assets.declarations.tables import EventDate, Table
from replication_assets.declarations.topics import KafkaProjection
from replication_assets.declarations.watch import (
    Channel,
    CloudWatch,
    Email,
    MetricExport,
    Prometheus,
    Sns,
    Watch,
    WatchEvent,
    Webhook,
)

__all__ = [
    "AfterLoad",
    "Attribute",
    "CaptureBy",
    "CaptureMode",
    "Channel",
    "CloudWatch",
    "ColumnPolicy",
    "Compare",
    "Computed",
    "Cutover",
    "DatabaseTarget",
    "Declaration",
    "DeltaProjection",
    "DmsTask",
    "Document",
    "DynamoDbProjection",
    "Email",
    "Environment",
    "EnvironmentRefresh",
    "EventDate",
    "EventStoreConfig",
    "Follow",
    "Hook",
    "ItemKey",
    "Items",
    "KafkaProjection",
    "KafkaSourceConfig",
    "LandedSourceConfig",
    "LiteralSecret",
    "LoadCapacity",
    "MaskingPolicy",
    "MetricExport",
    "MySqlSourceConfig",
    "MySqlTarget",
    "Namespace",
    "OneTime",
    "OracleSourceConfig",
    "PostgresSourceConfig",
    "PostgresTarget",
    "Projection",
    "Prometheus",
    "PythonHook",
    "RefreshHook",
    "RefusalPolicy",
    "Refusals",
    "S3Pointer",
    "Schedule",
    "SeedRows",
    "Shape",
    "Sns",
    "SourceConfig",
    "Split",
    "SqlHook",
    "SqlProjection",
    "SqlServerSourceConfig",
    "SqliteSourceConfig",
    "SqliteTarget",
    "SslMode",
    "Subset",
    "Table",
    "TablePolicy",
    "Ttl",
    "Validation",
    "Watch",
    "WatchEvent",
    "Webhook",
    "WebhookHook",
    "Where",
]
