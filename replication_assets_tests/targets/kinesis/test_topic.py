"""A stream as a topic: every record at least once, each key in order, whatever Kinesis refuses."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from replication_assets.core.positions import Position
from replication_assets.errors import TargetError, TargetUnavailable
from replication_assets.ports.topics import Outgoing
from replication_assets.secret_references import EnvVar
from replication_assets.targets.kinesis import appending, client
from replication_assets.targets.kinesis import topic as topic_module
from replication_assets.targets.kinesis.client import StreamLogin
from replication_assets.targets.kinesis.topic import KinesisTopic
from replication_assets_tests.kinesis_servers import (
    CANARY,
    REGION,
    THROTTLED,
    Answer,
    Found,
    KinesisServer,
    Relay,
    records,
)

STREAM, TABLE = "feed/1", "shop.public.orders"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_module, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(client, "LONGEST_WAIT_SECONDS", 0.01)
    monkeypatch.setenv("TEST_KEY", "AKIATESTS")


def topic_of(at: KinesisServer | Relay, name: str, **changed: Any) -> KinesisTopic:
    login = StreamLogin("projection feed", REGION, at.endpoint_url, EnvVar("TEST_KEY"), EnvVar("TEST_KEY"))
    given: dict[str, Any] = {"max_bytes": 1_048_576} | changed
    return KinesisTopic(login, name, "feed", TABLE, **given)


def messages(keys: Sequence[str], first: int = 1) -> list[Outgoing]:
    return [
        Outgoing(key.encode(), b'{"data":{}}', 0, number, Position(1, number))
        for number, key in enumerate(keys, first)
    ]


def require_ordered(found: Sequence[Found], sent: Sequence[Outgoing]) -> None:
    """Every message stands, and of each key those that are not repeats are in their order."""
    wanted: dict[str, list[int]] = {}
    for each in sent:
        wanted.setdefault(each.key.decode(), []).append(each.number)
    seen: dict[str, list[int]] = {}
    for record in found:
        own = seen.setdefault(record.key, [])
        if record.number not in own:
            own.append(record.number)
    assert seen == wanted


def test_each_key_keeps_its_order_and_no_request_has_two_of_one(kinesis: KinesisServer, relay: Relay) -> None:
    name = kinesis.stream(2)
    topic = topic_of(relay, name)
    topic.place()
    requests: list[list[str]] = []

    def decide(number: int, entries: list[dict[str, Any]]) -> Answer:
        requests.append([each["PartitionKey"] for each in entries])
        return Answer()

    relay.decide = decide
    sent = messages([f"k{at % 7}" for at in range(40)] + [f"m{at}" for at in range(700)])
    assert topic.send(STREAM, TABLE, sent) == frozenset()
    found = records(kinesis, name)
    assert len(found) == len(sent)
    require_ordered(found, sent)
    assert all(len(set(each)) == len(each) <= 500 for each in requests)
    assert len({each.shard for each in found}) == 2


@pytest.mark.parametrize("seed", range(3))
def test_records_that_are_refused_one_by_one_are_sent_again_before_later_ones_of_their_key(
    kinesis: KinesisServer, relay: Relay, seed: int
) -> None:
    name = kinesis.stream(2)
    topic = topic_of(relay, name)
    chosen = random.Random(seed)

    def decide(number: int, entries: list[dict[str, Any]]) -> Answer:
        codes = [THROTTLED, "InternalFailure"]
        refused = {at: chosen.choice(codes) for at in range(len(entries)) if chosen.random() < 0.4}
        return Answer(refused, lost=chosen.random() < 0.1)

    relay.decide = decide
    sent = messages([f"k{chosen.randrange(9)}" for _ in range(60)])
    topic.send(STREAM, TABLE, sent)
    require_ordered(records(kinesis, name), sent)


def test_without_lost_answers_nothing_stands_twice(kinesis: KinesisServer, relay: Relay) -> None:
    name = kinesis.stream()
    relay.decide = lambda number, entries: Answer(dict.fromkeys(range(1, len(entries), 2), THROTTLED))
    sent = messages([f"k{at % 30}" for at in range(90)])
    topic_of(relay, name).send(STREAM, TABLE, sent)
    assert sorted(each.number for each in records(kinesis, name)) == list(range(1, 91))


def test_a_request_whose_answer_is_lost_is_sent_again_with_the_same_numbers(
    kinesis: KinesisServer, relay: Relay
) -> None:
    name = kinesis.stream()
    relay.decide = lambda number, entries: Answer(lost=number == 1)
    sent = messages(["a", "b", "a"])
    topic_of(relay, name).send(STREAM, TABLE, sent)
    assert [each.number for each in records(kinesis, name)] == [1, 2, 1, 2, 3]


@pytest.mark.parametrize(("status", "code"), [(400, THROTTLED), (500, "InternalFailure"), (503, "")])
def test_a_stream_that_takes_nothing_for_a_while_is_waited_for(
    kinesis: KinesisServer, relay: Relay, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = kinesis.stream()
    relay.decide = lambda number, entries: Answer(status=status if number < 6 else 200, code=code)
    topic_of(relay, name).send(STREAM, TABLE, messages(["a", "a"]))
    assert [each.number for each in records(kinesis, name)] == [1, 2]
    assert relay.requests == [1] * 7
    assert "tried again in" in caplog.text


def test_a_stream_that_takes_nothing_for_long_is_told_with_what_to_do(
    kinesis: KinesisServer, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 0.1)
    name = kinesis.stream()
    relay.decide = lambda number, entries: Answer(dict.fromkeys(range(len(entries)), THROTTLED))
    with pytest.raises(TargetUnavailable, match="more shards") as told:
        topic_of(relay, name).send(STREAM, TABLE, messages(["a"]))
    assert THROTTLED in str(told.value)
    assert records(kinesis, name) == []


def test_a_record_that_is_told_to_stand_before_an_earlier_one_of_its_key_is_sent_again(
    kinesis: KinesisServer, relay: Relay
) -> None:
    name = kinesis.stream()
    relay.decide = lambda number, entries: Answer(behind=frozenset({0}) if number == 2 else frozenset())
    topic_of(relay, name).send(STREAM, TABLE, messages(["a", "a", "a"]))
    assert [each.number for each in records(kinesis, name)] == [1, 2, 2, 3]


def test_what_is_told_everywhere_comes_between_all_before_and_all_after_in_every_shard(
    kinesis: KinesisServer, relay: Relay
) -> None:
    name = kinesis.stream(3)
    before = messages([f"k{at}" for at in range(30)])
    emptied = [replace(each, everywhere=True) for each in messages(["public.orders"], 31)]
    after = messages([f"k{at}" for at in range(30)], 32)
    topic = topic_of(relay, name)
    topic.send(STREAM, TABLE, [*before, *emptied, *after])
    found = records(kinesis, name)
    for shard in {each.shard for each in found}:
        own = [each.number for each in found if each.shard == shard]
        assert own.count(31) == 1
        assert max(own[: own.index(31)], default=0) < 31 < min(own[own.index(31) + 1 :], default=32)
    assert len([each for each in found if each.number == 31]) == 3


def test_what_is_told_everywhere_reaches_shards_that_come_while_it_is_sent(
    kinesis: KinesisServer, relay: Relay
) -> None:
    name = kinesis.stream()
    (shard,) = kinesis.client().list_shards(StreamName=name)["Shards"]

    def decide(number: int, entries: list[dict[str, Any]]) -> Answer:
        if number == 1:
            middle = str(int(shard["HashKeyRange"]["EndingHashKey"]) // 2)
            kinesis.client().split_shard(
                StreamName=name, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle
            )
        return Answer()

    relay.decide = decide
    topic_of(relay, name).send(
        STREAM, TABLE, [replace(each, everywhere=True) for each in messages(["public.orders"])]
    )
    # To the one shard that there was, then to the two of it. moto puts all into the closed one.
    assert relay.requests == [1, 2]
    assert [each.number for each in records(kinesis, name)] == [1, 1, 1]


def test_what_stands_is_found_by_its_numbers_and_others_messages_are_not(kinesis: KinesisServer) -> None:
    name = kinesis.stream(2)
    topic = topic_of(kinesis, name)
    since = topic.place()
    sent = messages([f"k{at}" for at in range(50)])
    topic.send(STREAM, TABLE, [each for each in sent if each.number not in (7, 50)])
    topic.send("feed/2", TABLE, sent[:9])
    topic.send(STREAM, "shop.public.items", sent[40:])
    kinesis.client().put_record(StreamName=name, Data=b"somebody else's", PartitionKey="x")
    stands = topic.reached(STREAM, TABLE, since)
    assert [each.number for each in sent if not stands.has(each)] == [7, 50]
    assert stands.greatest == {0: 49}
    assert not topic.reached("feed/3", TABLE, since).greatest


def test_a_control_record_stands_only_if_something_was_sent_after_it(kinesis: KinesisServer) -> None:
    name = kinesis.stream(2)
    topic = topic_of(kinesis, name)
    since = topic.place()
    (emptied,) = (replace(each, everywhere=True) for each in messages(["public.orders"], 2))
    topic.send(STREAM, TABLE, [*messages(["a"]), emptied])
    assert not topic.reached(STREAM, TABLE, since).has(emptied)
    topic.send(STREAM, TABLE, messages(["a"], 3))
    assert topic.reached(STREAM, TABLE, since).has(emptied)


def test_of_a_step_older_than_the_stream_keeps_nothing_is_relied_on(kinesis: KinesisServer) -> None:
    """Its first records may be gone, and its later ones still there."""
    topic = topic_of(kinesis, kinesis.stream())
    since = topic.place()
    topic.send(STREAM, TABLE, messages(["a"]))
    old = replace(since, at=(since.at or 0) - 23 * 3600 * 1000 - 60_000)
    assert topic.reached(STREAM, TABLE, since).has(*messages(["a"]))
    assert not topic.reached(STREAM, TABLE, old).has(*messages(["a"]))


def test_what_is_larger_than_a_record_may_be_or_has_no_key_of_kinesis_does_not_fit(
    kinesis: KinesisServer,
) -> None:
    topic = topic_of(kinesis, kinesis.stream(), line_end=True)
    (small,) = messages(["key"])

    def of(size: int) -> Outgoing:
        return replace(small, value=b'{"data":"' + b"x" * (size - 11) + b'"}')

    most = next(size for size in range(1_048_576, 0, -1) if topic.fits(of(size)))
    assert not topic.fits(of(most + 1))
    assert most > 1_048_576 - 300
    topic.send(STREAM, TABLE, [of(most)])
    assert topic.fits(replace(small, key=b"x" * 256))
    assert topic.fits(replace(small, key="\u00e4".encode() * 256))
    assert not topic.fits(replace(small, key=b"x" * 257))
    assert not topic.fits(replace(small, key=b""))


def test_large_records_are_parted_by_the_bytes_of_a_request(kinesis: KinesisServer, relay: Relay) -> None:
    name = kinesis.stream()
    value = b'{"data":"' + b"x" * 900_000 + b'"}'
    sent = [replace(each, value=value) for each in messages([f"k{at}" for at in range(12)])]
    topic_of(relay, name).send(STREAM, TABLE, sent)
    assert relay.requests == [5, 5, 2]
    assert appending.REQUEST_BYTES == 5 * 1024 * 1024


def test_a_stream_that_is_not_there_is_told_or_made(kinesis: KinesisServer) -> None:
    name = f"{kinesis.stream()}-none"
    with pytest.raises(TargetError, match="no such stream") as told:
        topic_of(kinesis, name).place()
    assert "shards=" in str(told.value)
    making = topic_of(kinesis, name, shards=3)
    assert making.place().topic_id == ""
    made = making.place(make=True)
    assert made.topic_id.startswith("arn:aws:kinesis:")
    assert len(kinesis.client().list_shards(StreamName=name)["Shards"]) == 3
    assert making.place(make=True).topic_id == made.topic_id


@pytest.mark.parametrize(
    "action", ["DescribeStreamSummary", "ListShards", "GetShardIterator", "PutRecords", "CreateStream"]
)
def test_what_is_not_allowed_is_named_and_no_message_of_aws_is_repeated(
    kinesis: KinesisServer, relay: Relay, action: str
) -> None:
    name = kinesis.stream() if action != "CreateStream" else "never-made"
    relay.denied = frozenset({action})
    topic = topic_of(relay, name, shards=1)

    def all_of_it() -> None:
        topic.place(make=True)
        topic.send(STREAM, TABLE, messages(["a"]))

    with pytest.raises(TargetError, match=f"kinesis:{action}") as told:
        all_of_it()
    assert CANARY not in str(told.value)
    if action != "PutRecords":
        assert relay.requests == [], "found before any message was sent"


def test_nothing_is_read_or_connected_to_before_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    topic = topic_of(KinesisServer(1), "s")
    assert "AKIA" not in repr(topic)


def test_an_endpoint_that_nobody_listens_at_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(TargetUnavailable, match="EndpointConnectionError"):
        topic_of(KinesisServer(1), "s").place()


def test_numbers_that_stand_are_found_in_closed_shards_too(kinesis: KinesisServer) -> None:
    name = kinesis.stream()
    topic = topic_of(kinesis, name)
    since = topic.place()
    topic.send(STREAM, TABLE, messages(["a", "b"]))
    (shard,) = kinesis.client().list_shards(StreamName=name)["Shards"]
    middle = str(int(shard["HashKeyRange"]["EndingHashKey"]) // 2)
    kinesis.client().split_shard(StreamName=name, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)
    topic.send(STREAM, TABLE, messages(["a", "b"], 3))
    stands = topic.reached(STREAM, TABLE, since)
    assert stands.numbers is not None
    assert stands.numbers.tolist() == [1, 2, 3, 4]
