"""The offset journal of a source of topics: two Delta tables beside its ledger.

`ends` has a line for each block, `refused` one for each message that was not understood. The app
transaction that counts the lines makes two captures of one source conflict: the second is told.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from replication_assets.errors import CommitConflict, StoreCorrupt
from replication_assets.event_store.compaction import compact
from replication_assets.event_store.numbered_lines import NUMBER, NumberedLines
from replication_assets.event_store.storage import Place
from replication_assets.ports.offsets import BlockEnd, RefusedMessage

ENDS = pa.schema(
    [
        *NUMBER,
        pa.field("commit", pa.int64()),
        # JSON: topic -> next offset of each partition; null where a capture was closed.
        pa.field("offsets", pa.string()),
        pa.field("tables", pa.string()),
        pa.field("start", pa.int64()),
    ]
)
REFUSED = pa.schema(
    [
        *NUMBER,
        pa.field("topic", pa.string()),
        pa.field("partition", pa.int64()),
        pa.field("offset", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
    ]
)
LINES_PER_COMPACTION = 64
FIRST_LOOK = 256
"""Lines that are looked at first: a capture starts near the newest."""


class DeltaOffsetJournal:
    """See `ports.offsets.OffsetJournal`. One instance belongs to one capture: it remembers how many
    lines it saw."""

    def __init__(self, ends: Place, refused: Place) -> None:
        self._place = ends
        self._ends = NumberedLines(ends, ENDS)
        self._refused = NumberedLines(refused, REFUSED)
        self._seen: int | None = None

    def __repr__(self) -> str:
        return f"DeltaOffsetJournal({self._place.uri!r})"

    def last(self) -> BlockEnd | None:
        count = self._ends.count()
        self._seen = count
        return _end(self._ends.read(count - 1)[0]) if count else None

    def since(self, commit: int) -> tuple[BlockEnd, ...]:
        self._seen = count = self._ends.count()
        look = FIRST_LOOK
        while True:
            after = max(0, count - look)
            ends = [_end(line) for line in self._ends.read(after)]
            closed = max((at for at, end in enumerate(ends) if end is None), default=-1)
            open_ends = [end for end in ends[closed + 1 :] if end is not None]
            found = [at for at, end in enumerate(open_ends) if end.commit == commit]
            if found:
                return tuple(open_ends[found[-1] :])
            if after == 0 or closed >= 0:
                return ()
            look *= 16

    def append(self, end: BlockEnd) -> None:
        offsets = json.dumps({topic: list(each) for topic, each in end.offsets.items()})
        self._tell([end.commit, offsets, json.dumps(end.tables), end.start])

    def close(self) -> None:
        if self.last() is not None:
            self._tell([0, None, None, 0])

    def refuse(self, messages: Sequence[RefusedMessage]) -> None:
        known = {(each.topic, each.partition, each.offset) for each in self.refused()}
        for each in messages:
            if (each.topic, each.partition, each.offset) not in known:
                line = [each.topic, each.partition, each.offset, each.reason, each.key, each.value]
                self._refused.append(line, self._refused.count())

    def refused(self) -> tuple[RefusedMessage, ...]:
        names = [field.name for field in REFUSED][len(NUMBER) :]
        return tuple(RefusedMessage(*(line[name] for name in names)) for line in self._refused.read())

    def _tell(self, values: Sequence[object]) -> None:
        seen = self._ends.count() if self._seen is None else self._seen
        try:
            self._ends.append(values, seen)
        except CommitConflict:
            raise CommitConflict(
                "another capture of these topics told how far it came",
                where=self._place.where,
                fix="stop one of the two captures; this one goes on from there when it starts anew",
            ) from None
        self._seen = seen + 1
        if self._seen % LINES_PER_COMPACTION == 0:
            compact(self._place)


def _end(line: dict[str, Any]) -> BlockEnd | None:
    if line["offsets"] is None:
        return None
    try:
        offsets = {topic: tuple(each) for topic, each in json.loads(line["offsets"]).items()}
        return BlockEnd(line["commit"], offsets, tuple(json.loads(line["tables"])), line["start"])
    except (ValueError, TypeError, AttributeError):
        raise StoreCorrupt(
            f"line {line[NUMBER[2].name]} of the offset journal cannot be read",
            fix="find out who wrote to the table; restore its folder from a copy",
        ) from None
