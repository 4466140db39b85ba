"""Topics as a change source. See `ports.ChangeSource` for what each method promises.

A topic has no rows to read: its changes are all there is. So a load of a range reads nothing, and
says that the range was empty where the capture began, at the topics' first messages. The fold of all
changes after that is the table. A topic that does not hold its first messages any more, and is not
compacted, is refused unless that is declared: rows would be missing in silence.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import ClassVar

from replication_assets.core.envelopes.messages import Envelope
from replication_assets.core.envelopes.types import ValueFormat, late_column
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import SourceNotReady
from replication_assets.ports import (
    CaptureSetup,
    ChangeStream,
    SourceIdentity,
    SourceStatus,
    Writer,
)
from replication_assets.ports.changes_only import ChangesOnly
from replication_assets.ports.offsets import BlockEnd, OffsetJournal
from replication_assets.sources.kafka import topics as known_topics
from replication_assets.sources.kafka.connection import KafkaCluster
from replication_assets.sources.kafka.decoding import Decoder
from replication_assets.sources.kafka.stream import Reading, open_changes
from replication_assets.sources.kafka.topics import Extent, total

MESSAGE_BYTES = 128
"""What one message counts for in `SourceStatus`: brokers do not tell how much lies behind an offset."""


@dataclass(frozen=True, slots=True)
class TopicFormat:
    """How the topics' messages are to be read. `columns` are declared, by `schema.table`."""

    envelope: Envelope
    values: ValueFormat
    columns: Mapping[str, tuple[Column, ...]]
    keep_refused: bool = False
    partial_history: bool = False


@dataclass(frozen=True, slots=True)
class KafkaSource(ChangesOnly):
    """Some topics of one cluster. Holds no open connection."""

    CALLED: ClassVar[str] = "topics"

    name: str
    cluster: KafkaCluster
    topics: tuple[str, ...]
    format: TopicFormat
    journal: OffsetJournal

    def identify(self) -> SourceIdentity:
        return known_topics.identity(self.cluster, self.topics)

    def status(self) -> SourceStatus:
        end, found = self.journal.last(), self._extent()
        now, head = dt.datetime.now(dt.UTC), total(found.high)
        if end is None:
            return SourceStatus(head, None, None, None, None, False, "missing", now)
        if known_topics.lost_messages(end.offsets, found):
            return SourceStatus(head, end.commit, None, None, None, False, "lost", now)
        waiting = max(0, head - end.commit) * MESSAGE_BYTES
        refused = len(self.journal.refused())
        state = f"{refused} messages refused" if refused else "reserved"
        return SourceStatus(head, end.commit, waiting, None, None, False, state, now)

    def reflect(self, table: TableId, *, key: Sequence[str] = (), append_only: bool = False) -> TableSchema:
        if not key:
            raise SourceNotReady(
                "the key of a topic's table is not known",
                where=str(table),
                fix="declare it: Table(..., key=[...])",
            )
        declared = self._declared(table)
        known = {column.name for column in declared}
        keys = tuple(late_column(name) for name in key if name not in known)
        return TableSchema((*declared, *keys), tuple(key), append_only)

    def setup(self, tables: Sequence[tuple[TableId, TableSchema]]) -> CaptureSetup:
        """The capture begins at the first messages of the topics. A table that is declared later has
        been passed over until then: it is refused, and a new epoch reads it from the beginning."""
        names = tuple(sorted(str(table) for table, _ in tables))
        end = self.journal.last()
        if end is None:
            problems = self.missing(tables)
            if problems:
                raise SourceNotReady("\n".join(problems), where=self.name)
            low = self._extent().low
            end = BlockEnd(total(low), low, names, total(low))
            self.journal.append(end)
        elif added := sorted(set(names) - set(end.tables)):
            raise SourceNotReady(
                f"{', '.join(added)} was passed over in the topics until now",
                where=self.name,
                fix="recover the source: a new epoch reads the topics from their beginning",
            )
        elif names != end.tables:
            self.journal.append(replace(end, tables=names))
        return CaptureSetup(end.start, ())

    def missing(self, tables: Sequence[tuple[TableId, TableSchema]]) -> tuple[str, ...]:  # noqa: ARG002
        """A topic whose first messages are gone does not tell its rows."""
        if self.format.partial_history or self.journal.last() is not None:
            return ()
        low = self._extent().low
        cut = [
            topic
            for topic, offsets in low.items()
            if any(offsets) and not known_topics.is_compacted(self.cluster, topic)
        ]
        return tuple(
            f"the first messages of {topic} passed retention: rows would be missing. Fix: have the"
            " producer write every row to a new topic, or declare partial_history=True"
            for topic in cut
        )

    def teardown(self, *, force: bool = False) -> None:  # noqa: ARG002
        """The brokers hold nothing of ours. A running capture is told when it ends its next block."""
        self.journal.close()

    def remains(self) -> tuple[str, ...]:
        return () if self.journal.last() is None else (f"offset journal of {self.name} in the event store",)

    def writers(self, tables: Sequence[TableId]) -> tuple[Writer, ...]:  # noqa: ARG002
        """Kafka does not tell who produces."""
        return ()

    def stop_writes(self, tables: Sequence[TableId]) -> tuple[str, ...]:  # noqa: ARG002
        topics = ", ".join(self.topics)
        return (f"-- stop the producers of {topics}, or take their right to write with kafka-acls",)

    def changes(
        self,
        tables: Sequence[tuple[TableId, TableSchema]],
        *,
        epoch: int,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
    ) -> AbstractContextManager[ChangeStream]:
        decoder = Decoder(self.format.envelope, self.format.values, tables, epoch)
        self.declared_since(tables, decoder.declare)
        reading = Reading(self.name, self.cluster, self.topics, self.format.keep_refused)
        return open_changes(reading, self.journal, decoder, tables, after=after, upto=upto, stop=stop)

    def _declared(self, table: TableId) -> tuple[Column, ...]:
        return self.format.columns.get(f"{table.schema}.{table.name}", ())

    def _extent(self) -> Extent:
        return known_topics.extent(self.cluster, self.topics)
