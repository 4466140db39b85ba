"""Capacity is raised for a load and put back: after an error, after other loads, after a kill -9."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest

from replication_assets.errors import TargetError
from replication_assets.targets.dynamodb.capacity import (
    RaisedCapacity,
    capacity_for_load,
    restore_capacity,
)
from replication_assets.targets.dynamodb.capacity_record import LEASE_SECONDS, CapacityRecord
from replication_assets.targets.dynamodb.tables import TableDescription, describe
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name
from replication_assets_tests.targets.dynamodb.faulty_proxy import Faults, faulty_proxy

ON_DEMAND = RaisedCapacity(on_demand=True)


@pytest.fixture
def client(dynamodb: DynamoDbServer) -> Any:
    return dynamodb.client()


@pytest.fixture
def provisioned(client: Any) -> str:
    """A table of 5 read and 6 write units, with an index of 7 and 8."""
    name = fresh_table_name()
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "other", "AttributeType": "S"},
        ],
        ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_other",
                "KeySchema": [{"AttributeName": "other", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": {"ReadCapacityUnits": 7, "WriteCapacityUnits": 8},
            }
        ],
    )
    return name


@pytest.fixture
def control(client: Any) -> str:
    """The name of a control table, which the record makes when it needs it."""
    return fresh_table_name()


def record_of(client: Any, control: str, table: str, *, later: float = 0.0) -> CapacityRecord:
    key = {"projection": {"S": "capacity"}, "subject": {"S": table}}
    return CapacityRecord(client, control, key, now=lambda: time.time() + later)


def told(client: Any, table: str) -> TableDescription:
    found = describe(client, table)
    assert found is not None
    return found


def is_as_before(client: Any, table: str) -> bool:
    found = told(client, table)
    (_, index) = found.indexes[0]
    return (found.billing, found.throughput.read_units, found.throughput.write_units) == (
        "PROVISIONED",
        5,
        6,
    ) and (index.read_units, index.write_units) == (7, 8)


def test_a_table_is_on_demand_for_the_load_and_provisioned_as_before_after_it(
    client: Any, provisioned: str, control: str
) -> None:
    record = record_of(client, control, provisioned)
    with capacity_for_load(client, provisioned, ON_DEMAND, record):
        assert told(client, provisioned).billing == "PAY_PER_REQUEST"
        assert record.read() is not None
    assert is_as_before(client, provisioned)
    assert record.read() is None


def test_provisioned_units_are_raised_where_they_are_fewer(
    client: Any, provisioned: str, control: str
) -> None:
    record = record_of(client, control, provisioned)
    with capacity_for_load(client, provisioned, RaisedCapacity(write_units=7), record):
        found = told(client, provisioned)
        assert (found.billing, found.throughput.write_units) == ("PROVISIONED", 7)
        assert found.indexes[0][1].write_units == 8
    assert is_as_before(client, provisioned)


def test_capacity_that_is_enough_is_left_alone(client: Any, provisioned: str, control: str) -> None:
    record = record_of(client, control, provisioned)
    with capacity_for_load(client, provisioned, RaisedCapacity(write_units=6), record):
        assert is_as_before(client, provisioned)
        assert record.read() is None
    client.update_table(TableName=provisioned, BillingMode="PAY_PER_REQUEST")
    with capacity_for_load(client, provisioned, ON_DEMAND, record):
        assert record.read() is None
    assert told(client, provisioned).billing == "PAY_PER_REQUEST"


def test_a_load_that_fails_puts_it_back(client: Any, provisioned: str, control: str) -> None:
    record = record_of(client, control, provisioned)
    with (
        pytest.raises(ZeroDivisionError),
        capacity_for_load(client, provisioned, ON_DEMAND, record),
    ):
        raise ZeroDivisionError
    assert is_as_before(client, provisioned)


def test_the_last_of_several_loads_puts_it_back(client: Any, provisioned: str, control: str) -> None:
    record = record_of(client, control, provisioned)
    with capacity_for_load(client, provisioned, ON_DEMAND, record):
        with capacity_for_load(client, provisioned, ON_DEMAND, record):
            assert not restore_capacity(client, provisioned, record)
        assert told(client, provisioned).billing == "PAY_PER_REQUEST"
    assert is_as_before(client, provisioned)
    assert not restore_capacity(client, provisioned, record)


def killed_during_a_load(server: DynamoDbServer, table: str, control: str) -> None:
    program = f"""
        import os, signal
        from replication_assets.targets.dynamodb.capacity import RaisedCapacity, capacity_for_load
        from replication_assets_tests.dynamodb_servers import DynamoDbServer
        from replication_assets_tests.targets.dynamodb.test_capacity import record_of

        client = DynamoDbServer({server.kind!r}, {server.endpoint_url!r}, {server.region!r}).client()
        record = record_of(client, {control!r}, {table!r})
        with capacity_for_load(client, {table!r}, RaisedCapacity(on_demand=True), record):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)])
    assert done.returncode == -9


def test_what_a_killed_load_left_is_put_back_once_it_is_overdue(
    dynamodb: DynamoDbServer, client: Any, provisioned: str, control: str
) -> None:
    killed_during_a_load(dynamodb, provisioned, control)
    assert told(client, provisioned).billing == "PAY_PER_REQUEST"
    assert not restore_capacity(client, provisioned, record_of(client, control, provisioned))
    later = record_of(client, control, provisioned, later=LEASE_SECONDS + 60)
    assert restore_capacity(client, provisioned, later)
    assert is_as_before(client, provisioned)
    assert later.read() is None


def test_a_load_after_a_killed_one_restores_what_was_before_both(
    dynamodb: DynamoDbServer, client: Any, provisioned: str, control: str
) -> None:
    killed_during_a_load(dynamodb, provisioned, control)
    later = record_of(client, control, provisioned, later=LEASE_SECONDS + 60)
    with capacity_for_load(client, provisioned, ON_DEMAND, later):
        assert told(client, provisioned).billing == "PAY_PER_REQUEST"
    assert is_as_before(client, provisioned)


def test_a_record_that_was_made_before_anything_changed_does_no_harm(
    client: Any, provisioned: str, control: str
) -> None:
    record = record_of(client, control, provisioned)
    assert record.begin("killed at once", '[["", 5, 6], ["by_other", 7, 8], ["dropped", 1, 1]]')
    assert not record.begin("another", "[]")
    later = record_of(client, control, provisioned, later=LEASE_SECONDS + 60)
    assert restore_capacity(client, provisioned, later)
    assert is_as_before(client, provisioned)


def test_a_load_that_entered_meanwhile_keeps_the_record(client: Any, provisioned: str, control: str) -> None:
    record = record_of(client, control, provisioned)
    record.begin("first", "[]")
    seen = record.leave("first")
    assert seen is not None
    assert record.join("second") is not None
    assert not record.forget(seen)
    found = record.read()
    assert found is not None
    assert list(found.until) == ["second"]


@pytest.mark.parametrize(
    ("code", "said"),
    [("LimitExceededException", "limit of changes in 24 hours"), ("ValidationException", "was refused")],
)
def test_a_change_that_aws_refuses_is_told_before_the_load_and_leaves_nothing_behind(
    dynamodb: DynamoDbServer, client: Any, provisioned: str, control: str, code: str, said: str
) -> None:
    with faulty_proxy(dynamodb.endpoint_url, Faults(refused={"UpdateTable": code})) as proxy:
        refused = DynamoDbServer(dynamodb.kind, proxy.endpoint_url, dynamodb.region).client()
        record = record_of(refused, control, provisioned)
        with (
            pytest.raises(TargetError, match=said) as raised,
            capacity_for_load(refused, provisioned, ON_DEMAND, record),
        ):
            pytest.fail("the load began")
    assert raised.value.fix
    assert is_as_before(client, provisioned)
    assert record_of(client, control, provisioned).read() is None


# DynamoDB Local knows no warm throughput.
@pytest.mark.parametrize("dynamodb", ["moto_dynamodb"], indirect=True)
def test_a_table_on_demand_is_warmed_and_stays_so(client: Any, provisioned: str, control: str) -> None:
    client.update_table(TableName=provisioned, BillingMode="PAY_PER_REQUEST")
    record = record_of(client, control, provisioned)
    with capacity_for_load(client, provisioned, RaisedCapacity(write_units=50_000), record):
        warm = client.describe_table(TableName=provisioned)["Table"]["WarmThroughput"]
        assert warm["WriteUnitsPerSecond"] == 50_000
    assert record.read() is None
