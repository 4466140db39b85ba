"""Validate a projection against the event store: digests of all ranges, rows of those that differ.

Each range is held against the fold as of its own checkpoint, in the form in which the target
holds rows (`ProjectionTarget.image`). So a projection that lags is not wrong, rows of events
after the checkpoint are in flight, and rows that the target refused are accounted for by their
dead letters. How old a checkpoint is, is another question (see the watch).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.baseline import Baseline
from replication_assets.core.differences import MISMATCHES, Differences, Found, in_range
from replication_assets.core.digests import NOTHING, Digest, digests_by
from replication_assets.core.events import ID_RANGE, POSITION
from replication_assets.core.fold import row_schema
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.letters import typed_keys
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill, engine
from replication_assets.errors import NeedsReload, NotLoaded
from replication_assets.flows.compare import baseline_at
from replication_assets.flows.key_rows import versions_of_keys
from replication_assets.flows.read import fold_range, ranges_of
from replication_assets.flows.validation.findings import RangeValidation, RowFindings, Validation
from replication_assets.flows.validation.fold_digests import FoldDigests
from replication_assets.flows.validation.row_comparison import find_differences, groups, list_differences
from replication_assets.ports import (
    DELETED,
    DeadLetters,
    EventStore,
    LogSnapshot,
    ProjectionTarget,
    RangeCheckpoint,
    TargetView,
)


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a range of the target is, and what its rows start from."""

    id_range: IdRange
    checkpoint: RangeCheckpoint
    baseline: Baseline

    @property
    def as_of(self) -> Position:
        return self.checkpoint.position.end_of_commit()


@dataclass(slots=True)
class ProjectionCheck:
    """One table of a projection, with what is needed to look at it range by range."""

    store: EventStore
    target: ProjectionTarget
    table: TableId
    name: str
    letters: DeadLetters | None = None
    spill: Spill = Spill()
    snapshot: LogSnapshot = field(init=False)
    columns: pa.Schema = field(init=False)
    """Columns of the image that are compared: all but the position, which of equal rows without
    key is anyone's."""
    identity: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.snapshot = self.store.log(self.table).snapshot()
        schema = self.snapshot.schema
        empty = pa.RecordBatch.from_pylist([], schema=row_schema(schema))
        (image,) = self.target.image(schema, [empty])
        self.columns = pa.schema([each for each in image.schema if each.name not in POSITION])
        self.identity = self.target.identity(schema)

    @property
    def documents(self) -> list[str]:
        """Columns that may hold JSON objects: of a target that has no columns of its own."""
        if self.identity == self.snapshot.schema.key:
            return []
        return [f.name for f in self.columns if pa.types.is_string(f.type) and f.name not in self.identity]

    def image(self, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return self.target.image(self.snapshot.schema, rows)

    def reached(self, view: TargetView, id_range: IdRange) -> Reached | str:
        """Where the range is; or why that is not known."""
        checkpoint = view.checkpoint(id_range.key)
        if checkpoint is None:
            return "it was never projected. Fix: materialize this id range of the projection"
        baseline = baseline_at(self.snapshot.controls(), id_range, checkpoint, str(self.table))
        if baseline is None:
            return "its rows start from loads that the log does not hold. Fix: rebuild this id range"
        return Reached(id_range, checkpoint, baseline)

    def expected(self, at: Reached) -> Iterator[pa.RecordBatch]:
        """Folded rows of a range as of its checkpoint."""
        return fold_range(
            self.snapshot, self.table, at.id_range, as_of=at.as_of, baseline=at.baseline, spill=self.spill
        )

    def find(
        self, ranges: Sequence[list[str]], reached: dict[str, Reached], *, with_strays: bool
    ) -> Iterator[Found]:
        """What differs in groups of ranges; where each was when it was read goes to `reached`."""
        fill = self.filler(reached, with_strays=with_strays)
        return find_differences(self.columns, self.identity, ranges, fill, self.spill)

    def filler(
        self, reached: dict[str, Reached], *, with_strays: bool
    ) -> Callable[[Differences, Sequence[str]], None]:
        """Fills both sides with rows of some ranges, of one view of the target; `with_strays`,
        with rows of no range as well."""
        view = self.target.view(self.snapshot.schema)
        strays = [] if with_strays else [True]

        def fill(differences: Differences, group: Sequence[str]) -> None:
            for key in group:
                at = self.reached(view, self.snapshot.id_ranges.by_key(key))
                if not isinstance(at, str):
                    reached[key] = at
            differences.reached({key: reached[key].as_of for key in group if key in reached})
            # Rows that no range wrote are read once, with the first group.
            differences.add(self.rows_of(view, set(group), with_strays=not strays))
            strays.append(True)
            for key in group:
                if key not in reached:
                    differences.forget(key)
                    continue
                held = self.image(self.expected(reached[key]))
                differences.expect(in_range(batch, key) for batch in held)
                differences.adopt(key)
                self._refused(differences, reached[key])

        return fill

    def rows_of(self, view: TargetView, keys: set[str], *, with_strays: bool) -> Iterator[pa.RecordBatch]:
        """Rows of ranges; and those of no range that the log knows, with a null one."""
        if not with_strays:
            yield from view.read(keys)
            return
        known = pa.array([each.key for each in ranges_of(self.snapshot)], pa.string())
        for batch in view.read():
            stray = pc.invert(pc.is_in(batch.column(ID_RANGE), known))
            place = batch.schema.get_field_index(ID_RANGE)
            nothing = pa.scalar(None, pa.string())
            named = pc.if_else(stray, nothing, batch.column(ID_RANGE))
            wanted = pc.or_(stray, pc.is_in(batch.column(ID_RANGE), pa.array(sorted(keys), pa.string())))
            yield batch.set_column(place, batch.schema.field(place), named).filter(wanted)

    def _refused(self, differences: Differences, at: Reached) -> None:
        schema = self.snapshot.schema
        if self.letters is None or not self.identity or not schema.key:
            return
        letters = self.letters.open_rows(at.id_range.key)
        if not letters.num_rows:
            return
        keys, readable = typed_keys(letters["key"].to_pylist(), schema, schema.key)
        keys = keys.filter(readable)
        if self.identity != schema.key:
            # What stands in the place of a refused row is an earlier version of it.
            rows = versions_of_keys(self.snapshot, at.id_range, keys, spill=self.spill)
            keys = pa.Table.from_batches(
                [self.target.identities(schema, batch) for batch in rows.to_batches()],
                pa.schema([self.columns.field(name) for name in self.identity]),
            )
        for batch in keys.to_batches():
            differences.refused(batch, at.id_range.key)


def validate_projection(
    store: EventStore,
    target: ProjectionTarget,
    table: TableId,
    *,
    projection: str,
    id_ranges: Collection[str] | None = None,
    letters: DeadLetters | None = None,
    spill: Spill = Spill(),
) -> Validation:
    """Hold a table of a projection (or some of its ranges) against the event store.

    `letters` are the dead letters of the table in this projection.
    """
    started = time.monotonic()
    check = ProjectionCheck(store, target, table, projection, letters, spill)
    wanted = [each for each in ranges_of(check.snapshot) if id_ranges is None or each.key in id_ranges]
    view = target.view(check.snapshot.schema)
    actual = _digests(check, view, None if id_ranges is None else [each.key for each in wanted])
    known = {each.key for each in ranges_of(check.snapshot)}
    strays = sum((digest for key, digest in actual.items() if key not in known), NOTHING)
    states, differing, reached = _compare_digests(check, view, wanted, actual)
    findings, listed = RowFindings(), None
    if differing or strays.rows:
        at: dict[str, Reached] = {}
        findings, listed = list_differences(
            store.finding_lists(table),
            re.sub(r"\W", "_", projection),
            check.columns,
            check.identity,
            list(groups(differing, {key: d for key, d in actual.items() if key})) or [[]],
            check.filler(at, with_strays=id_ranges is None),
            spill,
            check.documents,
        )
        states |= {key: _settled(states[key], findings.counts.get(key, {}), key in at) for key in differing}
        if "" in findings.counts:
            states[""] = _stray(findings.counts[""])
    return Validation(
        table,
        "event store",
        tuple(states.values()),
        reached,
        time.monotonic() - started,
        tuple(findings.shown),
        findings.total,
        listed,
    )


def _digests(check: ProjectionCheck, view: TargetView, keys: list[str] | None) -> dict[str | None, Digest]:
    def there() -> Iterator[pa.RecordBatch]:
        for batch in view.read(keys):
            yield batch.filter(pc.invert(batch.column(DELETED)))

    with engine(check.spill) as connection:
        return digests_by(connection, there(), check.columns, ID_RANGE)


def _compare_digests(
    check: ProjectionCheck, view: TargetView, wanted: Sequence[IdRange], actual: dict[str | None, Digest]
) -> tuple[dict[str, RangeValidation], list[str], Position | None]:
    """States of the ranges, those whose rows must be looked at, and the newest checkpoint."""
    states: dict[str, RangeValidation] = {}
    differing: list[str] = []
    newest: Position | None = None
    image = f"{check.name}/{check.identity}"
    digests = FoldDigests(
        check.store,
        check.snapshot,
        check.table,
        f"projections/{check.name}",
        check.columns,
        as_held=check.image,
        form=image,
        spill=check.spill,
    )
    for each in wanted:
        there = actual.get(each.key, NOTHING)
        at = check.reached(view, each)
        if isinstance(at, str):
            states[each.key] = RangeValidation(each.key, "unknown", 0, there.rows, reason=at)
            continue
        try:
            expected = digests.digest(each, at.baseline, at.as_of)
        except (NotLoaded, NeedsReload) as error:
            reason = f"{error.what}. Fix: {error.fix}"
            states[each.key] = RangeValidation(each.key, "unknown", 0, there.rows, reason=reason)
            continue
        newest = at.checkpoint.position if newest is None else max(newest, at.checkpoint.position)
        states[each.key] = RangeValidation(each.key, "equal", expected.rows, there.rows)
        if expected != there:
            differing.append(each.key)
    digests.keep()
    return states, differing, newest


def _settled(was: RangeValidation, kinds: dict[str, int], compared: bool) -> RangeValidation:
    if not compared:
        reason = "it lost its checkpoint while it was validated"
        return replace(was, state="late", reason=reason)
    if not kinds:
        return replace(was, state="mended")
    wrong = any(kinds.get(kind) for kind in MISMATCHES)
    return replace(was, state="differs" if wrong else "accounted", kinds=kinds)


def _stray(kinds: dict[str, int]) -> RangeValidation:
    reason = "rows that no id range of ours wrote"
    return RangeValidation("", "differs", 0, sum(kinds.values()), kinds, reason)
