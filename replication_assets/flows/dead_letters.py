"""What people do about dead letters: look at the events, retry, discard, resume.

A retry writes what the row is now (as of the range's own checkpoint), never what it was when
it was refused: an old event cannot beat a newer one. A letter whose row has moved on is
superseded by that.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.baseline import Baseline
from replication_assets.core.events import POSITION, SEQUENCE, stored_schema
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.letters import ended_by_rows, typed_keys
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.sql import Spill, engine, same_key
from replication_assets.errors import CommitConflict
from replication_assets.flows.compare import baseline_at
from replication_assets.flows.key_rows import rows_of_keys
from replication_assets.flows.project import project_range
from replication_assets.flows.refusals import Attempt, Handling
from replication_assets.ports import (
    DeadLetter,
    EventStore,
    LogSnapshot,
    ProjectionTarget,
    RangeCheckpoint,
)

LETTERS_AT_A_TIME = 50_000
"""Rows of so many keys are folded and written together, in memory."""

TRIES = 5
"""How often a range that moves on meanwhile is read anew."""


@dataclass(frozen=True, slots=True)
class RetryReceipt:
    """What became of the letters that were tried: `refused` once more, or `waiting` because the
    range's checkpoint is not past them (a projection that stops at them tries them itself)."""

    applied: int = 0
    superseded: int = 0
    refused: int = 0
    waiting: int = 0

    def __add__(self, other: RetryReceipt) -> RetryReceipt:
        return RetryReceipt(
            self.applied + other.applied,
            self.superseded + other.superseded,
            self.refused + other.refused,
            self.waiting + other.waiting,
        )


def retry(
    store: EventStore,
    target: ProjectionTarget,
    handling: Handling,
    table: TableId,
    letters: Sequence[DeadLetter] | None = None,
    *,
    spill: Spill = Spill(),
) -> RetryReceipt:
    """Reprocess open letters (default: all): bring their ranges forward, so that rows which were
    mended at the source since are seen, then write the current rows of the keys that are left.

    Works on a suspended table too, as of where it stands; it stays suspended. A range is
    projected from nothing, with the handling's policy, where single rows cannot be written: it
    was emptied, its table has no key, or whole rows were refused of which the target may hold
    former ones under other keys.

    Raises:
        CommitConflict: a range kept moving on.
        TableSuspended: a range has to be projected, and its table is suspended.
    """
    receipt = RetryReceipt()
    for id_range in _ranges(handling, letters):
        for attempt_left in reversed(range(TRIES)):
            try:
                receipt += _retry_range(store, target, handling, table, id_range, letters, spill)
                break
            except CommitConflict:
                if not attempt_left:
                    raise
    return receipt


def discard(handling: Handling, letters: Sequence[DeadLetter] | None = None) -> int:
    """Give letters up (default: all that are open): the target stays without what they speak of.
    Returns how many."""
    rows = handling.letters.open_rows()
    if letters is not None:
        rows = rows.filter(_among(rows, letters))
    handling.letters.close_rows(rows, "discarded", dt.datetime.now(dt.UTC))
    return int(rows.num_rows)


def resume(handling: Handling) -> bool:
    """Let a suspended table be projected again; False if it was not suspended."""
    suspended = handling.letters.suspended() is not None
    handling.letters.resume(dt.datetime.now(dt.UTC))
    return suspended


def _ranges(handling: Handling, letters: Sequence[DeadLetter] | None) -> list[str]:
    if letters is not None:
        return sorted({letter.id_range for letter in letters})
    return sorted(pc.unique(handling.letters.open_rows()["id_range"]).to_pylist())


def _chosen(handling: Handling, id_range: str, letters: Sequence[DeadLetter] | None) -> pa.Table:
    rows = handling.letters.open_rows(id_range)
    return rows if letters is None else rows.filter(_among(rows, letters))


def _among(rows: pa.Table, letters: Sequence[DeadLetter]) -> pa.Array:
    wanted = {(one.refusal.key, one.refusal.position, one.refusal.column) for one in letters}
    return pa.array([identity in wanted for identity in _identities(rows)], pa.bool_())


def _identities(rows: pa.Table) -> Iterator[tuple[str, Position, str | None]]:
    columns = [rows[name].to_pylist() for name in ("key", *POSITION, "column")]
    for key, epoch, commit, sequence, column in zip(*columns, strict=True):
        yield key, Position(epoch, commit, sequence), column


def _retry_range(
    store: EventStore,
    target: ProjectionTarget,
    handling: Handling,
    table: TableId,
    key: str,
    letters: Sequence[DeadLetter] | None,
    spill: Spill,
) -> RetryReceipt:
    chosen = _chosen(handling, key, letters)
    if not chosen.num_rows:
        return RetryReceipt()
    snapshot = store.log(table).snapshot()
    id_range = snapshot.id_ranges.by_key(key)
    if handling.letters.suspended() is not None or handling.rules.policy == "stop":
        return _retry_rows(snapshot, target, handling, table, id_range, chosen, spill)
    done = project_range(snapshot, table, target, id_range, spill=spill, handling=handling)
    left = _still_open(handling, key, chosen)
    ended = chosen.num_rows - left.num_rows
    if done.how == "replaced":
        return RetryReceipt(applied=ended, refused=left.num_rows)
    return RetryReceipt(superseded=ended) + _retry_rows(
        snapshot, target, handling, table, id_range, left, spill
    )


def _retry_rows(
    snapshot: LogSnapshot,
    target: ProjectionTarget,
    handling: Handling,
    table: TableId,
    id_range: IdRange,
    chosen: pa.Table,
    spill: Spill,
) -> RetryReceipt:
    if not chosen.num_rows:
        return RetryReceipt()
    key = id_range.key
    checkpoint = target.checkpoint(key)
    baseline = baseline_at(snapshot.controls(), id_range, checkpoint, str(table)) if checkpoint else None
    _, readable = typed_keys(chosen["key"].to_pylist(), snapshot.schema, snapshot.schema.key)
    # Where a row was refused as a whole, the target may hold an older one elsewhere.
    moved = target.needs.former_rows and chosen["column"].null_count
    if checkpoint is None or baseline is None or moved or not pc.all(readable).as_py():
        project_range(snapshot, table, target, id_range, rebuild=True, spill=spill, handling=handling)
        left = _still_open(handling, key, chosen).num_rows
        return RetryReceipt(applied=chosen.num_rows - left, refused=left)
    passed = chosen.filter(_passed(chosen, checkpoint.position))
    receipt = RetryReceipt(waiting=chosen.num_rows - passed.num_rows)
    repair = _Repair(snapshot, target, handling, table, id_range, checkpoint, baseline, spill)
    for start in range(0, passed.num_rows, LETTERS_AT_A_TIME):
        receipt += repair.run(passed.slice(start, LETTERS_AT_A_TIME))
    return receipt


def _passed(letters: pa.Table, position: Position) -> pa.Array:
    """Which letters the checkpoint is past."""
    positions = zip(*(letters[name].to_pylist() for name in POSITION), strict=True)
    reached = (position.epoch, position.commit, position.sequence)
    return pa.array([each <= reached for each in positions], pa.bool_())


def _still_open(handling: Handling, id_range: str, letters: pa.Table) -> pa.Table:
    rows = handling.letters.open_rows(id_range)
    return rows.filter(pc.is_in(rows["letter"], letters["letter"].combine_chunks()))


@dataclass(frozen=True, slots=True)
class _Repair:
    """Letters of one range, tried at one checkpoint of it."""

    snapshot: LogSnapshot
    target: ProjectionTarget
    handling: Handling
    table: TableId
    id_range: IdRange
    checkpoint: RangeCheckpoint
    baseline: Baseline
    spill: Spill

    def run(self, letters: pa.Table) -> RetryReceipt:
        """Write the rows of the letters' keys as they are at the checkpoint."""
        key, schema = self.id_range.key, self.snapshot.schema
        attempt = self.handling.attempt(key)
        keys, _ = typed_keys(letters["key"].to_pylist(), schema, schema.key)
        rows = rows_of_keys(
            self.snapshot,
            self.table,
            self.id_range,
            keys,
            as_of=self.checkpoint.position,
            baseline=self.baseline,
            spill=self.spill,
        )
        gone = _nothing(self.target.identity(schema), schema)
        self.target.repair(key, schema, rows, gone, self.checkpoint, refuse=attempt.keep)
        ended = ended_by_rows(self._concerned(letters, attempt), schema, rows, attempt.at, gone=True)
        attempt.close(ended)
        applied, superseded = ended.applied.num_rows, ended.superseded.num_rows
        return RetryReceipt(applied, superseded, letters.num_rows - applied - superseded)

    def _concerned(self, letters: pa.Table, attempt: Attempt) -> pa.Table:
        """The letters as they are now, and whatever else this attempt refused."""
        rows = self.handling.letters.open_rows(self.id_range.key)
        fresh = pc.greater_equal(rows["last_at"], pa.scalar(attempt.at, rows["last_at"].type))
        return rows.filter(pc.or_(fresh, pc.is_in(rows["letter"], letters["letter"].combine_chunks())))


def _nothing(identity: Sequence[str], schema: TableSchema) -> pa.Table:
    """No rows that must go: what was deleted was deleted by its own event."""
    known = {column.name: column.arrow for column in schema.columns}
    return pa.schema([pa.field(name, known.get(name, pa.string())) for name in identity]).empty_table()


def letter_events(store: EventStore, table: TableId, letters: Sequence[DeadLetter]) -> pa.Table:
    """The stored events that letters speak of (`stored_schema`): values included, so shown only
    to whoever asks for them.

    A column that has another type in another chapter of the log is given as text. An event of a
    load stands there once for each load that was made at its position.
    """
    parts = [
        _events_in(store.log(table, chapter).snapshot(), letters)
        for chapter in range(1, store.chapters(table) + 1)
    ]
    parts = [part for part in parts if part.num_rows] or parts[-1:]
    return pa.concat_tables([_textual(part, parts) for part in parts], promote_options="default")


def _events_in(snapshot: LogSnapshot, letters: Sequence[DeadLetter]) -> pa.Table:
    found = [stored_schema(snapshot.schema).empty_table()]
    for key in sorted({letter.id_range for letter in letters} & set(snapshot.range_keys())):
        refusals = [letter.refusal for letter in letters if letter.id_range == key]
        named = json.loads(refusals[0].key)
        names = [name for name in snapshot.schema.names if name in named]
        keys, readable = typed_keys([each.key for each in refusals], snapshot.schema, names)
        wanted = keys.append_column("_readable", readable)
        for name, values in zip(POSITION, _positions(refusals), strict=True):
            wanted = wanted.append_column(
                name, pa.array(values, stored_schema(snapshot.schema).field(name).type)
            )
        same = f"({same_key(names, 'e', 'l')})" if names else "FALSE"
        with engine(Spill()) as connection:
            connection.register("stored", snapshot.events(key))
            connection.register("letters", wanted)
            # A key that could not be read is found by its position, which no other change has.
            rows = connection.sql(
                f"SELECT e.* FROM stored e SEMI JOIN letters l ON {same_key(POSITION, 'e', 'l')} "
                f"AND ({same} OR (NOT l._readable AND l.{SEQUENCE} > 0))"
            ).to_arrow_table()
        found.append(rows.cast(found[0].schema))
    return pa.concat_tables(found)


def _positions(refusals: Sequence[Refusal]) -> tuple[list[int], list[int], list[int]]:
    places = [each.position for each in refusals]
    return [p.epoch for p in places], [p.commit for p in places], [p.sequence for p in places]


def _textual(part: pa.Table, parts: Sequence[pa.Table]) -> pa.Table:
    for index, field in enumerate(part.schema):
        types = {other.schema.field(field.name).type for other in parts if field.name in other.schema.names}
        if len(types) > 1:
            part = part.set_column(index, field.name, part.column(index).cast(pa.string()))
    return part
