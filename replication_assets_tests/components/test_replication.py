"""The component as a project has it: scaffolded, loaded, wrong in every way, seen by `dg`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from replication_assets.catalog import Catalog, EnvVar, EventStoreConfig, PostgresSourceConfig, Table
from replication_assets.components import ReplicationComponent
from replication_assets.components.places import path_of
from replication_assets.components.scaffolding import STARTING_POINT
from replication_assets.components.yaml_catalog import load_yaml_catalog
from replication_assets.defs.build import build_definitions
from replication_assets.errors import CatalogError
from replication_assets_tests.markdown import ROOT, code

TYPE = "replication_assets.components.ReplicationComponent"
YAML = """\
type: replication_assets.components.ReplicationComponent
attributes:
  event_store: ./store
  sources:
    - name: shop
      host: db
      database: shop
      user: replicator
      password: {env: SHOP_PASSWORD}
  tables:
    - shop.public.orders
    - path: shop.public.customers
      id_ranges: {by_count: 4}
  projections:
    - delta:
        name: lake
        root: ./lake
        tables:
          - shop.public.orders
"""


def loaded(text: str, tmp_path: Path) -> tuple[dg.Definitions, ReplicationComponent]:
    with create_defs_folder_sandbox(project_name=f"project_{tmp_path.name[-20:]}") as sandbox:
        path = sandbox.scaffold_component(component_cls=ReplicationComponent, defs_path="shop")
        (path / "defs.yaml").write_text(text)
        with sandbox.load_component_and_build_defs(defs_path="shop") as (component, defs):
            assert isinstance(component, ReplicationComponent)
            return defs, component


def mistakes(text: str, tmp_path: Path) -> list[str]:
    """What is told of a file, as `line: problem`."""
    with pytest.raises(Exception) as raised:
        loaded(text, tmp_path)
    causes, error = [], raised.value
    while error is not None:
        causes.append(str(error))
        error = error.__cause__ or error.__context__
    (told,) = [cause for cause in dict.fromkeys(causes) if cause.startswith("defs.yaml: ")]
    lines = [line.removeprefix("  - ") for line in told.splitlines()[1:]]
    assert all("/shop/defs.yaml:" in line for line in lines)
    return [line.partition("/shop/defs.yaml:")[2] for line in lines]


def test_a_file_makes_the_definitions_that_the_same_catalog_makes(tmp_path: Path) -> None:
    defs, component = loaded(YAML, tmp_path)
    expected = build_definitions(component.catalog)
    keys = {spec.key for spec in expected.resolve_all_asset_specs()}
    assert {spec.key for spec in defs.resolve_all_asset_specs()} == keys
    assert dg.AssetKey(["lake", "shop", "public", "orders"]) in keys
    assert component.catalog.sources[0] == PostgresSourceConfig(
        "shop", host="db", database="shop", user="replicator", password=EnvVar("SHOP_PASSWORD")
    )


def test_the_scaffolded_file_loads_as_it_stands(tmp_path: Path) -> None:
    _, component = loaded(STARTING_POINT.format(type=TYPE), tmp_path)
    assert [str(table.id) for table in component.catalog.tables] == [
        "shop.public.customers",
        "shop.public.orders",
    ]


def test_the_masked_copies_that_the_scaffolded_file_proposes_are_sound(tmp_path: Path) -> None:
    text, mark, proposed = STARTING_POINT.format(type=TYPE).partition("  # policies:\n")
    uncommented = "".join(f"{line.replace('# ', '', 1)}\n" for line in (mark + proposed).splitlines())
    path = tmp_path / "defs.yaml"
    path.write_text(text + uncommented)
    catalog = load_yaml_catalog(path)
    assert [refresh.name for refresh in catalog.refreshes] == ["nightly"]
    assert catalog.policy("masks").tables[0].columns["email"].data_class == "pii.email"


def test_templates_are_rendered_before_values_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_HOST", "db.internal")
    _, component = loaded(YAML.replace("host: db", 'host: "{{ env.SHOP_HOST }}"'), tmp_path)
    assert component.catalog.sources[0].host == "db.internal"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "user: replicator",
            "usr: replicator",
            "8: sources[0].usr: there is no such key. Fix: did you mean user?",
        ),
        ("by_count: 4", "by_count: four", "13: tables[1].id_ranges.by_count: is text. Fix: int"),
        ("    - shop.public.orders\n    - path", "    - shop.public\n    - path", "11: table shop.public: "),
        ("          - shop.public.orders", "          - shop.public.oders", "19: projection lake: table "),
        ("      host: db", "      host: ''", "6: source shop: host is empty"),
        ("by_count: 4", "by_count: 0", "13: table shop.public.customers: id_ranges: "),
        (
            "path: shop.public.customers",
            "path: shp.public.customers",
            "12: tables: shp.public.customers is of",
        ),
        ("root: ./lake", "root: ./store/lake", "15: roots: "),
        ("{env: SHOP_PASSWORD}", "hunter2", "9: sources[0].password: is none of what may stand here"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_line(old: str, new: str, told: str, tmp_path: Path) -> None:
    assert old in YAML
    found = mistakes(YAML.replace(old, new, 1), tmp_path)
    assert any(line.startswith(told) for line in found), found
    assert not any("hunter2" in line for line in found)


def test_a_rule_about_no_declaration_of_the_file_names_the_file_alone() -> None:
    assert path_of({"tables": []}, "something new: is wrong") == ()
    assert path_of({"tables": ["a.b.c"]}, "tables: nothing that is named here") == ("tables",)


def test_the_command_line_reads_the_same_file_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_HOST", "db.internal")
    file = tmp_path / "defs.yaml"
    file.write_text(f"type: other.Component\n---\n{YAML}".replace("host: db", 'host: "{{ env.SHOP_HOST }}"'))
    assert load_yaml_catalog(file).sources[0].host == "db.internal"
    file.write_text(YAML.replace("user:", "usr:"))
    with pytest.raises(CatalogError, match=r"defs\.yaml:8: sources\[0\]\.usr: there is no such key"):
        load_yaml_catalog(file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("type: [", r"defs\.yaml:\d+: it is no YAML: .*Fix: "),
        ("type: other.Component", "holds 0 documents of type ReplicationComponent"),
        (f"{YAML}\n---\n{YAML}", "holds 2 documents of type ReplicationComponent"),
        (None, "cannot be read: No such file or directory"),
        ("type: x.ReplicationComponent", "event_store is missing. Fix: give event_store: ..."),
    ],
)
def test_a_file_that_holds_no_catalog_is_refused(text: str | None, told: str, tmp_path: Path) -> None:
    file = tmp_path / "defs.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CatalogError, match=told):
        load_yaml_catalog(file)


def test_a_component_in_python_needs_no_file() -> None:
    catalog = Catalog(
        event_store=EventStoreConfig("./store"),
        sources=[PostgresSourceConfig("shop", host="db", database="shop", user="replicator")],
        tables=[Table("shop.public.orders")],
    )
    defs = ReplicationComponent(catalog).build_defs(dg.ComponentTree.for_test().load_context)
    assert defs.resolve_all_asset_specs()


def test_dg_finds_the_component_scaffolds_it_and_checks_its_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "acme"\nversion = "1"\n[tool.dg]\ndirectory_type = "project"\n'
        '[tool.dg.project]\nroot_module = "acme"\n'
    )
    (tmp_path / "acme" / "defs").mkdir(parents=True)
    for module in ("acme/__init__.py", "acme/defs/__init__.py"):
        (tmp_path / module).touch()

    def dg_command(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("dg")
        return subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True)

    listed = dg_command("list", "components", "--json")
    assert f'"{TYPE}"' in listed.stdout, listed.stdout + listed.stderr
    made = dg_command("scaffold", "defs", TYPE, "shop")
    assert made.returncode == 0, made.stdout + made.stderr
    file = tmp_path / "acme" / "defs" / "shop" / "defs.yaml"
    assert file.read_text() == STARTING_POINT.format(type=TYPE)
    file.write_text(file.read_text().replace("mode: micro-batch", "mode: now and then"))
    refused = dg_command("check", "yaml")
    assert refused.returncode == 1
    assert "defs.yaml:15 - " in refused.stdout
    assert (
        "attributes.sources.0.mode 'now and then' is not one of ['micro-batch', 'continuous']"
        in refused.stdout
    )


def test_the_examples_of_the_document_load(tmp_path: Path) -> None:
    _, component = loaded(code(ROOT / "docs" / "yaml.md", "A whole file", "yaml"), tmp_path)
    assert component.catalog.problems() == ()
