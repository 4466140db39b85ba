"""Reads topics block by block: some messages of every partition, and where each partition was left.

A block ends when it is large, when nothing came for a moment, or, for one that was told before, at
exactly the offsets that were told. Within a partition messages keep their order; that of partitions
beside each other means nothing, in Kafka as here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from replication_assets.errors import SlotLost, SourceUnavailable
from replication_assets.sources.kafka.connection import LastError, kafka_error, kafka_errors
from replication_assets.sources.kafka.topics import Offsets

BLOCK_MESSAGES = 20_000
BLOCK_BYTES = 16 * 2**20
LINGER_SECONDS = 0.1
"""How long messages are waited for before a block is closed."""
STALL_SECONDS = 60.0
"""Without an answer for so long, brokers that should have messages are given up."""
_BATCH = 5_000

Slot: TypeAlias = tuple[str, int]
_GONE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
_NO_TOPIC = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION})


@dataclass(frozen=True, slots=True)
class Block:
    """Messages, and the next offset of every partition after them."""

    messages: tuple[Message, ...]
    offsets: Offsets


class BlockReader:
    """Reads on from `offsets`. One thread."""

    def __init__(self, consumer: Consumer, told: LastError, where: str, offsets: Offsets) -> None:
        self._consumer, self._told, self._where = consumer, told, where
        self._pending: list[Message] = []
        self._ends: dict[Slot, int] = {}
        self._next: dict[Slot, int] = {}
        self.assign(offsets)

    def assign(self, offsets: Offsets) -> None:
        """Read from these offsets on."""
        self._pending, self._ends = [], {}
        self._next = {(t, n): offset for t, each in offsets.items() for n, offset in enumerate(each)}
        with kafka_errors(self._where, self._told.taken):
            self._consumer.assign([TopicPartition(t, n, offset) for (t, n), offset in self._next.items()])

    @property
    def offsets(self) -> Offsets:
        topics: dict[str, list[int]] = {}
        for (topic, _), offset in sorted(self._next.items()):
            topics.setdefault(topic, []).append(offset)
        return {topic: tuple(each) for topic, each in topics.items()}

    def has_reached(self, goal: Offsets) -> bool:
        """Whether every partition was read to the goal, or to an end that was beyond it."""
        return all(
            self._next[t, n] >= offset or self._ends.get((t, n), -1) >= self._next[t, n]
            for t, each in goal.items()
            for n, offset in enumerate(each)
        )

    def read(self) -> Block:
        """The next block; without messages if none came for a moment."""
        messages: list[Message] = []
        size = 0
        while len(messages) < BLOCK_MESSAGES and size < BLOCK_BYTES:
            taken = self._pending or self._consume(LINGER_SECONDS)
            self._pending = []
            for message in taken:
                self._pass(message)
                messages.append(message)
                size += len(message)
            if len(taken) < _BATCH:
                break
        self._pass_ends()
        return Block(tuple(messages), self.offsets)

    def read_until(self, end: Offsets, stop: Callable[[], bool]) -> Block | None:
        """Exactly the messages before `end`, which are there; None if told to stop before.

        Raises:
            SourceUnavailable: nothing came for long.
        """
        wanted: Mapping[Slot, int] = {(t, n): at for t, each in end.items() for n, at in enumerate(each)}
        messages: list[Message] = []
        later: list[Message] = []
        heard = time.monotonic()
        beyond: set[Slot] = set()
        # What waits was read before an end was heard of.
        while self._pending or any(
            self._next[slot] < at and slot not in beyond and self._ends.get(slot, -1) < at
            for slot, at in wanted.items()
        ):
            if stop():
                return None
            taken = self._pending or self._consume(LINGER_SECONDS)
            self._pending = []
            for message in taken:
                slot = (str(message.topic()), int(message.partition() or 0))
                if int(message.offset() or 0) >= wanted[slot]:
                    beyond.add(slot)
                    later.append(message)
                else:
                    self._pass(message)
                    messages.append(message)
            heard = time.monotonic() if taken else heard
            if time.monotonic() - heard > STALL_SECONDS:
                raise SourceUnavailable(
                    f"no message came for {STALL_SECONDS:.0f} s, and there should be some",
                    where=self._where,
                    fix="try again when the brokers are up",
                )
        self._pending = later
        self._next.update(wanted)
        return Block(tuple(messages), self.offsets)

    def _consume(self, seconds: float) -> list[Message]:
        with kafka_errors(self._where, self._told.taken):
            taken = self._consumer.consume(_BATCH, seconds)
        found = []
        for message in taken:
            error = message.error()
            if error is None:
                found.append(message)
            else:
                self._hear(message, error)
        failed = self._told.taken() if not found else None
        if failed is not None and failed.code() == KafkaError._ALL_BROKERS_DOWN:
            raise kafka_error(failed, self._where)
        return found

    def _hear(self, message: Message, error: KafkaError) -> None:
        slot = (str(message.topic()), int(message.partition() or 0))
        if error.code() == KafkaError._PARTITION_EOF:
            # Beyond the last message where markers of transactions, or compacted ones, lie behind it.
            self._ends[slot] = int(message.offset() or 0)
        elif error.code() in _GONE:
            raise SlotLost(
                f"offset {self._next.get(slot)} of {slot[0]}[{slot[1]}] is not in the topic any more",
                where=self._where,
                fix="recover the source, and have the producer write every row again",
            )
        elif error.code() in _NO_TOPIC:
            raise SlotLost(
                f"topic {slot[0]} was removed while it was read",
                where=self._where,
                fix="create it, recover the source, and have the producer write every row again",
            )
        else:
            raise kafka_error(error, self._where)

    def _pass(self, message: Message) -> None:
        slot = (str(message.topic()), int(message.partition() or 0))
        self._next[slot] = int(message.offset() or 0) + 1

    def _pass_ends(self) -> None:
        waiting = {(message.topic(), message.partition()) for message in self._pending}
        for slot, end in self._ends.items():
            if slot not in waiting:
                self._next[slot] = max(self._next[slot], end)
