"""Records of one call, sent until all stand: each key's in order.

A request that breaks off may have been taken, and is sent again: so a record may stand twice, with one
number, and never before an earlier one of its key that does not stand.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from replication_assets.failpoints import reach
from replication_assets.targets.kinesis.client import Patience, code_of, passes, told
from replication_assets.targets.kinesis.key_order import KeyOrder

_log = logging.getLogger(__name__)

REQUEST_RECORDS = 500
REQUEST_BYTES = 5 * 1024 * 1024
"""What Kinesis took in a request before it took records of more than 1 MiB, and takes everywhere."""
KEPT_KEYS = 50_000


@dataclass(frozen=True, slots=True)
class Record:
    """`shard_hash` chooses the shard in place of the key."""

    key: bytes
    data: bytes
    shard_hash: str | None = None

    def __repr__(self) -> str:
        return f"Record({len(self.data)} bytes)"

    @property
    def size(self) -> int:
        return len(self.key) + len(self.data)


@dataclass
class Appender:
    """Sends records to one stream; counts those that were sent `again`. One thread."""

    client: Any = field(repr=False)
    name: str
    where: str
    again: int = 0
    _last: dict[bytes, tuple[str, int]] = field(default_factory=dict, repr=False)
    """Shard and sequence number of the newest records of keys."""
    _newest: dict[str, int] = field(default_factory=dict, repr=False)
    """The greatest sequence number in each shard."""
    _floor: dict[str, int] = field(default_factory=dict, repr=False)
    """In each shard, that of the last record that is to come before all after it."""

    def append(self, records: Sequence[Record], *, after_all: bool = False) -> None:
        """All stand when it returns. With `after_all` each is for a shard of its own, in which it stands
        behind all before it, and before all after it.

        Raises:
            TargetUnavailable: nothing was taken for long. Some may stand.
            TargetError: Kinesis refuses us.
        """
        keys = [str(at).encode() if after_all else each.key for at, each in enumerate(records)]
        order = KeyOrder(keys, [each.size for each in records])
        patience, again = Patience(self.where), self.again
        while order:
            taken = order.take(REQUEST_RECORDS, REQUEST_BYTES)
            answers, code = self._put([records[at] for at in taken])
            reach("stream.sent")
            for at, answer in zip(taken, answers, strict=True):
                if answer is None or not self._follows(None if after_all else keys[at], *answer):
                    self.again += 1
                    order.again(at)
                else:
                    order.stands(at)
                    patience.progressed()
            if code is not None:
                patience.wait(code)
        if self.again > again:
            _log.info("%s: %d records were sent again", self.where, self.again - again)

    def _put(self, records: Sequence[Record]) -> tuple[list[tuple[str, int] | None], str | None]:
        """Shard and sequence number of each, None where it was not taken; and why."""
        entries = [_entry(each) for each in records]
        try:
            reply = self.client.put_records(StreamName=self.name, Records=entries)
        except (BotoCoreError, ClientError) as error:
            if not passes(error):
                raise told(error, self.where, "kinesis:PutRecords") from None
            return [None] * len(records), code_of(error)
        answers = reply["Records"]
        codes = [each.get("ErrorCode") for each in answers]
        found = [
            None if code else (str(each["ShardId"]), int(each["SequenceNumber"]))
            for each, code in zip(answers, codes, strict=True)
        ]
        return found, next((str(code) for code in codes if code), None)

    def _follows(self, key: bytes | None, shard: str, number: int) -> bool:
        """Whether a record stands behind those that were acknowledged before it: of its key, or without one
        in all of its shard. Kinesis promises that of sequence numbers in general only; where it is not so,
        the record is sent again."""
        before = self._newest.get(shard, 0) if key is None else self._before(key, shard)
        if number <= before:
            _log.warning("%s: a record stands before an earlier one, and is sent again", self.where)
            return False
        if key is None:
            self._floor[shard] = number
        else:
            self._last[key] = (shard, number)
        self._newest[shard] = max(number, self._newest.get(shard, 0))
        return True

    def _before(self, key: bytes, shard: str) -> int:
        if len(self._last) >= KEPT_KEYS:
            self._last.clear()
        its_shard, number = self._last.get(key, (shard, 0))
        return max(number if its_shard == shard else 0, self._floor.get(shard, 0))


def _entry(record: Record) -> dict[str, Any]:
    entry: dict[str, Any] = {"Data": record.data, "PartitionKey": record.key.decode()}
    if record.shard_hash is not None:
        entry["ExplicitHashKey"] = record.shard_hash
    return entry
