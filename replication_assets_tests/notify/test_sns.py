"""A message to a topic reaches its subscribers, seen where a subscriber sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from replication_assets.errors import DeliveryError
from replication_assets.notify.sns import SnsNotifier
from replication_assets_tests.notify.samples import LAG, SLOT

REGION = "eu-central-1"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    finally:
        server.stop()


def topic_with_queue(endpoint: str, **attributes: str) -> tuple[str, str]:
    """A topic, and a queue that is subscribed to it."""
    sns = boto3.client("sns", region_name=REGION, endpoint_url=endpoint)
    sqs = boto3.client("sqs", region_name=REGION, endpoint_url=endpoint)
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    queue = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
    return topic, queue


def received(endpoint: str, queue: str) -> list[dict[str, str]]:
    sqs = boto3.client("sqs", region_name=REGION, endpoint_url=endpoint)
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in messages]


def test_a_subscribed_queue_gets_everything_as_one_message(aws: str) -> None:
    topic, queue = topic_with_queue(aws)
    SnsNotifier(topic, endpoint_url=aws).send([LAG, SLOT])
    (message,) = received(aws, queue)
    assert message["Subject"] == "lag: shop and 1 more"
    body = json.loads(message["Message"])
    assert [each["kind"] for each in body["notifications"]] == ["lag", "slot"]
    assert body["notifications"][1]["what"] == "over: 1.0 GiB left — größer"


def test_a_subscription_can_filter_by_kind(aws: str) -> None:
    topic, queue = topic_with_queue(aws, FilterPolicy=json.dumps({"kind": ["slot"]}))
    notifier = SnsNotifier(topic, endpoint_url=aws)
    notifier.send([LAG])
    assert received(aws, queue) == []
    notifier.send([LAG, SLOT])
    assert len(received(aws, queue)) == 1


def test_a_topic_that_is_not_there_is_named_with_what_aws_said(aws: str) -> None:
    missing = f"arn:aws:sns:{REGION}:123456789012:nobody"
    with pytest.raises(DeliveryError, match=f"SNS topic {missing}: AWS answered NotFound"):
        SnsNotifier(missing, endpoint_url=aws).send([LAG])
