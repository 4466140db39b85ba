"""The public names: pinned, importable, and cheap until they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import replication_assets

PUBLIC = [
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


def test_the_public_names_are_these() -> None:
    assert replication_assets.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_what_its_module_calls_so(name: str) -> None:
    found = getattr(replication_assets, name)
    assert found.__name__ == name
    assert name in dir(replication_assets)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(replication_assets.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(seen) == sorted(PUBLIC)


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Table2'"):
        _ = replication_assets.Table2


def test_declaring_a_catalog_loads_neither_dagster_nor_a_driver() -> None:
    program = """
        import sys
        from replication_assets import Catalog, DeltaProjection, PostgresSourceConfig, Table
        heavy = {"dagster", "psycopg", "adbc_driver_postgresql", "deltalake", "boto3", "pandas"}
        assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
    """
    done = subprocess.run([sys.executable, "-c", _flat(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _flat(program: str) -> str:
    return "\n".join(line.strip() for line in program.splitlines())
