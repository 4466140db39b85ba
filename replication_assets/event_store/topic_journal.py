"""The journal of a table that is published in a topic: a Delta table with a line for each step.

The app transaction that counts the lines makes two publishers conflict: the second is told.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from replication_assets.core.positions import Position
from replication_assets.errors import CommitConflict, StoreCorrupt
from replication_assets.event_store.compaction import compact
from replication_assets.event_store.numbered_lines import NUMBER, NumberedLines
from replication_assets.event_store.storage import Place as Folder
from replication_assets.ports.topics import Place, Published, TopicStep

STEPS = pa.schema([*NUMBER, pa.field("step", pa.string())])
LINES_PER_COMPACTION = 64


class DeltaTopicJournal:
    """See `ports.topics.TopicJournal`."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._lines = NumberedLines(folder, STEPS)
        self._seen: int | None = None

    def __repr__(self) -> str:
        return f"DeltaTopicJournal({self._folder.uri!r})"

    def last(self) -> TopicStep | None:
        self._seen = self._lines.count()
        if not self._seen:
            return None
        try:
            return _step(json.loads(self._lines.read(self._seen - 1)[0]["step"]))
        except (ValueError, TypeError, KeyError):
            raise StoreCorrupt(
                f"line {self._seen} of the topic journal cannot be read",
                where=self._folder.where,
                fix="it was written by a newer version: use that one",
            ) from None

    def append(self, step: TopicStep) -> None:
        seen = self._lines.count() if self._seen is None else self._seen
        try:
            self._lines.append([json.dumps(_body(step))], seen)
        except CommitConflict:
            raise CommitConflict(
                "another publisher of this table told its next step",
                where=self._folder.where,
                fix="stop one of the two; this one goes on from there when it starts anew",
            ) from None
        self._seen = seen + 1
        if self._seen % LINES_PER_COMPACTION == 0:
            compact(self._folder)


def _body(step: TopicStep) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "chapter": step.chapter,
        "stream": step.stream,
        "first": step.first,
        "topic": step.topic,
        "topic_id": step.place.topic_id,
        "offsets": step.place.offsets,
        "at": step.place.at,
        "start": _text(step.start),
        "end": str(step.end),
        "ranges": {key: [each.loads, _text(each.floor)] for key, each in step.ranges.items()},
        "id_range": step.id_range,
        "former": step.former,
        "declared": step.declared,
    }


def _step(body: dict[str, Any]) -> TopicStep:
    ranges = {
        key: Published(tuple(loads), _position(floor)) for key, (loads, floor) in body["ranges"].items()
    }
    return TopicStep(
        body["kind"],
        body["chapter"],
        body["stream"],
        body["first"],
        body["topic"],
        Place(body["topic_id"], tuple(body["offsets"]), body.get("at")),
        _position(body["start"]),
        Position.parse(body["end"]),
        ranges,
        body["id_range"],
        tuple(body["former"]),
        body.get("declared"),
    )


def _text(position: Position | None) -> str | None:
    return None if position is None else str(position)


def _position(text: str | None) -> Position | None:
    return None if text is None else Position.parse(text)
