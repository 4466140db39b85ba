"""Source tables as external assets: Dagster watches them and never makes them."""

from collections.abc import Iterable

import dagster as dg

from replication_assets.catalog import Table
from replication_assets.defs import naming


def source_assets(tables: Iterable[Table]) -> list[dg.AssetSpec]:
    """One external asset per table; the offset sensor reports where the source stands."""
    return [
        dg.AssetSpec(
            naming.source_key(table.id),
            description=f"`{table.id.schema}.{table.id.name}` in `{table.id.source}`, as last seen.",
            group_name=table.group or naming.plain(table.id.source),
            kinds={"postgres", "table"},
            owners=list(table.owners),
            tags=dict(table.tags),
            metadata={"dagster/table_name": f"{table.id.schema}.{table.id.name}"},
        )
        for table in tables
    ]
