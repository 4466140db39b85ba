"""One stream, written to by the publisher of one table.

There are no transactions, and no producer is fenced: a record may stand twice, always with the same number.
What stands is looked up by the numbers in the records themselves; what was read from a time on is all that
can be missed or found, since a stream does not tell its end.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from replication_assets.core.envelopes.number_member import member_of, with_member
from replication_assets.core.positions import Position
from replication_assets.errors import TargetError
from replication_assets.ports.topics import Outgoing, Place, Standing
from replication_assets.targets.kinesis.appending import Appender, Record
from replication_assets.targets.kinesis.client import StreamLogin
from replication_assets.targets.kinesis.stream import Stream, StreamSummary

KEY_CHARACTERS = 256
MARGIN = dt.timedelta(seconds=60)
"""By so much may the clocks of two parts of Kinesis differ."""
FORGOTTEN = dt.timedelta(hours=1)
"""So long before records are due to go, what is left of a step is not relied on any more."""
SETTLE_SECONDS = 1.0
"""What a dead publisher sent may take so long until it can be read."""
_LARGEST = Position(2**31 - 1, 2**62, 2**62)


@dataclass
class KinesisTopic:
    """See `ports.topics.Topic`. Holds no connection before its first call. `shards` makes a stream that is
    not there; `line_end` ends each record with a line break."""

    login: StreamLogin = field(repr=False)
    name: str
    stream: str
    table: str
    max_bytes: int
    shards: int | None = None
    line_end: bool = False
    _stream: Stream | None = field(default=None, repr=False)
    _appender: Appender | None = field(default=None, repr=False)
    _seen: bool = False

    @property
    def where(self) -> str:
        return f"Kinesis stream {self.name}"

    @property
    def forgets(self) -> bool:
        return True

    def place(self, *, make: bool = False) -> Place:
        found = self._reading().summary()
        if found is None and self.shards is None:
            raise TargetError(
                "there is no such stream",
                where=self.where,
                fix=f"aws kinesis create-stream --stream-name {self.name}, or declare shards=",
            )
        if found is None and not make:
            return Place("", ())
        if found is None:
            self._reading().make(self.shards or 1)
        if found is None or not found.ready:
            found = self._reading().when_ready()
        self._require_fit(found)
        return Place(found.identity, (0,), found.at)

    def _require_fit(self, found: StreamSummary) -> None:
        """What would be found after a crash only, or after messages were sent."""
        if self._seen:
            return
        if found.largest is not None and self.max_bytes > found.largest:
            raise TargetError(
                f"its records have at most {found.largest} bytes, and message_max_bytes is {self.max_bytes}",
                where=self.where,
                fix="message_max_bytes as the stream has it, or aws kinesis update-max-record-size",
            )
        self._reading().require_readable()
        self._seen = True

    def reached(self, stream: str, table: str, since: Place) -> Standing:
        now = self._reading().when_ready()
        began = dt.datetime.fromtimestamp((since.at or 0) / 1000, dt.UTC)
        kept = dt.timedelta(hours=now.retention_hours) - FORGOTTEN
        if dt.datetime.fromtimestamp(now.at / 1000, dt.UTC) - began > kept:
            # Some of its first records may be gone. Sending those alone would put them behind later ones.
            return Standing(numbers=np.empty(0, np.int64))
        time.sleep(SETTLE_SECONDS)
        numbers = self._reading().numbers(stream, table, began - MARGIN)
        return Standing({0: int(numbers[-1])} if len(numbers) else {}, numbers)

    def fits(self, message: Outgoing) -> bool:
        if message.value is None:
            return True
        key = message.key.decode()
        return (
            0 < len(key) <= KEY_CHARACTERS
            and len(message.key) + len(message.value) + self._added <= self.max_bytes
        )

    @property
    def _added(self) -> int:
        """Bytes of what is put before a message, at the most."""
        return 2 + len(member_of(f"{self.stream}/{2**31}", self.table, 2**62, _LARGEST))

    def send(self, stream: str, table: str, messages: Sequence[Outgoing]) -> frozenset[int]:
        for everywhere, group in groupby(messages, key=lambda each: each.everywhere):
            records = [self._record(stream, table, each) for each in group]
            if not everywhere:
                self._writing().append(records)
                continue
            for each in records:
                self._append_everywhere(each)
        return frozenset()

    def _append_everywhere(self, record: Record) -> None:
        """To every open shard, and to those that came while it was sent."""
        told: set[str] = set()
        while missing := [each for each in self._reading().shards() if each.is_open and each.id not in told]:
            copies = [Record(record.key, record.data, each.start) for each in missing]
            self._writing().append(copies, after_all=True)
            told |= {each.id for each in missing}

    def _record(self, stream: str, table: str, message: Outgoing) -> Record:
        if message.value is None:
            raise ValueError("a stream takes no tombstones")
        member = member_of(stream, table, message.number, message.position)
        return Record(message.key, with_member(message.value, member) + (b"\n" if self.line_end else b""))

    def _reading(self) -> Stream:
        if self._stream is None:
            self._stream = Stream(self._client(), self.name, self.where)
        return self._stream

    def _writing(self) -> Appender:
        if self._appender is None:
            self._appender = Appender(self._reading().client, self.name, self.where)
        return self._appender

    def _client(self) -> Any:
        return self.login.client()
