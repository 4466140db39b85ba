"""The catalog: everything a user declares, validated as a whole.

`Catalog.validate` lists every problem at once, each with its place and its fix, before
anything is connected to. What only the source can tell (column types, keys, grants) is
checked when a table is reflected, in `table_fit.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.catalog_rules.catalog import catalog_problems
from replication_assets.catalog_rules.dms_tasks import dms_task_problems
from replication_assets.catalog_rules.refreshes import refresh_problems
from replication_assets.catalog_rules.topics import topics_problems
from replication_assets.core.id_ranges import ByBounds, ByCount, ByWidth, RangeSpec
from replication_assets.core.schema import TableId
from replication_assets.declarations import (
    AfterLoad,
    Attribute,
    CloudWatch,
    ColumnPolicy,
    Compare,
    Computed,
    Cutover,
    Declaration,
    DeltaProjection,
    DmsEnvelope,
    DmsTask,
    Document,
    DynamoDbProjection,
    Email,
    Environment,
    EnvironmentRefresh,
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
    Projection,
    Prometheus,
    PythonHook,
    Refusals,
    S3Pointer,
    Schedule,
    SeedRows,
    Shape,
    Sns,
    SourceConfig,
    Split,
    SqlHook,
    SqliteSourceConfig,
    SqliteTarget,
    SqlProjection,
    SqlServerSourceConfig,
    SqlServerTarget,
    Subset,
    Table,
    TablePolicy,
    TopicProjection,
    Ttl,
    Validation,
    Watch,
    Webhook,
    WebhookHook,
    Where,
    WriteCondition,
)
from replication_assets.declared_types import type_problems
from replication_assets.errors import CatalogError
from replication_assets.secret_references import EnvVar, SecretsManager, SsmParameter

__all__ = [
    "AfterLoad",
    "Attribute",
    "ByBounds",
    "ByCount",
    "ByWidth",
    "Catalog",
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
    "PostgresSourceConfig",
    "PostgresTarget",
    "Projection",
    "Prometheus",
    "PythonHook",
    "RangeSpec",
    "Refusals",
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
    "TablePolicy",
    "TopicProjection",
    "Ttl",
    "Validation",
    "Watch",
    "Webhook",
    "WebhookHook",
    "Where",
    "WriteCondition",
]


@dataclass(frozen=True, slots=True)
class Catalog(Declaration):
    """Sources, the tables read from them, and what follows them: projections, events in `topics`, and
    masked copies (`refreshes`) of tables in `environments`, by `policies`. `dms_tasks` are run besides,
    where AWS DMS is what reads a database."""

    event_store: EventStoreConfig
    sources: Sequence[SourceConfig] = ()
    tables: Sequence[Table] = ()
    projections: Sequence[Projection] = ()
    topics: Sequence[TopicProjection] = ()
    cutovers: Sequence[Cutover] = ()
    policies: Sequence[MaskingPolicy] = ()
    environments: Sequence[Environment] = ()
    refreshes: Sequence[EnvironmentRefresh] = ()
    dms_tasks: Sequence[DmsTask] = ()
    watch: Watch = Watch()

    def problems(self, *, today: dt.date | None = None) -> tuple[str, ...]:
        """All that is wrong; empty if nothing is. `today` is UTC's unless given."""
        wrong_kinds = tuple(type_problems(self))
        return wrong_kinds or tuple(
            catalog_problems(
                self.event_store,
                self.sources,
                self.tables,
                self.projections,
                self.cutovers,
                self.watch,
                today or dt.datetime.now(dt.UTC).date(),
            )
        ) + tuple(topics_problems(self.topics, self.tables, self.sources, self.projections)) + tuple(
            refresh_problems(
                self.tables,
                self.policies,
                self.environments,
                self.refreshes,
                self.sources,
                self.projections,
            )
        ) + tuple(
            dms_task_problems(
                self.dms_tasks,
                [source.name for source in self.sources],
                [refresh.name for refresh in self.refreshes],
            )
        )

    def validate(self, *, today: dt.date | None = None) -> Catalog:
        """Itself. Raises CatalogError with all problems, if there are any."""
        problems = self.problems(today=today)
        if problems:
            raise CatalogError(problems)
        return self

    def source(self, name: str) -> SourceConfig:
        """Raises KeyError for a source that is not declared."""
        return {source.name: source for source in self.sources}[name]

    def table(self, table: TableId) -> Table:
        """Raises KeyError for a table that is not declared."""
        return {each.id: each for each in self.tables}[table]

    def tables_of(self, source: str) -> tuple[Table, ...]:
        return tuple(table for table in self.tables if table.id.source == source)

    def projection(self, name: str) -> Projection:
        """Raises KeyError for a projection that is not declared."""
        return {projection.name: projection for projection in self.projections}[name]

    def policy(self, name: str) -> MaskingPolicy:
        """Raises KeyError for a policy that is not declared."""
        return {policy.name: policy for policy in self.policies}[name]

    def environment(self, name: str) -> Environment:
        """Raises KeyError for an environment that is not declared."""
        return {environment.name: environment for environment in self.environments}[name]

    def refresh(self, name: str) -> EnvironmentRefresh:
        """Raises KeyError for a refresh that is not declared."""
        return {refresh.name: refresh for refresh in self.refreshes}[name]

    def dms_task(self, name: str) -> DmsTask:
        """Raises KeyError for a task that is not declared."""
        return {task.name: task for task in self.dms_tasks}[name]

    def refreshed(self, refresh: EnvironmentRefresh) -> tuple[Table, ...]:
        """The tables of a refresh, in the order of the catalog."""
        return self._named(refresh.tables)

    def projected(self, projection: Projection | TopicProjection) -> tuple[Table, ...]:
        """The tables of a projection, in the order of the catalog."""
        return self._named(projection.tables)

    def _named(self, names: Sequence[str]) -> tuple[Table, ...]:
        named = set(names)
        return tuple(
            table for table in self.tables if str(table.id) in named or f"{table.id.source}.*" in named
        )
