"""Tables are made as declared, never changed in what cannot be changed back, and told apart."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from replication_assets.errors import TargetError, TargetUnavailable
from replication_assets.targets.dynamodb.tables import (
    KeyAttribute,
    TableSpec,
    describe,
    ensure,
    service_errors,
    wait_until_active,
)
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name
from replication_assets_tests.targets.dynamodb.faulty_proxy import Faults, faulty_proxy


@pytest.fixture
def client(dynamodb: DynamoDbServer) -> Any:
    return dynamodb.client()


def spec(**changed: Any) -> TableSpec:
    given: dict[str, Any] = {"name": fresh_table_name(), "key": (KeyAttribute("pk"),)}
    return TableSpec(**(given | changed))


def test_a_missing_table_is_made_with_its_key_and_time_to_live(client: Any) -> None:
    wanted = spec(key=(KeyAttribute("pk", "B"), KeyAttribute("sk", "N")), ttl_attribute="expires")
    made = ensure(client, wanted)
    assert made.key == wanted.key
    assert (made.status, made.billing) == ("ACTIVE", "PAY_PER_REQUEST")
    told = client.describe_time_to_live(TableName=wanted.name)["TimeToLiveDescription"]
    assert (told["TimeToLiveStatus"], told["AttributeName"]) == ("ENABLED", "expires")


def test_a_table_that_is_there_is_left_as_it_is(client: Any) -> None:
    wanted = spec(billing="PROVISIONED", read_units=3, write_units=4, ttl_attribute="expires")
    first = ensure(client, wanted)
    assert (first.throughput.read_units, first.throughput.write_units) == (3, 4)
    again = ensure(client, spec(name=wanted.name, ttl_attribute="expires"))
    assert again == first


def test_another_key_is_refused_with_both_keys_named(client: Any) -> None:
    made = ensure(client, spec())
    other = spec(name=made.name, key=(KeyAttribute("pk"), KeyAttribute("sk", "N")))
    with pytest.raises(TargetError, match=r"key is pk \(S\), declared is pk \(S\), sk \(N\)") as raised:
        ensure(client, other)
    assert raised.value.fix


def test_another_time_to_live_attribute_is_refused(client: Any) -> None:
    made = ensure(client, spec(ttl_attribute="expires"))
    with pytest.raises(TargetError, match="items expire by expires, declared is gone_at"):
        ensure(client, spec(name=made.name, ttl_attribute="gone_at"))


def test_a_table_that_was_made_again_is_another_instance(client: Any) -> None:
    wanted = spec()
    first = ensure(client, wanted)
    assert describe(client, wanted.name) == first
    client.delete_table(TableName=wanted.name)
    assert describe(client, wanted.name) is None
    assert ensure(client, wanted).instance != first.instance


def test_waiting_for_a_table_that_never_comes_ends(client: Any) -> None:
    with pytest.raises(TargetUnavailable, match="the table is missing after 0 s"):
        wait_until_active(client, fresh_table_name(), wait_seconds=0.1)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDeniedException", TargetError),
        ("UnrecognizedClientException", TargetError),
        ("ConditionalCheckFailedException", ClientError),
        ("ResourceNotFoundException", ClientError),
    ],
)
def test_errors_of_boto3_become_ours_unless_they_are_answers(
    dynamodb: DynamoDbServer, code: str, kind: type[Exception]
) -> None:
    with (
        faulty_proxy(dynamodb.endpoint_url, Faults(refused={"GetItem": code})) as proxy,
        pytest.raises(kind, match=code),
        service_errors("DynamoDB table orders"),
    ):
        through(proxy.endpoint_url, dynamodb).get_item(TableName="orders", Key={"pk": {"S": "a"}})


def test_nobody_listening_is_worth_another_try(dynamodb: DynamoDbServer) -> None:
    with pytest.raises(TargetUnavailable, match="EndpointConnectionError") as raised:
        describe(through("http://127.0.0.1:9", dynamodb), "orders")
    assert raised.value.retryable


def through(endpoint_url: str, server: DynamoDbServer) -> Any:
    """A client of the server behind another endpoint, that gives up at once."""
    return DynamoDbServer(server.kind, endpoint_url, server.region).client()
