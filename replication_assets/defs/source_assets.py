"""Source tables as external assets: Dagster watches them and never makes them."""

from collections.abc import Iterable, Mapping

import dagster as dg

from replication_assets.catalog import (
    KafkaSourceConfig,
    MySqlSourceConfig,
    OracleSourceConfig,
    PostgresSourceConfig,
    SqliteSourceConfig,
    SqlServerSourceConfig,
    Table,
)
from replication_assets.declarations import SourceConfig
from replication_assets.defs import naming

_ENGINES: Mapping[type, str] = {
    PostgresSourceConfig: "postgres",
    MySqlSourceConfig: "mysql",
    SqliteSourceConfig: "sqlite",
    SqlServerSourceConfig: "sqlserver",
    OracleSourceConfig: "oracle",
    KafkaSourceConfig: "kafka",
}
"""Dagster's words for them, which have icons."""


def source_assets(tables: Iterable[Table], sources: Iterable[SourceConfig]) -> list[dg.AssetSpec]:
    """One external asset per table; the offset sensor reports where the source stands."""
    engines = {source.name: _ENGINES[type(source)] for source in sources}
    return [
        dg.AssetSpec(
            naming.source_key(table.id),
            description=f"`{table.id.schema}.{table.id.name}` in `{table.id.source}`, as last seen.",
            group_name=table.group or naming.plain(table.id.source),
            kinds={engines[table.id.source], "table"},
            owners=list(table.owners),
            tags=dict(table.tags),
            metadata={"dagster/table_name": f"{table.id.schema}.{table.id.name}"},
        )
        for table in tables
    ]
