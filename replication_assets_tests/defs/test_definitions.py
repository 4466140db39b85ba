"""The shipped definitions load anywhere: no database, no secret, no deprecated API."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import dagster as dg
import pytest

from replication_assets.catalog import DeltaProjection
from replication_assets.defs.build import build_definitions
from replication_assets.demo.catalog import sample_catalog
from replication_assets.errors import CatalogError
from replication_assets_tests.defs.conftest import Graph

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [("dagster", "definitions", "validate", "-w", "workspace.yaml"), ("dg", "check", "defs")],
    ids=["dagster definitions validate", "dg check defs"],
)
def test_the_command_finds_nothing_wrong_without_a_database(command: tuple[str, ...], tmp_path: Path) -> None:
    done = run(str(BIN / command[0]), *command[1:], DAGSTER_HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_loading_uses_nothing_that_dagster_deprecates() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        dg.Definitions.validate_loadable(build_definitions(sample_catalog()))
    told = [
        str(w.message) for w in heard if issubclass(w.category, DeprecationWarning | dg.SupersessionWarning)
    ]
    assert told == []


def test_each_table_is_a_source_an_event_store_a_projection_and_a_masked_copy() -> None:
    catalog = sample_catalog()
    found = build_definitions(catalog).resolve_all_asset_keys()
    keys = {key.to_user_string() for key in found if key.path[0] != "watch"}
    orders = {"shop/public/orders", "event_store/shop/public/orders", "lake/shop/public/orders"}
    assert orders <= keys
    projected = [p for p in catalog.projections for _ in catalog.projected(p)]
    # Those that can refuse rows have dead letters.
    refusing = [p for p in projected if not isinstance(p, DeltaProjection)]
    copied = [table for refresh in catalog.refreshes for table in catalog.refreshed(refresh)]
    assert len(keys) == 2 * len(catalog.tables) + len(projected) + len(refusing) + len(copied)


def test_a_catalog_that_does_not_exist_is_named_with_the_fix() -> None:
    done = run(
        sys.executable,
        "-c",
        "import replication_assets.definitions as d; d.load_catalog('no.such:catalog')",
    )
    assert CatalogError.__name__ in done.stderr
    assert "REPLICATION_ASSETS_CATALOG=package.module:attribute" in done.stderr


def test_a_declared_group_gathers_all_assets_of_a_table(graph: Graph) -> None:
    specs = graph.definitions.resolve_all_asset_specs()
    assert {spec.group_name for spec in specs if "readings" in spec.key.path} == {"lab"}
