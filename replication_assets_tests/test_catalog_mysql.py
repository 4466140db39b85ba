"""What can be wrong with a MySQL source is found in the catalog, with its fix; the right one is made."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from replication_assets import (
    Catalog,
    EnvVar,
    EventStoreConfig,
    MySqlSourceConfig,
    PostgresSourceConfig,
    Replication,
    Table,
)
from replication_assets.catalog import Environment, MySqlTarget
from replication_assets.components.declared_values import read
from replication_assets.components.json_schema import json_schema
from replication_assets.declarations import SourceConfig
from replication_assets.defs.source_assets import source_assets
from replication_assets.sources.mysql import MySqlSource

CANARY = "canary-41c"


def crm(name: str = "crm", **changed: Any) -> MySqlSourceConfig:
    given: dict[str, Any] = {"host": "db", "user": "reader", "password": EnvVar("CRM_PASSWORD")}
    return MySqlSourceConfig(name, **(given | changed))


def problems(*sources: SourceConfig, environments: tuple[Environment, ...] = ()) -> tuple[str, ...]:
    return Catalog(EventStoreConfig("/data"), sources=sources, environments=environments).problems()


def test_sources_of_both_kinds_stand_in_one_catalog() -> None:
    shop = PostgresSourceConfig("shop", host="db", database="shop", user="u")
    assert problems(crm(), shop, crm("erp", server_id=4711)) == ()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"host": ""}, "host is empty"),
        ({"user": ""}, "user is empty"),
        ({"port": 0}, "usually 3306"),
        ({"server_id": 0}, "server_id 0 is not between 1 and 4294967295"),
        ({"server_id": 2**32}, "is not between"),
        ({"max_parallel_loads": 0}, "max_parallel_loads"),
        ({"load_wait_seconds": 0}, "load_wait_seconds is not above 0"),
        ({"capture_interval_seconds": -1}, "capture_interval_seconds is not above 0"),
        ({"password": EnvVar("not a name")}, "names no environment variable"),
        ({"sslmode": "sometimes"}, "sslmode"),
        ({"cascades": "yes"}, "cascades"),
    ],
)
def test_a_wrong_field_is_named(changed: dict[str, Any], complaint: str) -> None:
    (problem,) = problems(crm(**changed))
    assert problem.startswith("source crm: ")
    assert complaint in problem


def test_a_password_as_text_is_dropped_at_once() -> None:
    declared = crm(password=CANARY)
    assert CANARY not in repr(declared) + str(problems(declared))
    assert problems(declared)


def test_two_sources_do_not_share_a_server_id() -> None:
    (problem,) = problems(crm(server_id=9), crm("erp", host="other", server_id=9))
    assert "crm and erp share server_id 9" in problem


def test_a_copy_does_not_go_to_the_server_it_is_made_from() -> None:
    target = MySqlTarget(host="DB.", user="copier", prefix="qa_", sslrootcert="/ca.pem")
    copies = Environment("qa", target=target, mask_key=EnvVar("MASK_KEY"))
    assert any(
        "is the server of source 'crm'" in problem for problem in problems(crm(), environments=(copies,))
    )


def test_the_source_is_made_without_connecting_and_keeps_its_secret_a_reference() -> None:
    catalog = Catalog(EventStoreConfig("/data"), sources=[crm(server_id=4711, cascades=True)])
    source = Replication(catalog).source("crm")
    assert isinstance(source, MySqlSource)
    assert (source.replica_id, source.cascades, source.connection.sslmode) == (4711, True, "require")
    assert pickle.loads(pickle.dumps(source)) == source
    assert source.connection.password == EnvVar("CRM_PASSWORD")


def test_a_server_id_of_its_own_is_made_from_the_name() -> None:
    catalog = Catalog(EventStoreConfig("/data"), sources=[crm(), crm("erp")])
    ids = {Replication(catalog).source(name).replica_id for name in ("crm", "erp")}  # type: ignore[attr-defined]
    assert len(ids) == 2
    assert all(2**31 <= each < 2**32 for each in ids)


def test_a_source_is_declared_in_yaml_by_its_kind() -> None:
    found: list[object] = []
    declared = read({"mysql": {"name": "crm", "host": "db", "user": "u"}}, SourceConfig, found)  # type: ignore[arg-type]
    assert found == []
    assert declared == MySqlSourceConfig("crm", host="db", user="u")
    assert "mysql" in str(json_schema(SourceConfig, {}))


def test_dagster_shows_what_a_table_is_of() -> None:
    shop = PostgresSourceConfig("shop", host="db", database="shop", user="u")
    tables = [Table("crm.crm.people"), Table("shop.public.orders")]
    assert [spec.kinds for spec in source_assets(tables, [crm(), shop])] == [
        {"mysql", "table"},
        {"postgres", "table"},
    ]


def test_the_example_of_the_document_is_a_catalog() -> None:
    text = (Path(__file__).parents[1] / "docs" / "mysql.md").read_text()
    example = text.split("```python\n")[1].split("```")[0]
    names: dict[str, Catalog] = {}
    exec(compile(example, "mysql.md", "exec"), names)
    assert names["catalog"].problems() == ()
