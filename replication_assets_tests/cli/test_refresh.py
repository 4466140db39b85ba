"""`mask` and `refresh` as a user runs them: what is said, how it ends, and that no value is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import psycopg
import pytest

from replication_assets.core.masking.policy import ColumnPolicy, MaskingPolicy, TablePolicy
from replication_assets.core.masking.policy_text import as_python
from replication_assets.core.masking.rules import FreeText, Keep, Rule
from replication_assets.core.structure import describe_column
from replication_assets.replication import Replication
from replication_assets_tests.cli.conftest import CANARY, Project, Ran
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database

RULES: Mapping[str, Mapping[str, tuple[str, Rule]]] = {
    "orders": {name: ("public", Keep()) for name in ("id", "status", "total")},
    "customers": {"id": ("public", Keep()), "name": ("pii.text", FreeText())},
}
REFRESHES = """    policies=[policy],
    environments=[Environment("qa", target={target}, mask_key=EnvVar("QA_MASK_KEY"))],
    refreshes=[EnvironmentRefresh("nightly", environment="qa", policy="shop", tables=["shop.*"])],
)
"""
KEY = "3b1f0c5d2e4a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"


@pytest.fixture
def qa(database: FreshDatabase) -> Iterator[FreshDatabase]:
    with fresh_database(database.server) as made:
        yield made


@pytest.fixture
def declared(loaded: Project, qa: FreshDatabase) -> Project:
    """Loaded and captured, with a policy, an environment that is not set up, and a refresh."""
    loaded.capture()
    module = loaded.folder / "shop.py"
    store = Replication(loaded.catalog()).store()
    tables = []
    for table in loaded.catalog().tables:
        structure = store.structures(table.id).last()
        assert structure is not None
        columns = {
            name: ColumnPolicy(data_class, rule, reviewed=describe_column(structure.column(name)))
            for name, (data_class, rule) in RULES[table.id.name].items()
        }
        tables.append(TablePolicy(str(table.id), columns=columns))
    policy = as_python(MaskingPolicy("shop", tables=tuple(tables)), {})
    target = (
        f'PostgresTarget(host="127.0.0.1", port={qa.server.port}, database="{qa.name}", user="postgres", '
        'sslmode="disable")'
    )
    text = module.read_text().rstrip().removesuffix(")") + REFRESHES.replace("{target}", target)
    imports = "from replication_assets import Environment, EnvironmentRefresh, PostgresTarget\n"
    module.write_text(f"{imports}{policy}\n{text}")
    loaded.more["QA_MASK_KEY"] = KEY
    return loaded


def quiet(ran: Ran) -> Ran:
    """Nothing that was said is a value of a masked column, or the key."""
    said = ran.text + ran.err
    assert "name 1" not in said
    assert KEY not in said
    assert CANARY not in said
    return ran


def in_qa(qa: FreshDatabase, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(qa.dsn) as session:
        return session.execute(query.encode()).fetchall()


def test_an_environment_from_its_setup_to_its_end(declared: Project, qa: FreshDatabase) -> None:
    proposed = quiet(declared.run("mask", "suggest", "customers", "--format", "yaml"))
    assert 'table: "shop.public.customers"' in proposed.text
    assert "read each line" in proposed.err
    refused = quiet(declared.run("refresh", "run", "nightly", code=1))
    assert "replication-assets mask setup qa" in refused.err
    assert "the database is qa" in quiet(declared.run("mask", "setup", "qa")).err

    plan = quiet(declared.run("refresh", "plan", "nightly"))
    assert "a full copy of 2 tables, about 2,550 rows" in plan.text
    assert "nothing was begun" in plan.err
    ran = json.loads(quiet(declared.run("refresh", "run", "nightly", "--json")).text)
    assert {table: each["rows"] for table, each in ran["tables"].items()} == {
        "shop.public.orders": 2500,
        "shop.public.customers": 50,
    }
    assert in_qa(qa, "SELECT count(*) FROM customers WHERE name LIKE 'name %'") == [(0,)]

    (status,) = [line for line in declared.run("refresh", "status").lines if line.startswith("nightly")]
    assert status.split()[1] == "qa"
    assert "2,550" in status

    with psycopg.connect(qa.dsn, autocommit=True) as session:
        session.execute("UPDATE customers SET name = 'name 17'")
    failed = quiet(declared.run("mask", "verify", "qa", code=3))
    assert any(line.split()[:2] == ["content", "NO"] for line in failed.lines)

    assert "--confirm qa" in quiet(declared.run("mask", "drop", "qa", code=2)).err
    assert "is dropped" in quiet(declared.run("mask", "drop", "qa", "--confirm", "qa")).err
    assert in_qa(qa, "SELECT to_regclass('customers')") == [(None,)]
    assert "use one of nightly" in declared.run("refresh", "plan", "daily", code=2).err
    told = json.loads(quiet(declared.run("refresh", "audit", "qa", "--json")).text)
    assert [line["what"] for line in told][-2:] == ["verify published", "drop"]
    assert [line["number"] for line in told] == list(range(1, len(told) + 1))
    assert "publish" in {line["what"] for line in told}
