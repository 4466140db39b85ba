"""What can be wrong with an Oracle source is found in the catalog, with its fix; the right one is made."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from replication_assets import Catalog, EnvVar, EventStoreConfig, OracleSourceConfig, Table
from replication_assets.change_sources import change_source
from replication_assets.components.declared_values import read
from replication_assets.declarations import SourceConfig
from replication_assets.defs.source_assets import source_assets
from replication_assets.sources.oracle import OracleConnection, OracleSource

ROOT = Path(__file__).parents[3]


def erp(name: str = "erp", **changed: Any) -> OracleSourceConfig:
    given: dict[str, Any] = {"host": "db", "service": "erp", "user": "r", "password": EnvVar("ERP_PASSWORD")}
    return OracleSourceConfig(name, **(given | changed))


def problems(*sources: SourceConfig) -> tuple[str, ...]:
    return Catalog(EventStoreConfig("/data"), sources=sources).problems()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"host": ""}, "host is empty"),
        ({"service": ""}, "service is empty"),
        ({"port": 0}, "usually 1521"),
        ({"log_service": ""}, "log_service is empty"),
        ({"tls": False, "wallet": "/w"}, "wallet has no meaning without TLS"),
        ({"tls": False, "server_name": "CN=db"}, "server_name has no meaning"),
        ({"wallet_password": EnvVar("W")}, "without a wallet"),
        ({"wallet": "/w", "wallet_password": EnvVar("not a name")}, "wallet_password names no environment"),
        ({"password": EnvVar("not a name")}, "names no environment variable"),
        ({"max_parallel_loads": 0}, "max_parallel_loads"),
    ],
)
def test_a_mistake_is_told_with_its_fix(changed: dict[str, Any], complaint: str) -> None:
    assert problems(erp()) == ()
    (problem,) = problems(erp(**changed))
    assert complaint in problem
    assert "Fix:" in problem


def test_a_declared_source_becomes_an_adapter_that_can_be_pickled() -> None:
    source = change_source(erp(wallet="/w", log_service="root"))
    assert isinstance(source, OracleSource)
    assert isinstance(source.server, OracleConnection)
    assert (source.server.tls, source.server.wallet, source.server.log_service) == (True, "/w", "root")
    assert pickle.loads(pickle.dumps(source)) == source


def test_yaml_says_oracle() -> None:
    found: list[Any] = []
    given = {"oracle": {"name": "erp", "host": "db", "service": "s", "user": "u", "password": {"env": "P"}}}
    declared = read(given, SourceConfig, found)
    assert found == []
    assert declared == OracleSourceConfig("erp", host="db", service="s", user="u", password=EnvVar("P"))


def test_assets_carry_the_kind() -> None:
    (asset,) = source_assets([Table("erp.SALES.ORDERS")], [erp()])
    assert "oracle" in asset.kinds


def test_the_example_of_the_guide_is_a_catalog() -> None:
    text = (ROOT / "docs" / "oracle.md").read_text()
    example = text.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(compile(example, "oracle.md", "exec"), names)
    assert names["catalog"].problems() == ()
