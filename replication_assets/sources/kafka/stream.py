"""The change stream of topics: blocks, told to the journal before anybody sees them.

No consumer group hands partitions out, so nothing is rebalanced: a capture reads all partitions of
its topics. Of two captures, the one that tells the journal second is refused.

Partitions that are added while we read begin where the old ones were left when they were seen: all
that was written to the old ones until then sorts before them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from confluent_kafka import Consumer

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import DecodeError, SlotLost, SourceNotReady
from replication_assets.failpoints import reach
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.ports.offsets import BlockEnd, OffsetJournal, RefusedMessage
from replication_assets.sources.kafka import topics as known_topics
from replication_assets.sources.kafka.blocks import Block, BlockReader
from replication_assets.sources.kafka.connection import KafkaCluster, LastError, consuming
from replication_assets.sources.kafka.decoding import Decoder
from replication_assets.sources.kafka.topics import Extent, Offsets, total

Tables = Sequence[tuple[TableId, TableSchema]]

LOOK_SECONDS = 5.0
"""How often partitions are counted while a stream is open."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a stream reads, and what becomes of messages that it does not understand."""

    name: str
    cluster: KafkaCluster
    topics: tuple[str, ...]
    keep_refused: bool


@contextmanager
def open_changes(
    reading: Reading,
    journal: OffsetJournal,
    decoder: Decoder,
    tables: Tables,
    *,
    after: int,
    upto: int | None,
    stop: Callable[[], bool],
) -> Iterator[ChangeStream]:
    """The stream after commit position `after`; see `ports.ChangeSource.changes`.

    Raises:
        SlotLost: the journal does not know the position, or messages after it are gone.
        SourceNotReady: a table is not captured.
    """
    ends = journal.since(after)
    if not ends:
        raise SlotLost(
            f"the offset journal does not know position {after}",
            where=reading.name,
            fix="recover the source, which reads the topics from their beginning in a new epoch",
        )
    left_out = {str(table) for table, _ in tables} - set(ends[-1].tables)
    if left_out:
        raise SourceNotReady(
            f"{', '.join(sorted(left_out))} is not captured yet",
            where=reading.name,
            fix="set the capture up again",
        )
    told = LastError()
    with consuming(reading.cluster, reading.name, told) as consumer:
        yield KafkaChanges(reading, journal, decoder, consumer, told, ends, upto, stop)


class KafkaChanges:
    """A `ports.ChangeStream`. Iterate it once, in one thread."""

    def __init__(
        self,
        reading: Reading,
        journal: OffsetJournal,
        decoder: Decoder,
        consumer: Consumer,
        told: LastError,
        ends: tuple[BlockEnd, ...],
        upto: int | None,
        stop: Callable[[], bool],
    ) -> None:
        self._reading, self._journal, self._decoder = reading, journal, decoder
        self._consumer, self._told, self._where = consumer, told, reading.cluster.bootstrap_servers
        self._end, self._known = ends[0], ends[1:]
        decoder.begin(ends[0].streams)
        self._upto, self._stop = upto, stop
        self._looked = 0.0
        self._grown: Extent | None = None
        """What the topics were when added partitions were seen, until those are taken in."""

    def __iter__(self) -> Iterator[ChangeChunk]:
        known_topics.require_kept(self._end.offsets, self._extent(), self._where)
        reader = BlockReader(self._consumer, self._told, self._where, self._end.offsets)
        for end in self._known:
            if (chunk := self._again(reader, end)) is None:
                return
            yield chunk
        goal = self._extent().high if self._upto is not None else None
        while not self._stop():
            if self._upto is not None and self._end.commit >= self._upto:
                return
            self._look()
            block = reader.read()
            if block.offsets != self._end.offsets:
                yield self._tell(block)
            else:
                # A flush is begun between chunks: what was read last must not wait for the next message.
                yield self._nothing()
            if self._grown is not None:
                self._take_in_partitions(reader, self._grown)
            elif goal is not None and reader.has_reached(goal):
                return

    def acknowledge(self, commit: int) -> None:
        """Nothing: the topics' retention asks nobody, and the journal knows what was read."""

    def _again(self, reader: BlockReader, end: BlockEnd) -> ChangeChunk | None:
        """A block that was told before: the same messages, with the same positions. None if told to
        stop before its end."""
        if _partitions(end.offsets) != _partitions(self._end.offsets):
            reader.assign(end.offsets)
            self._end = end
            return self._nothing()
        block = reader.read_until(end.offsets, self._stop)
        if block is None:
            return None
        chunk, refused = self._decoder.chunk(block)
        self._keep(refused)
        self._end = end
        return chunk

    def _nothing(self) -> ChangeChunk:
        return ChangeChunk((), (), (), self._end.commit, None)

    def _tell(self, block: Block) -> ChangeChunk:
        chunk, refused = self._decoder.chunk(block)
        self._keep(refused)
        end = replace(
            self._end, commit=total(block.offsets), offsets=block.offsets, streams=self._decoder.streams
        )
        reach("kafka.block_read")
        self._journal.append(end)
        reach("kafka.block_told")
        self._end = end
        return chunk

    def _keep(self, refused: Sequence[RefusedMessage]) -> None:
        if not refused:
            return
        if self._reading.keep_refused:
            self._journal.refuse(refused)
            return
        first = refused[0]
        raise DecodeError(
            f"{len(refused)} messages are not understood, the first because {first.reason}",
            where=f"{first.topic}[{first.partition}] offset {first.offset}",
            fix="declare the topic's envelope and types, or malformed='keep' to go on without them",
        )

    def _look(self) -> None:
        """Whether there are more partitions than we read."""
        if self._grown is not None or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        found = self._extent()
        if _partitions(found.high) != _partitions(self._end.offsets):
            self._grown = found

    def _take_in_partitions(self, reader: BlockReader, found: Extent) -> None:
        """Added partitions, as soon as what the old ones held when that was seen has been delivered."""
        if not reader.has_reached(known_topics.seen(self._end.offsets, found)):
            return
        offsets = known_topics.grown(self._end.offsets, found)
        end = replace(self._end, commit=total(offsets), offsets=offsets)
        self._journal.append(end)
        self._end, self._grown = end, None
        reader.assign(offsets)

    def _extent(self) -> Extent:
        return known_topics.extent(self._reading.cluster, self._reading.topics)


def _partitions(offsets: Offsets) -> dict[str, int]:
    return {topic: len(each) for topic, each in offsets.items()}
