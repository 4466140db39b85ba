"""One topic, written to by an idempotent producer, in transactions where the brokers have them.

Partitions are chosen by the publisher, never here: a message goes where its key belongs, also when it
is sent again. Nothing is sent beyond what the brokers have acknowledged in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from replication_assets.core.envelopes.headers import NUMBER, POSITION, STREAM, TABLE, numbered
from replication_assets.errors import TargetError, TargetUnavailable
from replication_assets.failpoints import reach
from replication_assets.ports.topics import Outgoing, Place, Standing
from replication_assets.targets.kafka.clients import (
    REQUEST_SECONDS,
    TOO_LARGE,
    ClientSettings,
    target_error,
    told_by,
)

DELIVERY_SECONDS = 60.0
"""Without an acknowledgement for so long, the brokers are given up; what stands is looked up next time."""
TRANSACTION_SECONDS = 120.0
TRANSACTION_MESSAGES = 10_000
LINGER_SECONDS = 0.3
_BATCH = 5_000


@dataclass
class KafkaTopic:
    """See `ports.topics.Topic`. Holds no connection before its first call. `partitions` makes a topic that
    is not there; `transactional` is an id for transactions, None without them."""

    settings: ClientSettings = field(repr=False)
    servers: str
    name: str
    max_bytes: int
    partitions: int | None = None
    transactional: str | None = None
    _producer: Producer | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        return f"topic {self.name} at {self.servers}"

    @property
    def forgets(self) -> bool:
        return False

    def place(self, *, make: bool = False) -> Place:
        with told_by(self.where):
            client = AdminClient(dict(self.settings()))
            count = self._count(client, make=make)
            if not count:
                return Place("", ())
            asked = {TopicPartition(self.name, n): OffsetSpec.latest() for n in range(count)}  # type: ignore[no-untyped-call]
            answers = client.list_offsets(
                asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=REQUEST_SECONDS
            )
            ends = {each.partition: answer.result().offset for each, answer in answers.items()}
            found = client.describe_topics(TopicCollection([self.name]), request_timeout=REQUEST_SECONDS)
            topic_id = str(found[self.name].result().topic_id)
        return Place(topic_id, tuple(ends[n] for n in range(count)))

    def _count(self, client: AdminClient, *, make: bool) -> int:
        found = client.list_topics(timeout=REQUEST_SECONDS).topics
        if self.name not in found or not found[self.name].partitions:
            if self.partitions is None:
                raise TargetError(
                    "there is no such topic",
                    where=self.where,
                    fix=f"kafka-topics --create --topic {self.name}, or declare partitions=",
                )
            if not make:
                return 0
            made = client.create_topics(
                [NewTopic(self.name, self.partitions)], request_timeout=REQUEST_SECONDS
            )
            made[self.name].result()
            return self.partitions
        return len(found[self.name].partitions)

    def reached(self, stream: str, table: str, since: Place) -> Standing:
        # A publisher that still runs is fenced before its messages are counted.
        self._open()
        wanted = {
            "group.id": "replication_assets_publisher",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
        }
        with told_by(self.where):
            consumer = Consumer({**self.settings(), **wanted})
            try:
                return Standing(self._greatest(consumer, stream, table, since))
            finally:
                consumer.close()

    def _greatest(self, consumer: Consumer, stream: str, table: str, since: Place) -> dict[int, int]:
        consumer.assign([TopicPartition(self.name, n, at) for n, at in enumerate(since.offsets)])
        found: dict[int, int] = {}
        ended: set[int] = set()
        heard = time.monotonic()
        while True:
            messages = consumer.consume(_BATCH, LINGER_SECONDS)
            for message in messages:
                number = int(message.partition() or 0)
                if (error := message.error()) is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise target_error(error, self.where)
                    ended.add(number)
                    continue
                told = numbered(message.headers())
                if told is not None and told.stream == stream and told.table == table:
                    found[number] = max(found.get(number, 0), told.number)
            if messages:
                heard = time.monotonic()
            elif len(ended) == len(since.offsets):
                return found
            elif time.monotonic() - heard > DELIVERY_SECONDS:
                raise TargetUnavailable(
                    "the topic cannot be read to its end", where=self.where, fix="try again"
                )

    def fits(self, message: Outgoing) -> bool:
        return message.value is None or _size(message) <= self.max_bytes

    def send(self, stream: str, table: str, messages: Sequence[Outgoing]) -> frozenset[int]:
        producer = self._open()
        refused: set[int] = set()
        size = TRANSACTION_MESSAGES if self.transactional is not None else max(1, len(messages))
        try:
            with told_by(self.where):
                for first in range(0, len(messages), size):
                    if self.transactional is not None:
                        producer.begin_transaction()
                    chosen = range(first, min(first + size, len(messages)))
                    self._append(producer, stream, table, messages, chosen, refused)
                    if self.transactional is not None:
                        producer.commit_transaction(DELIVERY_SECONDS)
        except BaseException:
            # What it may still hold back must not be sent after somebody else went on.
            producer.purge()
            self._producer = None
            raise
        return frozenset(refused)

    def _append(
        self,
        producer: Producer,
        stream: str,
        table: str,
        messages: Sequence[Outgoing],
        chosen: range,
        refused: set[int],
    ) -> None:
        delivery = _Delivery()
        same: list[tuple[str, str | bytes | None]] = [(STREAM, stream.encode()), (TABLE, table.encode())]
        for at in chosen:
            each = messages[at]
            headers = [*same, (NUMBER, str(each.number).encode()), (POSITION, str(each.position).encode())]
            told = delivery.of(at)
            while True:
                try:
                    producer.produce(
                        self.name,
                        key=each.key,
                        value=each.value,
                        partition=each.partition,
                        headers=headers,
                        on_delivery=told,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
                except KafkaException as error:
                    if error.args[0].code() not in TOO_LARGE:
                        raise
                    refused.add(at)
                    break
            if at % 1000 == 999:
                producer.poll(0)
            reach("topic.sent")
        left = producer.flush(DELIVERY_SECONDS)
        if left:
            raise TargetUnavailable(
                f"the brokers did not take {left} messages in {DELIVERY_SECONDS:.0f} s",
                where=self.where,
                fix="try again when the brokers are up",
            )
        refused |= delivery.too_large
        if delivery.failed is not None:
            raise target_error(delivery.failed, self.where)

    def _open(self) -> Producer:
        if self._producer is not None:
            return self._producer
        wanted = {
            "enable.idempotence": True,
            "message.max.bytes": self.max_bytes,
            "message.timeout.ms": int(DELIVERY_SECONDS * 1000),
            "linger.ms": 5,
            "compression.type": "none",
        }
        if self.transactional is not None:
            wanted |= {
                "transactional.id": self.transactional,
                "transaction.timeout.ms": int(TRANSACTION_SECONDS * 1000),
            }
        with told_by(self.where):
            producer = Producer({**self.settings(), **wanted})
            if self.transactional is not None:
                producer.init_transactions(DELIVERY_SECONDS)
        self._producer = producer
        return producer


@dataclass
class _Delivery:
    """What became of the messages of one call."""

    too_large: set[int] = field(default_factory=set)
    failed: KafkaError | None = None

    def of(self, at: int) -> Callable[[KafkaError | None, Message], None]:
        def told(error: KafkaError | None, _: Message) -> None:
            if error is None:
                return
            if error.code() in TOO_LARGE:
                self.too_large.add(at)
            else:
                self.failed = self.failed or error

        return told


def _size(message: Outgoing) -> int:
    """Bytes of a message in a batch of its own, with its headers, rounded up."""
    return 512 + len(message.key) + len(message.value or b"")
