"""Projections into topics and streams: events of the event store, one message each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from replication_assets.core.envelopes.layout import MessageFormat
from replication_assets.core.envelopes.specs import DmsEnvelope, Messages, PartitionKey
from replication_assets.core.shape_specs import Shape
from replication_assets.declarations.base import Declaration
from replication_assets.declarations.operations import Refusals
from replication_assets.declarations.projections import Follow
from replication_assets.declarations.sources import SaslMechanism, TopicEnvelope
from replication_assets.secret_references import SecretReference

__all__ = [
    "DmsEnvelope",
    "KafkaProjection",
    "KinesisProjection",
    "Messages",
    "TopicProjection",
    "TopicSchema",
]

TopicSchema: TypeAlias = Literal["none", "connect"]


class _OfTables(Declaration):
    """What is asked of every projection into topics. `topic` and `messages` are its own."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def topic(self) -> str: ...
        @property
        def messages(self) -> Sequence[Messages]: ...

    def messages_of(self, table: str) -> Messages | None:
        """What is declared of one table's messages, by its name in full."""
        return next((each for each in self.messages if each.table == table), None)

    def topic_of(self, source: str, schema: str, table: str) -> str:
        """The name of a table's topic."""
        named = self._topic(f"{source}.{schema}.{table}").replace("${source}", source)
        return named.replace("${schema}", schema).replace("${table}", table)

    def is_shared(self, table: str) -> bool:
        """Whether the topic of a table may have others too."""
        return not all(part in self._topic(table) for part in ("${source}", "${schema}", "${table}"))

    def _topic(self, table: str) -> str:
        own = self.messages_of(table)
        return self.topic if own is None or own.topic is None else own.topic


@dataclass(frozen=True, slots=True)
class KafkaProjection(_OfTables):
    """Events of some tables as messages of topics, each once and in the order of its key (docs/kafka.md).

    `bootstrap_servers`, `tls`, `ca_file`, `certificate_file`, `key_file`, `sasl`, `user`, `password` and
    `region` are as in `KafkaSourceConfig`. `topic` names the topic of each table, with `${source}`,
    `${schema}` and `${table}`; several tables may share one. A topic that is not there is made with so
    many `partitions`, if they are given. `envelope` is DMS's or Debezium's. `format` "json" prints DMS's
    over several lines. Keys are the primary key's values, or with `partition_key` "schema-table" the
    table's name, which keeps all of a table in one partition. `before_images` tells old values where the
    source does. `dms` says what else DMS's envelope has, and `messages` what those of single tables look
    like: other topics and keys, columns left out or nested, attributes of their own. `shapes` says which
    rows and columns are told, as in `DeltaProjection`. `tombstones` follow Debezium's deletes, and `schema`
    "connect" puts Kafka Connect's schema beside each of its payloads. A message larger than
    `message_max_bytes` becomes a dead letter, by `refusals`. With `transactions` messages stand in Kafka's
    transactions. `tables`, `follow` and `freshness_seconds` are as in `DeltaProjection`.
    """

    name: str
    _: KW_ONLY
    tables: Sequence[str]
    bootstrap_servers: str
    envelope: TopicEnvelope
    topic: str = "${source}.${schema}.${table}"
    partitions: int | None = None
    format: MessageFormat = "json-unformatted"
    partition_key: PartitionKey = "primary-key"
    before_images: bool = False
    dms: DmsEnvelope = DmsEnvelope()
    messages: Sequence[Messages] = ()
    shapes: Sequence[Shape] = ()
    tombstones: bool = True
    schema: TopicSchema = "none"
    message_max_bytes: int = 1_000_000
    transactions: bool = True
    follow: Follow = "micro-batch"
    refusals: Refusals = Refusals()
    freshness_seconds: float | None = None
    tls: bool = True
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    sasl: SaslMechanism | None = None
    user: str | None = None
    password: SecretReference | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class KinesisProjection(_OfTables):
    """Events of some tables as records of Kinesis data streams, in the order of each key, at least once and
    with numbers that tell repeats (docs/kinesis.md).

    `stream` names the stream of each table, with `${source}`, `${schema}` and `${table}`; several tables may
    share one. A stream that is not there is made with so many `shards`, if they are given. `envelope`,
    `format`, `partition_key`, `before_images`, `dms`, `messages`, `shapes` and `schema` are as in
    `KafkaProjection`. A record larger than `message_max_bytes` becomes a dead letter, by `refusals`, and so
    does one whose key has no or more than 256 characters. `tables`, `follow` and `freshness_seconds` are as
    in `DeltaProjection`, `region`, `endpoint_url`, `access_key_id` and `secret_access_key` as in
    `DynamoDbProjection`.
    """

    name: str
    _: KW_ONLY
    tables: Sequence[str]
    stream: str
    envelope: TopicEnvelope
    shards: int | None = None
    format: MessageFormat = "json-unformatted"
    partition_key: PartitionKey = "primary-key"
    before_images: bool = False
    dms: DmsEnvelope = DmsEnvelope()
    messages: Sequence[Messages] = ()
    shapes: Sequence[Shape] = ()
    schema: TopicSchema = "none"
    message_max_bytes: int = 1_048_576
    follow: Follow = "micro-batch"
    refusals: Refusals = Refusals()
    freshness_seconds: float | None = None
    region: str | None = None
    endpoint_url: str | None = None
    access_key_id: SecretReference | None = None
    secret_access_key: SecretReference | None = None

    @property
    def topic(self) -> str:
        """What every projection into topics calls it."""
        return self.stream

    @property
    def tombstones(self) -> bool:
        """Nothing compacts a stream."""
        return False


TopicProjection: TypeAlias = KafkaProjection | KinesisProjection
