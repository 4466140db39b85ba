"""The messages of one step of a topic: made, numbered, and sent unless they stand."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any

import pyarrow as pa

from replication_assets.core.envelopes.murmur import partitions_of
from replication_assets.core.envelopes.produced import MessageForm, Produced, Told
from replication_assets.core.envelopes.producing import produced
from replication_assets.core.envelopes.shaped import ShapedEvents
from replication_assets.core.events import COMMIT_POSITION, EPOCH, ID_RANGE, POSITION, SEQUENCE
from replication_assets.core.items.rows import Rows
from replication_assets.core.letters import ended_by_rows
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.schema import TableId
from replication_assets.core.shape_specs import Shape
from replication_assets.core.sql import Spill
from replication_assets.declarations import TopicProjection
from replication_assets.errors import TargetError
from replication_assets.failpoints import reach
from replication_assets.flows.publish_events import changes, load, table_events
from replication_assets.flows.refusals import Attempt, Handling
from replication_assets.ports import LogSnapshot
from replication_assets.ports.topics import Outgoing, Standing, Topic, TopicStep

TOO_LARGE = "message-too-large"


@dataclass
class StepSender:
    """Sends steps of one table; counts what it `sent` and what was `refused`. One thread."""

    projection: str
    table: TableId
    topic: Topic
    form: MessageForm
    handling: Handling
    shape: Shape | None = None
    spill: Spill = Spill()
    sent: int = 0
    refused: int = 0
    _number: int = 1

    @property
    def declared(self) -> str:
        """A hash of what makes messages of events, as far as it is not left to its defaults: a setting that
        a later version adds changes nothing."""
        return hashlib.sha256(json.dumps([_stated(self.form), _stated(self.shape)]).encode()).hexdigest()[:32]

    def send(self, snapshot: LogSnapshot, step: TopicStep, stands: Standing) -> int:
        """Make the messages of the step, and send those that do not stand. The number of the first message
        after the step.

        Raises:
            TargetError: the step was told under another declaration, and lacks messages as it is now.
        """
        self._number = step.first
        same = step.declared in (None, self.declared)
        shaped = None if self.shape is None else ShapedEvents(self.shape, snapshot.schema)
        schema, anew = (snapshot.schema, frozenset[str]()) if shaped is None else (shaped.schema, shaped.anew)
        told = Told(self.table, schema, self.form, self.projection, anew)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        for rows, messages in self._messages(snapshot, step, told, shaped, now):
            numbered = zip(*self._numbered(messages, len(step.place.offsets)), strict=True)
            missing = [each for each in numbered if self._is_missing(each[0], stands)]
            if not same:
                self._require_whole(message for message, _ in missing)
                continue
            self._append(step, told, rows, missing)
            reach("topic.acknowledged")
        return self._number

    def _messages(
        self, snapshot: LogSnapshot, step: TopicStep, told: Told, shaped: ShapedEvents | None, now: str
    ) -> Iterator[tuple[pa.Table, list[Produced]]]:
        of_key = told.mapped.key_columns
        wanted = of_key if shaped is None else shaped.source_columns(of_key)
        if step.kind == "load":
            for rows in load(snapshot, self.table, step, self.spill, wanted):
                whole = rows if shaped is None else shaped.events(rows, of_key, again=bool(step.former))
                yield whole, produced(told, whole, (), now)
            return
        assert step.start is not None
        rows = changes(snapshot, self.table, step, self.spill, wanted)
        of_table = table_events(snapshot, snapshot.controls(), step.start, step.end)
        if shaped is not None:
            rows, of_table = shaped.events(rows, of_key), shaped.table_events(of_table)
        yield rows, produced(told, rows, of_table, now)

    def _numbered(
        self, messages: Sequence[Produced], partitions: int
    ) -> tuple[list[Outgoing], list[Produced]]:
        """What speaks of the whole table goes to every partition: each has its order for itself."""
        chosen = partitions_of([each.key for each in messages], partitions).tolist()
        sources: list[Produced] = []
        found: list[Outgoing] = []
        number = self._number - 1
        for each, partition in zip(messages, chosen, strict=True):
            for at in range(partitions) if each.row < 0 else (partition,):
                number += each.value is not None
                sources.append(each)
                found.append(Outgoing(each.key, each.value, at, number, each.position, each.row < 0))
        self._number = number + 1
        return found, sources

    def _is_missing(self, message: Outgoing, stands: Standing) -> bool:
        """One that is too large may have been passed by before that was kept."""
        return not stands.has(message) or not self.topic.fits(message)

    def _require_whole(self, missing: Iterable[Outgoing]) -> None:
        """Tombstones and what is too large may always be missing."""
        if any(each.value is not None and self.topic.fits(each) for each in missing):
            raise TargetError(
                "the declaration of its messages changed, and its last step lacks some as it is now",
                where=f"{self.projection} {self.table}",
                fix="declare it as it was and publish once, or tell every row again:"
                f" replication-assets project {self.projection} {self.table} --rebuild",
            )

    def _append(
        self, step: TopicStep, told: Told, rows: pa.Table, pairs: Sequence[tuple[Outgoing, Produced]]
    ) -> None:
        at = dt.datetime.now(dt.UTC)
        large = [each for each in pairs if not self.topic.fits(each[0])]
        if large:
            self._refuse(told, rows, [source for _, source in large], at)
        fitting = [each for each in pairs if self.topic.fits(each[0])] if large else pairs
        messages = [message for message, _ in fitting]
        refused = self.topic.send(step.stream, str(self.table), messages) if messages else frozenset()
        self.sent += len(messages) - len(refused)
        if refused:
            self._refuse(told, rows, [fitting[each][1] for each in sorted(refused)], at)
        self._close_letters(told, rows, at)

    def _refuse(self, told: Told, rows: pa.Table, messages: Sequence[Produced], at: dt.datetime) -> None:
        of_rows = sorted({each.row for each in messages if each.row >= 0})
        concerned = rows.take(pa.array(of_rows, pa.int64())).combine_chunks()
        if not concerned.num_rows:
            raise TargetError("a control record is larger than the brokers take", where=str(self.table))
        shown = Rows(concerned.to_batches()[0])
        texts = {name: shown.shown(name).to_pylist() for name in told.schema.key}
        by_range: dict[str, list[Refusal]] = {}
        for number, row in enumerate(concerned.select([*POSITION, ID_RANGE]).to_pylist()):
            named = {name: texts[name][number] for name in texts}
            key = json.dumps(named, ensure_ascii=False, separators=(",", ":"))
            position = Position(row[EPOCH], row[COMMIT_POSITION], row[SEQUENCE])
            detail = "its message is larger than the brokers take"
            by_range.setdefault(row[ID_RANGE], []).append(Refusal(key, position, None, TOO_LARGE, detail))
        self.refused += concerned.num_rows
        for id_range, refusals in by_range.items():
            Attempt(self.handling, id_range, at)(refusals)

    def _close_letters(self, told: Told, rows: pa.Table, at: dt.datetime) -> None:
        """Letters of keys that newer events were told of."""
        if not rows.num_rows or not self.handling.letters.count():
            return
        schema = told.schema
        newest: dict[tuple[object, ...], int] = {}
        for number, key in enumerate(zip(*(rows[name].to_pylist() for name in schema.key), strict=True)):
            newest[key] = number
        touched = rows.take(pa.array(sorted(newest.values()), pa.int64())).select([*schema.key, *POSITION])
        for id_range in sorted(set(rows[ID_RANGE].to_pylist())):
            letters = self.handling.letters.open_rows(id_range)
            ended = ended_by_rows(letters, schema, touched, at)
            Attempt(self.handling, id_range, at).close(ended)


def message_form(projection: TopicProjection, table: TableId) -> MessageForm:
    """What messages of one table look like."""
    messages = projection.messages_of(str(table))
    own = messages.partition_key if messages is not None else None
    with_table = projection.dms.table_in_key if projection.envelope == "dms" else None
    return MessageForm(
        projection.envelope,
        projection.format,
        own or projection.partition_key,
        projection.is_shared(str(table)) if with_table is None else with_table,
        projection.before_images,
        projection.tombstones,
        projection.schema == "connect",
        projection.dms,
        messages,
    )


def _stated(value: object) -> object:
    """As JSON: of a declaration what is not its default."""
    if is_dataclass(value) and not isinstance(value, type):
        given = [(each, _stated(getattr(value, each.name))) for each in fields(value)]
        return [[each.name, stated] for each, stated in given if stated != _stated(_default(each))]
    if isinstance(value, Mapping):
        return [[key, _stated(each)] for key, each in sorted(value.items())]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_stated(each) for each in value]
    return value


def _default(declared: Field[Any]) -> object:
    """Of a field without one something that no declaration states."""
    if declared.default_factory is not MISSING:
        return declared.default_factory()
    return [] if declared.default is MISSING else declared.default
