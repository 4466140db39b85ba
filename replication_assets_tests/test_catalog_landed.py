"""What can be wrong with a source of landed files is found in the catalog; the right one is made."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from replication_assets import (
    Catalog,
    DeltaProjection,
    EnvVar,
    EventStoreConfig,
    LandedSourceConfig,
    Replication,
    Table,
    Validation,
    build_definitions,
)
from replication_assets.components.declared_values import read
from replication_assets.core.schema import TableId
from replication_assets.declarations import SourceConfig
from replication_assets.defs.source_assets import source_assets
from replication_assets.sources.landed.source import LandedSource

CANARY = "canary-58d"
WIDGETS = TableId("lake", "shop", "widgets")


def lake(**changed: Any) -> LandedSourceConfig:
    given: dict[str, Any] = {
        "root": "s3://bucket/dms",
        "columns": {"shop.widgets": ["id bigint", "name text"]},
    }
    return LandedSourceConfig("lake", **(given | changed))


def catalog(source: LandedSourceConfig, root: str = "/data", **more: Any) -> Catalog:
    tables = [Table(str(WIDGETS), key=["id"])]
    return Catalog(EventStoreConfig(root), sources=[source], tables=tables, **more)


def test_a_right_one_has_no_problems() -> None:
    assert catalog(lake()).problems() == ()
    options = {"AWS_REGION": "eu-west-1", "AWS_SECRET_ACCESS_KEY": EnvVar("KEY")}
    assert catalog(lake(root="landed", cdc_path="cdc", storage_options=options)).problems() == ()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"root": ""}, "root is no folder"),
        ({"root": "s3://"}, "root is no folder"),
        ({"root": "gs://bucket/dms"}, "root is no folder"),
        ({"cdc_path": "/cdc"}, "cdc_path is empty, or begins"),
        ({"cdc_path": ""}, "cdc_path is empty"),
        ({"columns": {"widgets": ["id bigint"]}}, "no schema.table"),
        ({"columns": {"shop.widgets": ["id serial"]}}, "a name and a type"),
        ({"timestamp_column": ""}, "timestamp_column is empty"),
        ({"timestamp_column": "name"}, "names timestamp_column"),
        ({"delimiter": ";;"}, "delimiter is not one"),
        ({"delimiter": '"'}, "delimiter is not one"),
        ({"no_sup_value": "NULL"}, "the same text"),
        ({"storage_options": {"AWS_PROFILE": "x"}}, "storage_options has AWS_PROFILE"),
        ({"max_parallel_loads": 0}, "max_parallel_loads"),
        ({"capture_interval_seconds": 0}, "capture_interval_seconds is not above 0"),
    ],
)
def test_a_wrong_field_is_named(changed: dict[str, Any], complaint: str) -> None:
    problems = catalog(lake(**changed)).problems()
    assert len(problems) == 1
    assert complaint in problems[0]
    assert "Fix: " in problems[0]


def test_a_secret_in_text_is_refused_and_dropped() -> None:
    source = lake(storage_options={"AWS_SECRET_ACCESS_KEY": CANARY})
    problems = catalog(source).problems()
    assert any("literal credential" in each for each in problems)
    assert CANARY not in f"{source!r} {problems}"


def test_yaml_declares_the_same() -> None:
    problems: list[Any] = []
    columns = {"shop.widgets": ["id bigint", "name text"]}
    raw = {"landed": {"name": "lake", "root": "s3://bucket/dms", "columns": columns}}
    assert read(raw, SourceConfig, problems) == lake()
    assert problems == []


def test_the_declared_source_is_made_without_a_look_at_bucket_store_or_secret(tmp_path: Path) -> None:
    config = lake(storage_options={"AWS_SECRET_ACCESS_KEY": EnvVar("NOT_SET_ANYWHERE")})
    replication = pickle.loads(pickle.dumps(Replication(catalog(config, str(tmp_path / "store")))))
    source = replication.source("lake")
    assert isinstance(source, LandedSource)
    assert list(tmp_path.iterdir()) == []
    assert source.reflect(WIDGETS, key=["id"]).names == ("id", "name")


def test_a_dagster_asset_stands_for_the_table_and_a_sensor_watches_the_files() -> None:
    projected = [
        DeltaProjection("copy", tables=["lake.*"], root="/copy", validation=Validation(cron="0 3 * * *"))
    ]
    declared = catalog(lake(), projections=projected)
    (asset,) = source_assets(declared.tables, declared.sources)
    assert "s3" in asset.kinds
    repository = build_definitions(declared).get_repository_def()
    assert repository.has_sensor_def("lake_offsets")
    names = {key.name for key in repository.asset_graph.asset_check_keys}
    assert "matches_event_store" in names
    assert "matches_source" not in names
