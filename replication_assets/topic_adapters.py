"""Which adapter writes the topic or stream of a table, and how it is made of its declaration.

The part of the composition root that `Replication.topic` asks. Nothing is connected to, and no secret read,
before the adapter is used; its library is imported when one is made.
"""

from __future__ import annotations

from replication_assets.change_sources import driver, kafka_cluster
from replication_assets.core.schema import TableId
from replication_assets.declarations import KafkaProjection, KinesisProjection, TopicProjection
from replication_assets.ports.topics import Topic


def topic_of(projection: TopicProjection, table: TableId) -> Topic:
    """Raises SourceNotReady if the driver of Kafka is not installed."""
    if isinstance(projection, KinesisProjection):
        return _stream(projection, table)
    return _topic(projection, table)


def _topic(projection: KafkaProjection, table: TableId) -> Topic:
    with driver("confluent_kafka", "kafka", projection.name):
        from replication_assets.targets.kafka.topic import KafkaTopic

    by = f"replication_assets-{projection.name}-{table.folder}" if projection.transactions else None
    return KafkaTopic(
        kafka_cluster(projection).settings,
        projection.bootstrap_servers,
        projection.topic_of(table.source, table.schema, table.name),
        projection.message_max_bytes,
        projection.partitions,
        by,
    )


def _stream(projection: KinesisProjection, table: TableId) -> Topic:
    from replication_assets.targets.kinesis.client import StreamLogin
    from replication_assets.targets.kinesis.topic import KinesisTopic

    login = StreamLogin(
        f"projection {projection.name}",
        projection.region,
        projection.endpoint_url,
        projection.access_key_id,
        projection.secret_access_key,
    )
    return KinesisTopic(
        login,
        projection.topic_of(table.source, table.schema, table.name),
        projection.name,
        str(table),
        projection.message_max_bytes,
        projection.shards,
        # Lines of JSON, which Firehose writes to files as they are.
        line_end=projection.envelope == "dms" and projection.format == "json-unformatted",
    )
