"""What the brokers say of the topics: partitions, offsets, and which topics they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from confluent_kafka import IsolationLevel, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType  # type: ignore[attr-defined]

from replication_assets.errors import SlotLost, SourceNotReady
from replication_assets.ports import SourceIdentity
from replication_assets.sources.kafka.connection import REQUEST_SECONDS, KafkaCluster, administering

Offsets: TypeAlias = Mapping[str, tuple[int, ...]]
"""Next offset of each partition, by its number."""


@dataclass(frozen=True, slots=True)
class Extent:
    """First and next offset of every partition."""

    low: Offsets
    high: Offsets


def identity(cluster: KafkaCluster, topics: Sequence[str]) -> SourceIdentity:
    """The cluster and the ids of the topics: one that was made anew is another source."""
    with administering(cluster) as client:
        cluster_id = client.describe_cluster(request_timeout=REQUEST_SECONDS).result().cluster_id
        partition_counts(client, topics)
        found = client.describe_topics(TopicCollection(list(topics)), request_timeout=REQUEST_SECONDS)
        ids = sorted(f"{name}={described.result().topic_id}" for name, described in found.items())
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
    return SourceIdentity(f"{cluster_id}-{digest}", 1)


def partition_counts(client: AdminClient, topics: Sequence[str]) -> dict[str, int]:
    """Raises SourceNotReady for a topic that is not there."""
    found = client.list_topics(timeout=REQUEST_SECONDS).topics
    missing = [name for name in topics if name not in found or not found[name].partitions]
    if missing:
        raise SourceNotReady(
            f"there is no topic {', '.join(missing)}", fix="create it, or name the topics that there are"
        )
    return {name: len(found[name].partitions) for name in topics}


def extent(cluster: KafkaCluster, topics: Sequence[str]) -> Extent:
    """As a reader of committed messages sees it: an open transaction is not there yet."""
    with administering(cluster) as client:
        counts = partition_counts(client, topics)
        low = _offsets(client, counts, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        high = _offsets(client, counts, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    return Extent(low, high)


def _offsets(client: AdminClient, counts: Mapping[str, int], which: OffsetSpec) -> Offsets:
    """Asked of all partitions at once."""
    asked = {TopicPartition(topic, n): which for topic, count in counts.items() for n in range(count)}
    level = IsolationLevel.READ_COMMITTED
    answers = client.list_offsets(asked, isolation_level=level, request_timeout=REQUEST_SECONDS)
    found = {(each.topic, each.partition): answer.result().offset for each, answer in answers.items()}
    return {topic: tuple(found[topic, n] for n in range(count)) for topic, count in counts.items()}


def is_compacted(cluster: KafkaCluster, topic: str) -> bool:
    """Whether the newest message of every key stays for ever."""
    with administering(cluster) as client:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        asked = client.describe_configs([resource], request_timeout=REQUEST_SECONDS)
        policy = asked[resource].result().get("cleanup.policy")
    return policy is not None and policy.value == "compact"


def total(offsets: Offsets) -> int:
    """The commit position of a place in the topics: how many offsets lie before it."""
    return sum(sum(each) for each in offsets.values())


def require_kept(at: Offsets, found: Extent, where: str) -> None:
    """Raises SlotLost if messages between `at` and the ends of the topics are gone."""
    lost = lost_messages(at, found)
    if lost:
        raise SlotLost(
            f"messages are gone before they were captured: {'; '.join(lost)}",
            where=where,
            fix="recover the source, and have the producer write every row again",
        )


def lost_messages(at: Offsets, found: Extent) -> list[str]:
    """What is not there any more, by partition."""
    lost = []
    for topic, offsets in at.items():
        kept = zip(offsets, found.low.get(topic, ()), found.high.get(topic, ()), strict=False)
        for number, (offset, low, high) in enumerate(kept):
            if offset < low:
                lost.append(f"offsets {offset} to {low - 1} of {topic}[{number}] passed retention")
            if offset > high:
                lost.append(f"{topic}[{number}] ends at {high}, and {offset} was read before")
        if len(offsets) > len(found.low.get(topic, ())):
            lost.append(f"{topic} has fewer partitions than it had")
    return lost


def grown(at: Offsets, found: Extent) -> dict[str, tuple[int, ...]]:
    """`at`, with partitions that came since, at their beginnings."""
    return {topic: (*at[topic], *found.low[topic][len(at[topic]) :]) for topic in at}


def seen(at: Offsets, found: Extent) -> dict[str, tuple[int, ...]]:
    """The ends, as found, of the partitions that `at` has."""
    return {
        topic: tuple(max(pair) for pair in zip(each, found.high[topic], strict=False))
        for topic, each in at.items()
    }
