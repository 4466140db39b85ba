"""Stores that say "slow down": for a while everything lands, for ever it is told in time."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import boto3
import pytest

from replication_assets.core.positions import Position
from replication_assets.errors import StoreCorrupt, StoreError, TargetUnavailable
from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store.log import DeltaEventLog
from replication_assets.targets.dynamodb import DynamoDbTarget
from replication_assets.targets.dynamodb.wire.exchange import Patience
from replication_assets_tests.contracts.projection_target import A, apply, at, changes, fill, row
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.event_store.samples import ORDERS, append, inserts, ready, stored_ids
from replication_assets_tests.faults.proxy import Fault, Proxy, proxy_to
from replication_assets_tests.targets.dynamodb.faulty_proxy import Faults, faulty_proxy
from replication_assets_tests.targets.dynamodb.places import DynamoDbPlace

SECRET = "canary-4c1d"
SLOW_DOWN = (503, "Slow Down", "SlowDown", "Please reduce your request rate.")
DENIED = (403, "Forbidden", "AccessDenied", "Access Denied")
EXPIRED = (400, "Bad Request", "ExpiredToken", "The provided token has expired.")
REVOKED = (403, "Forbidden", "InvalidAccessKeyId", "The key does not exist in our records.")
REQUESTS = r"(GET|PUT|POST|HEAD|DELETE) /"
MOST_REQUESTS = 12
"""With two repetitions: a step gives up after its first request that fails, or the one after it."""


def refusal(status: int, reason: str, code: str, message: str) -> str:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}"


@pytest.fixture
def s3(moto_dynamodb: DynamoDbServer) -> Iterator[Proxy]:
    """moto's server answers for S3 as well."""
    with proxy_to("127.0.0.1", int(moto_dynamodb.endpoint_url.rpartition(":")[2])) as running:
        yield running


@pytest.fixture
def store(s3: Proxy, moto_dynamodb: DynamoDbServer) -> DeltaEventStore:
    region, bucket = "us-east-1", f"events-{uuid.uuid4().hex}"
    boto3.client(
        "s3",
        endpoint_url=moto_dynamodb.endpoint_url,
        region_name=region,
        aws_access_key_id="test",
        aws_secret_access_key=SECRET,
    ).create_bucket(Bucket=bucket)
    options = {
        "AWS_ENDPOINT_URL": s3.url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "max_retries": "2",
        "retry_timeout": "5s",
        "backoff_config.init_backoff": "20ms",
        "backoff_config.max_backoff": "50ms",
    }
    return DeltaEventStore(f"s3://{bucket}/store", options)


def capture(log: DeltaEventLog, commit: int) -> None:
    writer = log.writer()
    try:
        writer.write(inserts([commit], commit=commit))
        writer.commit(captured=Position(1, commit))
    finally:
        writer.abort()


def test_an_object_store_that_says_slow_down_for_a_while_gets_everything(
    store: DeltaEventStore, s3: Proxy
) -> None:
    log = ready(store.log(ORDERS))
    for commit, nth in enumerate(range(1, 7), 1):
        s3.arm(Fault("answer", pattern=REQUESTS, nth=nth, reply=refusal(*SLOW_DOWN)))
        capture(log, commit)
    s3.heal()
    assert stored_ids(store.log(ORDERS)) == [1, 2, 3, 4, 5, 6]


REFUSALS = [SLOW_DOWN, DENIED, EXPIRED, REVOKED]


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(each, id=each[2], marks=[] if each is SLOW_DOWN else pytest.mark.full)
        for each in REFUSALS
    ],
)
def test_an_object_store_that_refuses_everything_is_told_in_time_and_is_not_taken_for_damaged(
    store: DeltaEventStore, s3: Proxy, refused: tuple[int, str, str, str]
) -> None:
    log = ready(store.log(ORDERS))
    capture(log, 1)
    steps: dict[str, Callable[[], object]] = {
        "open": lambda: store.log(ORDERS).snapshot(),
        "capture": lambda: capture(log, 2),
        "read": lambda: stored_ids(store.log(ORDERS)),
        "ledger": lambda: store.ledger("shop").last(),
        "ensure": lambda: ready(store.log(ORDERS)),
    }
    for name, step in steps.items():
        s3.arm(Fault("answer", pattern=REQUESTS, times=0, reply=refusal(*refused)))
        with pytest.raises(StoreError) as caught:
            step()
        assert not isinstance(caught.value, StoreCorrupt), name
        assert refused[2] in str(caught.value), name
        assert SECRET not in str(caught.value)
        assert 0 < s3.fired() <= MOST_REQUESTS, name
    s3.heal()
    capture(log, 2)
    append(store.log(ORDERS), inserts([3], commit=3))
    assert stored_ids(store.log(ORDERS)) == [1, 2, 3]


def test_a_table_of_dynamodb_that_throttles_for_ever_is_told_and_leaves_its_checkpoint(
    moto_dynamodb: DynamoDbServer,
) -> None:
    with faulty_proxy(moto_dynamodb.endpoint_url, Faults()) as proxy:
        place = DynamoDbPlace(moto_dynamodb, endpoint_url=proxy.endpoint_url, lease_seconds=5)
        fill(place.target, [row(at(5), id=1), row(at(5), id=2)], at(5))
        wire = replace(place.settings.wire, patience=Patience(max_age=0.4))
        impatient = DynamoDbTarget(replace(place.settings, wire=wire), place.items, place.source)
        proxy.faults = Faults(throttled=1.0, operations=frozenset({"PutItem", "BatchWriteItem"}))
        with pytest.raises(TargetUnavailable, match=r"[Tt]hrottl|ProvisionedThroughputExceeded"):
            apply(impatient, changes(upserts=[row(at(6, 1), id=1)]), at(6, 1))
        proxy.faults = Faults()
        found = place.target.checkpoint(A)
        assert found is not None
        assert found.position == at(5)
        apply(place.target, changes(upserts=[row(at(6, 1), id=1)]), at(6, 1))
        place.holds([row(at(6, 1), id=1), row(at(5), id=2)], A)
