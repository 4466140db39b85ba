"""A stream as it is told and read: which one it is, its shards, and the numbers that stand in it."""

from __future__ import annotations

import datetime as dt
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from replication_assets.core.envelopes.number_member import numbered_by_member
from replication_assets.errors import TargetError, TargetUnavailable
from replication_assets.targets.kinesis.client import NOT_FOUND, Patience, asked, code_of, passes, told

READY_SECONDS = 120.0
READ_SECONDS = 300.0
"""For so long an iterator of Kinesis lives."""


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """`at` is Kinesis' own time when it was asked, in ms since 1970; `largest` what a record may have in
    bytes, where Kinesis tells."""

    identity: str
    ready: bool
    retention_hours: int
    largest: int | None
    at: int


@dataclass(frozen=True, slots=True)
class Shard:
    """`start` is the first hash of its keys. Closed ones take nothing any more."""

    id: str
    start: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream, by its name. Nothing is kept: everything is asked anew."""

    client: Any
    name: str
    where: str

    def summary(self) -> StreamSummary | None:
        """None if there is no such stream."""
        patience = Patience(self.where)
        while True:
            try:
                reply = self.client.describe_stream_summary(StreamName=self.name)
                return _summary(reply, self.where)
            except (BotoCoreError, ClientError) as error:
                code = code_of(error)
                if code == NOT_FOUND:
                    return None
                if not passes(error):
                    raise told(error, self.where, "kinesis:DescribeStreamSummary") from None
            patience.wait(code)

    def make(self, shards: int) -> None:
        """Returns when it is asked for; somebody else may have made it meanwhile."""
        try:
            self.client.create_stream(StreamName=self.name, ShardCount=shards)
        except (BotoCoreError, ClientError) as error:
            if code_of(error) != "ResourceInUseException":
                raise told(error, self.where, "kinesis:CreateStream") from None

    def when_ready(self) -> StreamSummary:
        """Waits while it is being made."""
        until = time.monotonic() + READY_SECONDS
        while (found := self.summary()) is None or not found.ready:
            if time.monotonic() > until:
                raise TargetUnavailable("the stream is not ready", where=self.where, fix="try again")
            time.sleep(0.5)
        return found

    def shards(self) -> list[Shard]:
        """Those that can be read: the open ones, and closed ones until their records are gone."""
        found: list[Shard] = []
        given: dict[str, Any] = {"StreamName": self.name}
        while True:
            reply = asked(self.client, "list_shards", self.where, **given)
            found += [_shard(each) for each in reply["Shards"]]
            if not reply.get("NextToken"):
                return found
            given = {"NextToken": reply["NextToken"]}

    def require_readable(self) -> None:
        """Raises TargetError where reading is not allowed, which is wanted after a crash."""
        first = next(each for each in self.shards() if each.is_open)
        self._iterator(first, None)

    def numbers(self, stream: str, table: str, since: dt.datetime) -> np.ndarray:
        """Numbers of a stream and table in all records since then: rising, each once."""
        found = array("q")
        for shard in self.shards():
            for data in self._read(shard, since):
                known = numbered_by_member(data)
                if known is not None and known.stream == stream and known.table == table:
                    found.append(known.number)
        return np.unique(np.frombuffer(found, dtype=np.int64)) if found else np.empty(0, np.int64)

    def _read(self, shard: Shard, since: dt.datetime) -> Iterator[bytes]:
        """Up to its end as it is when it is reached; a closed one whole."""
        iterator: str | None = self._iterator(shard, since)
        while iterator is not None:
            reply = asked(self.client, "get_records", self.where, ShardIterator=iterator)
            yield from (each["Data"] for each in reply["Records"])
            if not reply["Records"] and not reply.get("MillisBehindLatest"):
                return
            iterator = reply.get("NextShardIterator")

    def _iterator(self, shard: Shard, since: dt.datetime | None) -> str:
        start: dict[str, Any] = {"ShardIteratorType": "LATEST"}
        if since is not None:
            start = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": since}
        given = {"StreamName": self.name, "ShardId": shard.id, **start}
        return str(asked(self.client, "get_shard_iterator", self.where, **given)["ShardIterator"])


def _summary(reply: Any, where: str) -> StreamSummary:
    told_by = reply["StreamDescriptionSummary"]
    date = reply["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    if date is None:
        raise TargetError("Kinesis does not tell its time (no Date in its answer)", where=where)
    largest = told_by.get("MaxRecordSizeInKiB")
    return StreamSummary(
        f"{told_by['StreamARN']}@{told_by['StreamCreationTimestamp'].timestamp():.3f}",
        told_by["StreamStatus"] in ("ACTIVE", "UPDATING"),
        int(told_by["RetentionPeriodHours"]),
        None if largest is None else int(largest) * 1024,
        int(parsedate_to_datetime(date).timestamp() * 1000),
    )


def _shard(told_by: Any) -> Shard:
    is_open = "EndingSequenceNumber" not in told_by["SequenceNumberRange"]
    return Shard(told_by["ShardId"], told_by["HashKeyRange"]["StartingHashKey"], is_open)
