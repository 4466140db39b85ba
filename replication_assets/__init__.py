"""replication_assets: databases replicated through an append-only event store, as Dagster assets.

The public names: what a catalog is declared with, what is made of it, and what reads the store.
Everything else is internal and may change. A name is imported when it is first used: a catalog
alone loads neither Dagster nor a driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replication_assets.catalog import (
        AfterLoad,
        Attribute,
        ByBounds,
        ByCount,
        ByWidth,
        Catalog,
        CloudWatch,
        ColumnPolicy,
        Compare,
        Computed,
        Cutover,
        DeltaProjection,
        DmsEnvelope,
        DmsTask,
        Document,
        DynamoDbProjection,
        Email,
        Environment,
        EnvironmentRefresh,
        EnvVar,
        EventDate,
        EventStoreConfig,
        ItemKey,
        Items,
        KafkaProjection,
        KafkaSourceConfig,
        KinesisProjection,
        LandedSourceConfig,
        LoadCapacity,
        MaskingPolicy,
        Messages,
        MySqlSourceConfig,
        MySqlTarget,
        Namespace,
        OneTime,
        OracleSourceConfig,
        OracleTarget,
        PostgresSourceConfig,
        PostgresTarget,
        Prometheus,
        PythonHook,
        Refusals,
        S3Pointer,
        Schedule,
        SecretsManager,
        SeedRows,
        Shape,
        Sns,
        Split,
        SqlHook,
        SqliteSourceConfig,
        SqliteTarget,
        SqlProjection,
        SqlServerSourceConfig,
        SqlServerTarget,
        SsmParameter,
        Subset,
        Table,
        TablePolicy,
        Ttl,
        Validation,
        Watch,
        Webhook,
        WebhookHook,
        Where,
        WriteCondition,
    )
    from replication_assets.core.positions import Position
    from replication_assets.core.schema import TableId
    from replication_assets.defs.build import build_definitions
    from replication_assets.defs.refresh.guard import guarded
    from replication_assets.errors import CatalogError, ReplicationError
    from replication_assets.flows.read import read_table
    from replication_assets.replication import Replication

__all__ = [
    "AfterLoad",
    "Attribute",
    "ByBounds",
    "ByCount",
    "ByWidth",
    "Catalog",
    "CatalogError",
    "CloudWatch",
    "ColumnPolicy",
    "Compare",
    "Computed",
    "Cutover",
    "DeltaProjection",
    "DmsEnvelope",
    "DmsTask",
    "Document",
    "DynamoDbProjection",
    "Email",
    "EnvVar",
    "Environment",
    "EnvironmentRefresh",
    "EventDate",
    "EventStoreConfig",
    "ItemKey",
    "Items",
    "KafkaProjection",
    "KafkaSourceConfig",
    "KinesisProjection",
    "LandedSourceConfig",
    "LoadCapacity",
    "MaskingPolicy",
    "Messages",
    "MySqlSourceConfig",
    "MySqlTarget",
    "Namespace",
    "OneTime",
    "OracleSourceConfig",
    "OracleTarget",
    "Position",
    "PostgresSourceConfig",
    "PostgresTarget",
    "Prometheus",
    "PythonHook",
    "Refusals",
    "Replication",
    "ReplicationError",
    "S3Pointer",
    "Schedule",
    "SecretsManager",
    "SeedRows",
    "Shape",
    "Sns",
    "Split",
    "SqlHook",
    "SqlProjection",
    "SqlServerSourceConfig",
    "SqlServerTarget",
    "SqliteSourceConfig",
    "SqliteTarget",
    "SsmParameter",
    "Subset",
    "Table",
    "TableId",
    "TablePolicy",
    "Ttl",
    "Validation",
    "Watch",
    "Webhook",
    "WebhookHook",
    "Where",
    "WriteCondition",
    "build_definitions",
    "guarded",
    "read_table",
]

_ELSEWHERE = {
    "CatalogError": "errors",
    "Position": "core.positions",
    "Replication": "replication",
    "ReplicationError": "errors",
    "TableId": "core.schema",
    "build_definitions": "defs.build",
    "guarded": "defs.refresh.guard",
    "read_table": "flows.read",
}
"""Modules of the names that are not declarations of a catalog."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'catalog')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
