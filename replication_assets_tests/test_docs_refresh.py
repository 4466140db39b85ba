"""The documents about masked copies: their code runs, their YAML loads, what they declare is sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from replication_assets.catalog import Catalog, Table
from replication_assets.components.yaml_catalog import load_yaml_catalog
from replication_assets.core.masking.rules import Email, JsonPaths, XmlPaths
from replication_assets.declarations import Environment, SqliteTarget
from replication_assets.defs.build import build_definitions
from replication_assets_tests.markdown import ROOT, code

REFRESH = ROOT / "docs" / "refresh.md"
MASKING = ROOT / "docs" / "masking.md"
YAML = ROOT / "docs" / "yaml.md"


def executed(document: Path, heading: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code(document, heading), document.name, "exec"), names)
    return names


def declared() -> Catalog:
    found: Catalog = executed(REFRESH, "Define a refresh in code")["catalog"]
    return found


def from_yaml(masked: str, folder: Path) -> Catalog:
    file = folder / "defs.yaml"
    file.write_text(code(YAML, "A whole file", "yaml") + "\n" + masked)
    return load_yaml_catalog(file)


def test_the_refresh_of_the_guide_is_sound_and_makes_what_it_says() -> None:
    catalog = declared()
    assert catalog.problems() == ()
    defs = build_definitions(catalog)
    assert "qa_nightly" in {job.name for job in defs.resolve_all_job_defs()}
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert {"qa/shop/public/customers", "qa/shop/public/orders"} <= keys


def test_the_subset_of_the_guide_fits_its_tables() -> None:
    catalog = declared()
    names: dict[str, Any] = {}
    source = code(REFRESH, "Part of the tables").replace(
        "\nEnvironmentRefresh(", "\nfound = EnvironmentRefresh("
    )
    exec(compile(source, REFRESH.name, "exec"), names)
    dev = Environment("dev", target=SqliteTarget("dev"), mask_key=catalog.environments[0].mask_key)
    tables = (*catalog.tables, Table("shop.public.order_events"))
    policy = catalog.policies[0]
    events = replace(policy.tables[1], table="shop.public.order_events")
    whole = replace(
        catalog,
        tables=tables,
        policies=(replace(policy, tables=(*policy.tables, events)),),
        environments=(*catalog.environments, dev),
        refreshes=(names["found"],),
    )
    assert whole.problems() == ()


def test_the_rules_of_documents_are_made() -> None:
    names = executed(MASKING, "Documents")
    assert isinstance(names["masks"].JsonPaths({"$.emails[*]": Email()}), JsonPaths)
    assert isinstance(names["masks"].XmlPaths({}), XmlPaths)


def test_the_masked_copy_in_yaml_is_that_of_the_guide(tmp_path: Path) -> None:
    catalog = from_yaml(code(YAML, "A masked copy in YAML", "yaml"), tmp_path)
    assert catalog.problems() == ()
    python = declared()
    table = catalog.policies[0].tables[0]
    shared = {name: table.columns[name] for name in python.policies[0].tables[0].columns}
    assert shared == dict(python.policies[0].tables[0].columns)
    assert isinstance(table.columns["profile"].mask, JsonPaths)
    assert catalog.environments == python.environments
    assert replace(catalog.refreshes[0], tables=python.refreshes[0].tables) == python.refreshes[0]


def test_the_policy_in_yaml_is_a_part_of_that_of_the_guide(tmp_path: Path) -> None:
    text = code(MASKING, "In YAML", "yaml")
    catalog = from_yaml("".join(f"  {line}\n" for line in text.splitlines()), tmp_path)
    assert catalog.problems() == ()
    python = declared().policies[0]
    (table,) = catalog.policies[0].tables
    assert catalog.policies[0].namespaces == python.namespaces
    assert table.columns.items() <= python.tables[0].columns.items()
