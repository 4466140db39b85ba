"""What can be wrong with a SQL Server source is found in the catalog, with its fix; the right one is made."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest

from replication_assets import Catalog, EnvVar, EventStoreConfig, Replication, SqlServerSourceConfig, Table
from replication_assets.components.declared_values import read
from replication_assets.components.json_schema import json_schema
from replication_assets.declarations import SourceConfig
from replication_assets.defs.source_assets import source_assets
from replication_assets.errors import SourceNotReady
from replication_assets.sources.sqlserver.source import CdcSource, TrackingSource, TriggerSource

CANARY = "canary-5e2"


def erp(name: str = "erp", **changed: Any) -> SqlServerSourceConfig:
    given: dict[str, Any] = {
        "host": "db",
        "database": "shop",
        "user": "u",
        "password": EnvVar("ERP_PASSWORD"),
    }
    return SqlServerSourceConfig(name, **(given | changed))


def problems(*sources: SourceConfig) -> tuple[str, ...]:
    return Catalog(EventStoreConfig("/data"), sources=sources).problems()


def test_a_source_that_is_well_declared_has_no_problem() -> None:
    declared = (erp(), erp("crm", capture="change_tracking", encrypt="strict"), erp("hr", capture="triggers"))
    assert problems(*declared) == ()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"host": ""}, "host is empty"),
        ({"host": "db,1433"}, "host names a port"),
        ({"host": "db\\SQLEXPRESS"}, "or an instance"),
        ({"database": ""}, "database is empty"),
        ({"user": ""}, "user is empty"),
        ({"port": 0}, "usually 1433"),
        ({"encrypt": "maybe"}, "encrypt"),
        ({"capture": "log"}, "capture"),
        ({"encrypt": "no", "server_certificate": "/ca.pem"}, "server_certificate has no meaning"),
        ({"max_parallel_loads": 0}, "max_parallel_loads"),
        ({"password": EnvVar("not a name")}, "names no environment variable"),
        ({"name": "x" * 101}, "is longer than 100 letters"),
    ],
)
def test_a_wrong_field_is_named(changed: dict[str, Any], complaint: str) -> None:
    name = changed.pop("name", "erp")
    assert any(complaint in problem for problem in problems(erp(name, **changed)))


def test_a_password_as_text_is_dropped_at_once() -> None:
    declared = erp(password=CANARY)
    assert CANARY not in repr(declared) + str(problems(declared))
    assert problems(declared)


@pytest.mark.parametrize(
    ("capture", "kind"),
    [("cdc", CdcSource), ("change_tracking", TrackingSource), ("triggers", TriggerSource)],
)
def test_the_source_is_made_without_connecting_and_keeps_its_secret_a_reference(
    capture: str, kind: type
) -> None:
    catalog = Catalog(EventStoreConfig("/data"), sources=[erp(capture=capture, port=11433)])
    source = Replication(catalog).source("erp")
    assert type(source) is kind
    assert pickle.loads(pickle.dumps(source)) == source
    assert source.sessions.password == EnvVar("ERP_PASSWORD")  # type: ignore[attr-defined]
    assert source.sessions.where == "sqlserver db:11433/shop"  # type: ignore[attr-defined]


def test_a_missing_driver_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("replication_assets.sources.sqlserver")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "mssql_python", None)
    catalog = Catalog(EventStoreConfig("/data"), sources=[erp()])
    with pytest.raises(SourceNotReady, match=r"pip install 'replication-assets\[sqlserver\]'"):
        Replication(catalog).source("erp")


def test_a_source_is_declared_in_yaml_by_its_kind() -> None:
    found: list[object] = []
    given = {"sqlserver": {"name": "erp", "host": "db", "database": "shop", "user": "u"}}
    declared = read(given, SourceConfig, found)  # type: ignore[arg-type]
    assert found == []
    assert declared == SqlServerSourceConfig("erp", host="db", database="shop", user="u")
    given["sqlserver"]["capture"] = "triggers"
    declared = read(given, SourceConfig, found)  # type: ignore[arg-type]
    assert (found, declared.capture) == ([], "triggers")
    assert "sqlserver" in str(json_schema(SourceConfig, {}))


def test_dagster_shows_what_a_table_is_of() -> None:
    (spec,) = source_assets([Table("erp.dbo.orders")], [erp()])
    assert "sqlserver" in spec.kinds
