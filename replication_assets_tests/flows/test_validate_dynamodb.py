"""Validation of items: what was refused is accounted for, attributes that differ are named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from replication_assets.catalog import ByWidth, DynamoDbProjection, EnvVar, ItemKey, Items, Table
from replication_assets.core.schema import TableId
from replication_assets.flows.project import project_range
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refusals import Handling, handling_of
from replication_assets.flows.validation.findings import Validation
from replication_assets.flows.validation.repair import repair_projection
from replication_assets.flows.validation.validate import validate_projection
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.flows.test_validate import listed, states
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")
pytestmark = pytest.mark.parametrize("dynamodb", ["moto_dynamodb"], indirect=True)


@pytest.fixture
def served(
    database: FreshDatabase, tmp_path: Path, dynamodb: DynamoDbServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[System]:
    """Thirty rows in three ranges, as items."""
    monkeypatch.setenv("TEST_AWS_KEY", dynamodb.access_key)
    monkeypatch.setenv("TEST_AWS_SECRET", dynamodb.secret_key)
    projection = DynamoDbProjection(
        "serving",
        items=(Items(str(T), fresh_table_name(), partition_key=ItemKey("pk", "t#${code}")),),
        region=dynamodb.region,
        endpoint_url=dynamodb.endpoint_url,
        access_key_id=EnvVar("TEST_AWS_KEY"),
        secret_access_key=EnvVar("TEST_AWS_SECRET"),
        control_table=fresh_table_name(),
    )
    system = system_of(database, tmp_path, [Table(str(T), id_ranges=ByWidth(10))])
    system = System(replace(system.catalog, projections=(projection,)), database.dsn)
    system.execute(
        "CREATE TABLE t (id int PRIMARY KEY, code text, v text)",
        "INSERT INTO t SELECT i, 'c' || i, 'v' || i FROM generate_series(0, 29) i",
    )
    system.prepare()
    system.load_all()
    follow(system)
    yield system
    system.source.teardown()


def handling(system: System) -> Handling:
    found = handling_of(system.store, system.catalog.projections[0], T)
    assert found is not None
    return found


def follow(system: System) -> None:
    system.capture()
    snapshot = system.store.log(T).snapshot()
    for id_range in ranges_of(snapshot):
        project_range(snapshot, T, system.target(T), id_range, handling=handling(system))


def validated(system: System) -> Validation:
    letters = handling(system).letters
    return validate_projection(system.store, system.target(T), T, projection="serving", letters=letters)


def into(system: System) -> str:
    (projection,) = system.catalog.projections
    assert isinstance(projection, DynamoDbProjection)
    return projection.items[0].into


def test_attributes_that_differ_are_named_and_mended(served: System, dynamodb: DynamoDbServer) -> None:
    client, table = dynamodb.client(), into(served)
    assert set(states(validated(served)).values()) == {"equal"}
    stored = client.get_item(TableName=table, Key={"pk": {"S": "t#c11"}})["Item"]
    client.put_item(TableName=table, Item={**stored, "v": {"S": "planted"}, "more": {"N": "1"}})
    client.delete_item(TableName=table, Key={"pk": {"S": "t#c12"}})
    client.put_item(TableName=table, Item={"pk": {"S": "stranger"}})
    client.put_item(TableName=table, Item={"pk": {"S": "t#c25"}, "v": {"S": "bare"}})
    found = validated(served)
    assert [(kind, key, columns) for kind, _, key, columns in listed(found)] == [
        ("differing", '{"pk":{"S":"t#c11"}}', ("more", "v")),
        ("differing", '{"pk":{"S":"t#c25"}}', ("code", "id", "v")),
        ("extra", '{"pk":{"S":"stranger"}}', ()),
        ("missing", '{"pk":{"S":"t#c12"}}', ()),
    ]
    done = repair_projection(
        served.store, served.target(T), T, projection="serving", handling=handling(served)
    )
    assert done.done, done
    assert {each.how for each in done.ranges} == {"rows"}
    assert set(states(validated(served)).values()) == {"equal"}
    assert client.scan(TableName=table, Select="COUNT")["Count"] >= 30


def test_items_that_were_refused_are_dead_letters_and_no_mismatch(
    served: System, dynamodb: DynamoDbServer
) -> None:
    served.execute(
        "UPDATE t SET v = repeat('x', 500000) WHERE id = 3", "UPDATE t SET code = NULL WHERE id = 14"
    )
    follow(served)
    assert handling(served).letters.count() == 2
    found = validated(served)
    assert found.passed, found
    assert found.mismatches == 0
    dynamodb.client().delete_item(TableName=into(served), Key={"pk": {"S": "t#c5"}})
    found = validated(served)
    assert (found.count("missing"), found.mismatches) == (1, 1)
    served.execute("UPDATE t SET v = 'small' WHERE id = 3", "UPDATE t SET code = 'c14' WHERE id = 14")
    follow(served)
    repair_projection(served.store, served.target(T), T, projection="serving", handling=handling(served))
    assert set(states(validated(served)).values()) == {"equal"}
