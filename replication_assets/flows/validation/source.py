"""Validate the event store against the source: digests of all ranges, rows of those that differ.

The source is read at one position and the fold is taken as of the same one, once capture has
reached it: changes in flight are waited for, and what has not arrived in time is late, never a
mismatch. Ranges whose digests differ are read again, each at a position of its own, and compared
row by row; what differs only for a moment is seen to be mended then.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from replication_assets.core.baseline import baseline_of
from replication_assets.core.differences import Differences, in_range
from replication_assets.core.digests import NOTHING, Digest
from replication_assets.core.events import OVERFLOW
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import Spill
from replication_assets.core.table_filters import RowFilter
from replication_assets.errors import NeedsReload, NotLoaded
from replication_assets.flows.prepare import ReplicatedTable, current_epoch
from replication_assets.flows.read import fold_range, ranges_of
from replication_assets.flows.validation.filtered_digests import filtered_digests
from replication_assets.flows.validation.findings import RangeValidation, RowFindings, Validation
from replication_assets.flows.validation.fold_digests import FoldDigests
from replication_assets.flows.validation.row_comparison import groups, list_differences
from replication_assets.ports import ChangeSource, EventStore, LoadSlice, LogSnapshot, RangeDigests

CatchUp = Callable[[Position], None]
"""Called with a position, returns when capture has reached it, or gives up."""


@dataclass(slots=True)
class _Check:
    source: ChangeSource
    store: EventStore
    table: ReplicatedTable
    wait_seconds: float
    catch_up: CatchUp | None
    spill: Spill
    states: dict[str, RangeValidation] = field(default_factory=dict)

    def wait(self, position: Position) -> str:
        """Why capture is late, or nothing once it has reached the position."""
        if not self.table.captured:
            return ""
        if self.catch_up is not None:
            self.catch_up(position)
        deadline = time.monotonic() + (self.wait_seconds if self.catch_up is None else 0)
        ledger, pause = self.store.ledger(self.source.name), 0.05
        while True:
            mark = ledger.last()
            # Rows read at a position hold what committed before it, so one short of it is enough.
            if mark is not None and (mark.epoch, mark.commit + 1) >= (position.epoch, position.commit):
                return ""
            if time.monotonic() >= deadline:
                reached = "nothing" if mark is None else Position(mark.epoch, mark.commit)
                return f"the source was read at {position}, capture has reached {reached}"
            time.sleep(pause)
            pause = min(1.0, pause * 2)

    def put(self, id_range: str, state: RangeValidation) -> None:
        self.states[id_range] = state


def validate_source(
    source: ChangeSource,
    store: EventStore,
    table: ReplicatedTable,
    *,
    id_ranges: Collection[str] | None = None,
    wait_seconds: float = 60,
    catch_up: CatchUp | None = None,
    spill: Spill = Spill(),
) -> Validation:
    """Hold the fold of a table (or of some of its ranges) against the source.

    Waits at most `wait_seconds`, per read of the source, for a capture that runs elsewhere;
    or lets `catch_up` capture.

    Raises:
        SourceNotReady, SlotLost: the table is not captured (any more).
        LoadBlocked: transactions that do not end hold up the snapshot.
    """
    started = time.monotonic()
    check = _Check(source, store, table, wait_seconds, catch_up, spill)
    ranges = _ranges(check, id_ranges)
    epoch = current_epoch(source, store)
    if table.declared.where:
        taken = filtered_digests(source, table, ranges, spill)
    else:
        taken = source.digests(table.id, table.schema, table.id_ranges.column, ranges)
    position = Position(epoch, taken.commit)
    late = check.wait(position)
    findings, listed = RowFindings(), None
    if late:
        check.states = {
            each.key: RangeValidation(each.key, "late", taken.digests[each.key].rows, 0, reason=late)
            for each in ranges
        }
    else:
        differing = _compare_digests(check, ranges, taken, position)
        if differing:
            findings, listed = _compare_rows(check, differing, taken)
    return Validation(
        table.id,
        "source",
        tuple(check.states[each.key] for each in ranges),
        None if late else position,
        time.monotonic() - started,
        tuple(findings.shown),
        findings.total,
        listed,
        _notes(table.schema, taken),
    )


def _ranges(check: _Check, wanted: Collection[str] | None) -> list[IdRange]:
    """Ranges that keys reach into at the source or in the store; the last is open above."""
    ids = check.table.id_ranges
    high = check.source.bounds(check.table.id, ids.column).high if ids.column is not None else None
    stored = ranges_of(check.store.log(check.table.id).snapshot())
    last = max([ids.known(high)[-1].index, *(each.index for each in stored)])
    known = [ids.at(index) for index in range(last + 1)]
    known[-1] = known[-1].open_above()
    return known if wanted is None else [each for each in known if each.key in wanted]


def _compare_digests(
    check: _Check, ranges: Sequence[IdRange], taken: RangeDigests, position: Position
) -> list[IdRange]:
    """Settle the ranges whose digests are equal; returns the others."""
    snapshot = check.store.log(check.table.id).snapshot()
    columns = _columns(check.table.schema, taken.compared)
    held = _of_columns(taken.compared)
    digests = FoldDigests(
        check.store, snapshot, check.table.id, "source", columns, as_held=held, spill=check.spill
    )
    differing = []
    for each in ranges:
        expected, actual = taken.digests[each.key], NOTHING
        try:
            for member in _members(snapshot, each, expected):
                baseline = baseline_of(snapshot.controls(), member, where=str(check.table.id), as_of=position)
                actual += digests.digest(member, baseline, position)
        except (NotLoaded, NeedsReload) as error:
            check.put(each.key, _unknown(each, expected, error))
            continue
        state = RangeValidation(each.key, "equal", expected.rows, actual.rows)
        if expected != actual:
            differing.append(each)
        check.put(each.key, state)
    digests.keep()
    return differing


def _members(snapshot: LogSnapshot, id_range: IdRange, expected: Digest) -> list[IdRange]:
    """The stored ranges that a range of the source stands for; one that has no rows anywhere
    need not be loaded."""
    stored = ranges_of(snapshot)
    if id_range.hi is None:
        members = [each for each in stored if each.index >= id_range.index]
    else:
        members = [each for each in stored if each.index == id_range.index]
    if not members and expected != NOTHING:
        members = [id_range]
    return members


def _unknown(id_range: IdRange, expected: Digest, error: NotLoaded | NeedsReload) -> RangeValidation:
    reason = f"{error.what}. Fix: {error.fix}"
    return RangeValidation(id_range.key, "unknown", expected.rows, 0, reason=reason)


def _compare_rows(
    check: _Check, differing: Sequence[IdRange], taken: RangeDigests
) -> tuple[RowFindings, str | None]:
    by_key = {each.key: each for each in differing}
    schema = check.table.schema
    names = [name for name in schema.names if name in taken.compared]
    columns = _columns(schema, names)
    identity = schema.key if set(schema.key) <= set(names) else ()

    def fill(differences: Differences, group: Sequence[str]) -> None:
        for key in group:
            _fill(check, differences, by_key[key], names, taken)

    findings, listed = list_differences(
        check.store.finding_lists(check.table.id),
        "source",
        columns,
        identity,
        list(groups([each.key for each in differing], dict(taken.digests))),
        fill,
        check.spill,
    )
    for key in by_key:
        _settle(check, key, findings.counts.get(key, {}))
    return findings, listed


def _settle(check: _Check, key: str, kinds: dict[str, int]) -> None:
    was = check.states[key]
    if was.state != "equal":
        return
    late = bool(kinds) and not check.table.captured
    state = RangeValidation(
        key,
        "late" if late else "differs" if kinds else "mended",
        was.expected,
        was.actual,
        {} if late else kinds,
        "it has no change stream: what changed since its load comes with the next one" if late else "",
    )
    check.put(key, state)


def _fill(
    check: _Check, differences: Differences, id_range: IdRange, names: Sequence[str], taken: RangeDigests
) -> None:
    """Both sides of one range, as of a position of its own."""
    table, was = check.table, check.states[id_range.key]
    now = {column.name: column for column in taken.columns}
    schema = TableSchema(tuple(now[name] for name in names))
    where = tuple(table.declared.where)
    request = LoadSlice(table.id, schema, table.id_ranges.column, id_range, table.event_dates, None, where)
    row_filter = RowFilter(where, str(table.id))
    with check.source.load(request) as stream:
        position = Position(current_epoch(check.source, check.store), stream.commit)
        differences.expect(in_range(row_filter.kept(batch), id_range.key) for batch in stream)
    late = check.wait(position)
    if late:
        differences.forget(id_range.key)
        check.put(id_range.key, RangeValidation(id_range.key, "late", was.expected, was.actual, reason=late))
        return
    snapshot = check.store.log(table.id).snapshot()
    held = _of_columns(names)
    try:
        for member in _members(snapshot, id_range, NOTHING):
            rows = fold_range(snapshot, table.id, member, as_of=position, spill=check.spill)
            differences.add(in_range(batch, id_range.key) for batch in held(rows))
    except (NotLoaded, NeedsReload) as error:
        differences.forget(id_range.key)
        check.put(id_range.key, _unknown(id_range, Digest(was.expected, 0), error))


def _columns(schema: TableSchema, names: Sequence[str]) -> pa.Schema:
    columns = schema.arrow_schema()
    return pa.schema([*(columns.field(name) for name in names), pa.field(OVERFLOW, pa.string())])


def _of_columns(
    names: Sequence[str],
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Folded rows with odd values of these columns alone: the log also keeps those of columns
    that the source dropped."""
    kept = set(names)

    def held(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            place = batch.schema.get_field_index(OVERFLOW)
            odd = batch.column(place)
            if odd.null_count < len(odd):
                texts = pa.array([_kept_members(text, kept) for text in odd.to_pylist()], pa.string())
                batch = batch.set_column(place, batch.schema.field(place), texts)
            yield batch

    return held


def _kept_members(text: str | None, names: set[str]) -> str | None:
    if text is None:
        return None
    members = json.loads(text)
    if members.keys() <= names:
        return text
    left = {name: value for name, value in members.items() if name in names}
    return json.dumps(left, ensure_ascii=False, separators=(",", ":")) if left else None


def _notes(schema: TableSchema, taken: RangeDigests) -> tuple[str, ...]:
    left_out = [name for name in schema.names if name not in taken.compared]
    new = [column.name for column in taken.columns if column.name not in schema.names]
    notes = []
    if left_out:
        notes.append(f"not compared, since the source dropped or retyped them: {', '.join(left_out)}")
    if new:
        notes.append(f"not compared, since capture has not met them yet: {', '.join(new)}")
    return tuple(notes)
