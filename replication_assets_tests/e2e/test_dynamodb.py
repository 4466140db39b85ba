"""PostgreSQL to DynamoDB: rows that are loaded, changed and deleted are the items that are served."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from replication_assets.catalog import ByWidth, DynamoDbProjection, EnvVar, ItemKey, Items, Table
from replication_assets.core.schema import TableId
from replication_assets.defs import naming
from replication_assets.defs.build import build_definitions
from replication_assets.defs.capture import capture_job_name
from replication_assets.defs.following import RANGES_AT_ONCE
from replication_assets.flows.validation.repair import repair_projection
from replication_assets.flows.validation.validate import validate_projection
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name, items_of
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

ORDERS = TableId(SOURCE, "public", "orders")
PEOPLE = TableId(SOURCE, "public", "people")
SCHEMA = """
CREATE TABLE orders (id bigint PRIMARY KEY, total numeric(12,2), details jsonb, note text);
INSERT INTO orders SELECT g, g + 0.50, jsonb_build_object('n', g), repeat('x', g % 7)
    FROM generate_series(1, 300) g;
CREATE TABLE people (id bigint PRIMARY KEY, email text NOT NULL, bio text);
INSERT INTO people SELECT g, 'p' || g || '@example', repeat('b', 3000) FROM generate_series(1, 40) g;
ALTER TABLE people ALTER bio SET STORAGE EXTERNAL;
"""
TRAFFIC = (
    "UPDATE orders SET total = total + 1, note = NULL WHERE id % 5 = 0",
    "DELETE FROM orders WHERE id % 7 = 0",
    "INSERT INTO orders SELECT g, g, NULL, '' FROM generate_series(301, 320) g",
    "UPDATE orders SET id = id + 1000 WHERE id BETWEEN 10 AND 20",
    # Keys of items are e-mail addresses here: they move, are swapped, and are taken over.
    "UPDATE people SET email = 'new' || id || '@example' WHERE id < 10",
    "UPDATE people SET email = 'p' || 41 - id || '@example' WHERE id IN (20, 21)",
    "DELETE FROM people WHERE id = 30",
    "INSERT INTO people VALUES (130, 'p30@example', 'took over')",
    "UPDATE people SET id = 131 WHERE id = 31",
)


@pytest.fixture
def system(
    database: FreshDatabase, tmp_path: Path, dynamodb: DynamoDbServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[System]:
    monkeypatch.setenv("TEST_AWS_KEY", dynamodb.access_key)
    monkeypatch.setenv("TEST_AWS_SECRET", dynamodb.secret_key)
    into = fresh_table_name()
    projection = DynamoDbProjection(
        "serving",
        items=(
            Items(
                str(ORDERS),
                into,
                partition_key=ItemKey("pk", "order#${id}"),
                sort_key=ItemKey("sk", "v#${id}"),
            ),
            Items(
                str(PEOPLE),
                into,
                partition_key=ItemKey("pk", "mail#${email}"),
                sort_key=ItemKey("sk", "person"),
            ),
        ),
        region=dynamodb.region,
        endpoint_url=dynamodb.endpoint_url,
        access_key_id=EnvVar("TEST_AWS_KEY"),
        secret_access_key=EnvVar("TEST_AWS_SECRET"),
        control_table=fresh_table_name(),
        connections=8,
    )
    tables = (Table(str(ORDERS), id_ranges=ByWidth(100)), Table(str(PEOPLE), id_ranges=ByWidth(100)))
    lake = system_of(database, tmp_path, tables)
    served = System(dataclasses.replace(lake.catalog, projections=(projection,)), database.dsn)
    served.execute(*SCHEMA.split(";\n"))
    yield served
    served.source.teardown()


def served_by(dynamodb: DynamoDbServer, system: System) -> dict[str, Mapping[str, Any]]:
    """Live items by partition key, without the projection's books."""
    (projection,) = system.catalog.projections
    assert isinstance(projection, DynamoDbProjection)
    found = [item for item in items_of(dynamodb, projection.items[0].into) if "_deleted" not in item]
    return {
        item["pk"]["S"]: {name: value for name, value in item.items() if not name.startswith("_")}
        for item in found
    }


def expected(system: System) -> dict[str, Mapping[str, Any]]:
    """The items as they are declared, made of what psycopg reads, by hand."""
    items = {}
    with system.sql() as session:
        for number, total, details, note in session.execute("SELECT * FROM orders").fetchall():
            text = f"{total.normalize():f}"
            item = {"pk": {"S": f"order#{number}"}, "sk": {"S": f"v#{number}"}, "id": {"N": str(number)}}
            item |= {"total": {"N": text}}
            item |= {"details": {"M": {"n": {"N": str(details["n"])}}}} if details is not None else {}
            item |= {"note": {"S": note}} if note is not None else {}
            items[f"order#{number}"] = item
        for number, email, bio in session.execute("SELECT * FROM people").fetchall():
            key = f"mail#{email}"
            item = {"pk": {"S": key}, "sk": {"S": "person"}, "id": {"N": str(number)}}
            items[key] = item | {"email": {"S": email}, "bio": {"S": bio}}
    return items


def validate(system: System) -> list[str]:
    """What is wrong, over all tables."""
    found = [
        validate_projection(system.store, system.target(table), table, projection="serving")
        for table in (ORDERS, PEOPLE)
    ]
    return [f"{each}" for validation in found for each in validation.wrong]


def test_rows_of_a_database_are_served_as_items(system: System, dynamodb: DynamoDbServer) -> None:
    system.prepare()
    system.load_all()
    system.capture()
    assert {receipt.how for receipt in system.project()} == {"replaced"}
    assert served_by(dynamodb, system) == expected(system)
    system.execute(*TRAFFIC)
    system.capture()
    receipts = system.project()
    assert "applied" in {receipt.how for receipt in receipts}
    assert served_by(dynamodb, system) == expected(system)
    rows = sum(receipt.rows for receipt in receipts)
    assert rows == len(expected(system))
    assert validate(system) == []
    assert {receipt.how for receipt in system.project()} == {"unchanged"}


def test_what_is_done_to_the_table_behind_our_back_is_found_and_mended(
    system: System, dynamodb: DynamoDbServer
) -> None:
    system.prepare()
    system.load_all()
    system.capture()
    system.project()
    client = dynamodb.client()
    (projection,) = system.catalog.projections
    assert isinstance(projection, DynamoDbProjection)
    into = projection.items[0].into
    client.delete_item(TableName=into, Key={"pk": {"S": "order#150"}, "sk": {"S": "v#150"}})
    stored = client.get_item(TableName=into, Key={"pk": {"S": "order#7"}, "sk": {"S": "v#7"}})["Item"]
    client.put_item(TableName=into, Item={**stored, "note": {"S": "planted"}})
    assert validate(system) != []
    for table in (ORDERS, PEOPLE):
        repaired = repair_projection(system.store, system.target(table), table, projection="serving")
        assert not repaired.after.wrong
    assert served_by(dynamodb, system) == expected(system)
    client.delete_table(TableName=into)
    assert {receipt.how for receipt in system.project()} == {"replaced"}
    assert served_by(dynamodb, system) == expected(system)


def test_a_truncated_table_has_no_items(system: System, dynamodb: DynamoDbServer) -> None:
    system.prepare()
    system.load_all()
    system.capture()
    system.project()
    system.execute("TRUNCATE orders", "INSERT INTO orders VALUES (1, 1, NULL, 'again')")
    system.capture()
    system.project()
    assert served_by(dynamodb, system) == expected(system)


def test_a_capture_brings_all_ranges_that_it_touched_forward_at_once(
    system: System, dynamodb: DynamoDbServer
) -> None:
    system.prepare()
    system.load_all()
    system.capture()
    system.project()
    (projection,) = system.catalog.projections
    inline = dataclasses.replace(projection, follow="inline")
    definitions = build_definitions(dataclasses.replace(system.catalog, projections=(inline,)))
    system.execute(*TRAFFIC)
    with dg.DagsterInstance.ephemeral() as instance:
        definitions.resolve_job_def(capture_job_name(SOURCE)).execute_in_process(instance=instance)
        told = instance.get_materialized_partitions(naming.projection_key("serving", ORDERS))
    assert served_by(dynamodb, system) == expected(system)
    assert len(told) > RANGES_AT_ONCE
    assert {receipt.how for receipt in system.project()} == {"unchanged"}


@pytest.mark.parametrize("dynamodb", ["moto_dynamodb"], indirect=True)
def test_the_projection_is_an_asset_with_what_it_cost(system: System, dynamodb: DynamoDbServer) -> None:
    system.prepare()
    system.load_all()
    definitions = build_definitions(system.catalog)
    key = naming.projection_key("serving", PEOPLE)
    with dg.DagsterInstance.ephemeral() as instance:
        keys = [each.key for each in system.ranges(system.table("people"))][:1]
        instance.add_dynamic_partitions(naming.id_range_partitions(PEOPLE), keys)
        definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[key], partition_key=keys[0]
        )
        event = instance.get_latest_materialization_event(key)
    assert event is not None
    assert event.asset_materialization is not None
    told = event.asset_materialization.metadata
    assert told["dagster/row_count"].value == 40
    assert told["items_written"].value == 40
    assert told["requests_throttled"].value == 0
    assert "dagster/kind/dynamodb" in definitions.resolve_asset_graph().get(key).tags
