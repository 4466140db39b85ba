"""What topics of Amazon MSK need, where a source or a projection logs in with IAM.

librdkafka asks for the coordinator of the group that names a consumer, although none is joined, and
no offset is committed. A projection reads its topics too: after a crash, up to where it got.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from replication_assets.declarations import KafkaProjection, KafkaSourceConfig
from replication_assets.errors import CatalogError
from replication_assets.iam.policy import Statement

CLUSTER = ("kafka-cluster:Connect", "kafka-cluster:DescribeCluster")
READ = (
    "kafka-cluster:DescribeTopic",
    "kafka-cluster:DescribeTopicDynamicConfiguration",
    "kafka-cluster:ReadData",
)
WRITE = ("kafka-cluster:DescribeTopic", "kafka-cluster:ReadData", "kafka-cluster:WriteData")
MAKE = ("kafka-cluster:CreateTopic",)
GROUP = ("kafka-cluster:DescribeGroup",)
IDEMPOTENT = ("kafka-cluster:WriteDataIdempotently",)
TRANSACTION = ("kafka-cluster:AlterTransactionalId", "kafka-cluster:DescribeTransactionalId")

_CLUSTER = re.compile(r"(arn:[\w-]+:kafka:[\w-]+:\d{12}:)cluster/([^/]+/[^/]+)")


def read_statements(source: KafkaSourceConfig, clusters: Mapping[str, str]) -> Iterator[Statement]:
    """`clusters` are the ARNs of the clusters, by name of the source: brokers' names do not tell them.

    Raises:
        CatalogError: the source's is not among them.
    """
    if source.sasl != "aws-msk-iam":
        return
    within = _Cluster(f"source {source.name}", source.name, clusters)
    yield Statement("log in to the cluster", CLUSTER, (within.arn,))
    yield Statement("read topics", READ, within.all("topic", source.topics))
    yield Statement("find the coordinator", GROUP, within.all("group", [f"replication_assets_{source.name}"]))


def write_statements(
    projection: KafkaProjection, folders: Mapping[str, str], clusters: Mapping[str, str], *, create: bool
) -> Iterator[Statement]:
    """`folders` are those of source tables by topic. With `create` a missing topic may be made.

    Raises:
        CatalogError: the projection's cluster is not among `clusters`.
    """
    if projection.sasl != "aws-msk-iam":
        return
    within = _Cluster(f"projection {projection.name}", projection.name, clusters)
    topics = within.all("topic", sorted(set(folders.values())))
    yield Statement("log in to the cluster", CLUSTER, (within.arn,))
    yield Statement("number messages", IDEMPOTENT, (within.arn,))
    yield Statement("write topics", WRITE, topics)
    if create and projection.partitions is not None:
        yield Statement("make topics", MAKE, topics)
    yield Statement("find the coordinator", GROUP, within.all("group", ["replication_assets_publisher"]))
    if projection.transactions:
        ids = [f"replication_assets-{projection.name}-{folder}" for folder in folders]
        yield Statement("transactions", TRANSACTION, within.all("transactional-id", ids))


class _Cluster:
    def __init__(self, whose: str, name: str, clusters: Mapping[str, str]) -> None:
        found = _CLUSTER.fullmatch(clusters.get(name, ""))
        if found is None:
            problem = (
                f"{whose} logs in to MSK with IAM, and the ARN of its cluster is not known. Fix: "
                f"--msk-cluster {name}=arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/ID"
            )
            raise CatalogError([problem], where="command line")
        self.arn = found[0]
        self._before, self._name = found.groups()

    def all(self, kind: str, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"{self._before}{kind}/{self._name}/{each}" for each in names)
