"""What reading topics of Amazon MSK needs, where the source logs in with IAM.

librdkafka asks for the coordinator of the group that names a consumer, although none is joined.
Nothing of a topic is written, and no offset is committed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from replication_assets.declarations import KafkaSourceConfig
from replication_assets.errors import CatalogError
from replication_assets.iam.policy import Statement

CLUSTER = ("kafka-cluster:Connect", "kafka-cluster:DescribeCluster")
TOPIC = (
    "kafka-cluster:DescribeTopic",
    "kafka-cluster:DescribeTopicDynamicConfiguration",
    "kafka-cluster:ReadData",
)
GROUP = ("kafka-cluster:DescribeGroup",)

_CLUSTER = re.compile(r"(arn:[\w-]+:kafka:[\w-]+:\d{12}:)cluster/([^/]+/[^/]+)")


def topic_statements(source: KafkaSourceConfig, clusters: Mapping[str, str]) -> Iterator[Statement]:
    """`clusters` are the ARNs of the clusters, by name of the source: brokers' names do not tell them.

    Raises:
        CatalogError: the source's is not among them.
    """
    if source.sasl != "aws-msk-iam":
        return
    found = _CLUSTER.fullmatch(clusters.get(source.name, ""))
    if found is None:
        problem = (
            f"source {source.name} logs in to MSK with IAM, and the ARN of its cluster is not known. Fix: "
            f"--msk-cluster {source.name}=arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/ID"
        )
        raise CatalogError([problem], where="command line")
    before, cluster = found.groups()
    yield Statement("log in to the cluster", CLUSTER, (found[0],))
    topics = tuple(f"{before}topic/{cluster}/{topic}" for topic in source.topics)
    yield Statement("read topics", TOPIC, topics)
    yield Statement(
        "find the coordinator", GROUP, (f"{before}group/{cluster}/replication_assets_{source.name}",)
    )
