"""Refreshes as assets and jobs: the copies of each environment, and the job that makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from replication_assets.catalog import Catalog, Table
from replication_assets.core.masking.policy import MaskingPolicy
from replication_assets.core.masking.rules import Keep
from replication_assets.declarations import EnvironmentRefresh
from replication_assets.defs import naming
from replication_assets.defs.refresh.checks import owned_copies
from replication_assets.defs.refresh.guard import STEPS
from replication_assets.defs.refresh.steps import refresh_steps


def refresh_job_name(refresh: str) -> str:
    return naming.plain(refresh)


def refresh_assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    """The copies, each set of them made by the five steps of its refresh."""
    return [_assets(catalog, refresh, tables) for refresh, tables in owned_copies(catalog) if tables]


def refresh_jobs(catalog: Catalog, assets: Sequence[dg.AssetsDefinition]) -> list[Any]:
    """A job for each refresh, by its name. All steps run in one process, which saves a start for each;
    any other executor works too."""
    by_name = {each.node_def.name: each for each in assets}
    return [_job(catalog, refresh, by_name.get(_graph_name(refresh))) for refresh in catalog.refreshes]


def _graph_name(refresh: EnvironmentRefresh) -> str:
    return f"{naming.plain(refresh.name)}_copies"


def _graph(catalog: Catalog, refresh: EnvironmentRefresh, owned: Sequence[Table]) -> dg.GraphDefinition:
    """Plan to publish in a row; `plan` waits for the events of every table of the refresh."""
    outputs = {
        f"copy_{number}": naming.copy_key(refresh.environment, table.id) for number, table in enumerate(owned)
    }
    events = [f"events_{number}" for number, _ in enumerate(catalog.refreshed(refresh))] if owned else []
    steps = refresh_steps(refresh, events, outputs)
    dependencies = {
        dg.NodeInvocation(op.name, alias=step): (
            {} if before is None else {next(iter(op.ins)): dg.DependencyDefinition(before)}
        )
        for op, step, before in zip(steps, STEPS, (None, *STEPS), strict=False)
    }
    return dg.GraphDefinition(
        name=_graph_name(refresh),
        description=_description(refresh),
        node_defs=steps,
        dependencies=dependencies,
        input_mappings=[
            dg.InputMapping(graph_input_name=name, mapped_node_name="plan", mapped_node_input_name=name)
            for name in events
        ],
        output_mappings=[
            dg.OutputMapping(graph_output_name=name, mapped_node_name="publish", mapped_node_output_name=name)
            for name in outputs
        ],
    )


def _assets(catalog: Catalog, refresh: EnvironmentRefresh, owned: Sequence[Table]) -> dg.AssetsDefinition:
    tables = catalog.refreshed(refresh)
    keys = {naming.copy_key(refresh.environment, table.id): table for table in owned}
    policy = catalog.policy(refresh.policy)
    return dg.AssetsDefinition.from_graph(
        _graph(catalog, refresh, owned),
        keys_by_input_name={
            f"events_{number}": naming.event_store_key(table.id) for number, table in enumerate(tables)
        },
        keys_by_output_name={f"copy_{number}": key for number, key in enumerate(keys)},
        # All wait for all events, since they are copied as of one position; each is made of its own.
        internal_asset_deps={
            f"copy_{number}": {naming.event_store_key(table.id)} for number, table in enumerate(owned)
        },
        group_name=naming.plain(refresh.environment),
        descriptions_by_output_name={
            f"copy_{number}": f"Masked copy of `{table.id}` in `{refresh.environment}`, by refresh "
            f"`{refresh.name}` under policy `{policy.name}` {policy.version}."
            for number, table in enumerate(owned)
        },
        metadata_by_output_name={
            f"copy_{number}": {"dagster/column_schema": _columns(policy, str(table.id))}
            for number, table in enumerate(owned)
        },
        can_subset=False,
    )


def _columns(policy: MaskingPolicy, table: str) -> dg.TableSchema:
    """Columns as reviewed, each with its class and its rule."""
    declared = policy.table(table)
    columns = declared.columns if declared is not None else {}
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                type=column.reviewed or "unknown",
                tags={
                    "class": column.data_class,
                    "mask": "kept" if isinstance(column.mask, Keep) else type(column.mask).__name__,
                },
            )
            for name, column in columns.items()
        ]
    )


def _job(catalog: Catalog, refresh: EnvironmentRefresh, assets: dg.AssetsDefinition | None) -> Any:
    """A job, or what Dagster makes one of when all assets are known."""
    tags = {naming.REFRESH_TAG: refresh.name, naming.ENVIRONMENT_TAG: refresh.environment}
    if assets is None:
        return _graph(catalog, refresh, ()).to_job(
            name=refresh_job_name(refresh.name),
            executor_def=dg.in_process_executor,
            tags=tags,
            description=_description(refresh),
        )
    return dg.define_asset_job(
        refresh_job_name(refresh.name),
        selection=dg.AssetSelection.assets(assets).without_checks(),
        executor_def=dg.in_process_executor,
        tags=tags,
        description=_description(refresh),
    )


def _description(refresh: EnvironmentRefresh) -> str:
    what = "referentially complete part of" if refresh.subset is not None else "whole of"
    return (
        f"{refresh.kind} ({refresh.migration}): the {what} {', '.join(refresh.tables)}, masked by policy "
        f"`{refresh.policy}`, into environment `{refresh.environment}`."
    )
