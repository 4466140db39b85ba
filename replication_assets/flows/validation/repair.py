"""Repair: what a validation found wrong, made right from the event store.

Exactly the failing rows of a projection are written again, as they were at the checkpoint of
their range, which does not move. A range is replaced whole where that is not possible: rows
without a key, a range that somebody edited behind its checkpoint, or too many rows. A range of
the event store that differs from its source is loaded again: the log itself is never edited.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.differences import MISMATCHES
from replication_assets.core.fold import row_schema
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill, engine, same_key
from replication_assets.errors import CommitConflict, NeedsReload, NotLoaded
from replication_assets.failpoints import reach
from replication_assets.flows.key_rows import rows_of_keys
from replication_assets.flows.load import load_range
from replication_assets.flows.prepare import ReplicatedTable
from replication_assets.flows.project import project_range
from replication_assets.flows.refusals import Handling
from replication_assets.flows.validation.findings import Validation
from replication_assets.flows.validation.projection import ProjectionCheck, Reached, validate_projection
from replication_assets.flows.validation.source import CatchUp, validate_source
from replication_assets.ports import ChangeSource, EventStore, ProjectionTarget, refuse_loudly

MOST_ROWS = 200_000
"""Failing rows of a range that are mended one by one, in memory; beyond, it is replaced."""

_ROW = "~row"

TRIES = 5
"""How often a range that moves on meanwhile is read anew."""


@dataclass(frozen=True, slots=True)
class RangeRepair:
    """What was done to one range: single `rows`, the range `replaced` or `loaded`, or `left` as
    it is; `why` of all but the first."""

    id_range: str
    how: Literal["rows", "replaced", "loaded", "left"]
    written: int
    removed: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Repair:
    """What was found, what was done, and what was found then."""

    before: Validation
    ranges: tuple[RangeRepair, ...]
    after: Validation

    @property
    def done(self) -> bool:
        return self.after.passed


@dataclass(slots=True)
class _Failing:
    """Identities of failing rows of one range; None once there are too many."""

    identities: list[pa.RecordBatch] | None = field(default_factory=list)
    rows: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        if self.rows > MOST_ROWS:
            self.identities = None
        elif self.identities is not None:
            self.identities.append(batch)


def repair_projection(
    store: EventStore,
    target: ProjectionTarget,
    table: TableId,
    *,
    projection: str,
    id_ranges: Collection[str] | None = None,
    handling: Handling | None = None,
    spill: Spill = Spill(),
) -> Repair:
    """Validate, repair what is wrong, and validate that again. Safe beside projecting runs.

    `handling` says what becomes of rows that the target refuses; without it the first one ends
    the repair.

    Raises:
        CommitConflict: a range kept moving on.
        TableSuspended: a range has to be replaced, and its table is suspended.
    """
    letters = handling.letters if handling is not None else None

    def validated(ranges: Collection[str] | None) -> Validation:
        return validate_projection(
            store, target, table, projection=projection, id_ranges=ranges, letters=letters, spill=spill
        )

    before = validated(id_ranges)
    wrong = [each.id_range for each in before.wrong]
    if not wrong:
        return Repair(before, (), before)
    check = ProjectionCheck(store, target, table, projection, letters, spill)
    repairs = [_repair_range(check, handling, key) for key in wrong if key]
    if "" in wrong:
        repairs.append(_remove_strays(check, handling))
    return Repair(before, tuple(repairs), validated(None if "" in wrong else wrong))


def repair_event_store(
    source: ChangeSource,
    store: EventStore,
    table: ReplicatedTable,
    *,
    id_ranges: Collection[str] | None = None,
    wait_seconds: float = 60,
    catch_up: CatchUp | None = None,
    spill: Spill = Spill(),
) -> Repair:
    """Validate against the source, load the ranges that are wrong again, validate those again."""

    def validated(ranges: Collection[str] | None) -> Validation:
        return validate_source(
            source,
            store,
            table,
            id_ranges=ranges,
            wait_seconds=wait_seconds,
            catch_up=catch_up,
            spill=spill,
        )

    before = validated(id_ranges)
    wrong = [each.id_range for each in before.wrong]
    if not wrong:
        return Repair(before, (), before)
    last = max(each.id_range for each in before.ranges)
    repairs = []
    for key in wrong:
        id_range = table.id_ranges.by_key(key)
        whole = id_ranges is None and key == last
        receipt = load_range(source, store, table, id_range.open_above() if whole else id_range)
        why = "the event store is never edited: a new load supersedes what was wrong"
        repairs.append(RangeRepair(key, "loaded", receipt.rows, 0, why))
    return Repair(before, tuple(repairs), validated(wrong))


def _repair_range(check: ProjectionCheck, handling: Handling | None, key: str) -> RangeRepair:
    for left in reversed(range(TRIES)):
        try:
            return _try_range(check, handling, key)
        except CommitConflict:
            if not left:
                raise
            check = ProjectionCheck(
                check.store, check.target, check.table, check.name, check.letters, check.spill
            )
    raise AssertionError("unreachable")


def _try_range(check: ProjectionCheck, handling: Handling | None, key: str) -> RangeRepair:
    reached: dict[str, Reached] = {}
    failing = _failing(check, [key], reached)[key]
    why = _why_whole(check, key, reached, failing)
    if why:
        return _replace(check, handling, key, why)
    identities = _distinct(failing.identities or [], check)
    if not identities.num_rows:
        return RangeRepair(key, "rows", 0, 0)
    at, schema = reached[key], check.snapshot.schema
    rows = _rows(check, at, identities)
    named = [check.target.identities(schema, batch) for batch in rows.to_batches()]
    gone = _without(identities, named, check)
    refuse = handling.attempt(key) if handling is not None else refuse_loudly
    reach("repair.compared")
    check.target.repair(key, schema, rows, gone, at.checkpoint, refuse=refuse)
    reach("repair.written")
    return RangeRepair(key, "rows", rows.num_rows, gone.num_rows)


def _why_whole(check: ProjectionCheck, key: str, reached: dict[str, Reached], failing: _Failing) -> str:
    """Why the range has to be replaced; empty if its rows can be mended."""
    if key not in reached:
        return "it has no usable checkpoint"
    if not check.identity:
        return "its rows have no key"
    if check.target.checkpoint(key) is None:
        return "it was changed behind its checkpoint, which says nothing of its rows any more"
    if failing.identities is None:
        return f"more than {MOST_ROWS:,} of its rows are wrong"
    return ""


def _failing(check: ProjectionCheck, keys: Sequence[str], reached: dict[str, Reached]) -> dict[str, _Failing]:
    """Failing rows of some ranges; without any, rows that no range wrote, under the empty key."""
    found = {key: _Failing() for key in (*keys, "")}
    mismatch = pa.array(MISMATCHES, pa.string())
    for each in check.find([list(keys)], reached, with_strays=not keys):
        wrong = pc.is_in(each.findings["kind"], mismatch)
        for key in pc.unique(each.findings["id_range"]).to_pylist():
            own = pc.and_(wrong, pc.equal(each.findings["id_range"], key))
            found.setdefault(key, _Failing()).add(each.identities.filter(own))
    return found


def _replace(check: ProjectionCheck, handling: Handling | None, key: str, why: str) -> RangeRepair:
    snapshot = check.store.log(check.table).snapshot()
    id_range = snapshot.id_ranges.by_key(key)
    try:
        receipt = project_range(
            snapshot,
            check.table,
            check.target,
            id_range,
            rebuild=True,
            spill=check.spill,
            handling=handling,
        )
    except (NotLoaded, NeedsReload) as error:
        return RangeRepair(key, "left", 0, 0, f"{error.what}. Fix: {error.fix}")
    return RangeRepair(key, "replaced", receipt.rows, 0, why)


def _remove_strays(check: ProjectionCheck, handling: Handling | None) -> RangeRepair:
    """Rows that no range wrote are removed by a target to which their identity is their place;
    elsewhere the same identity may well be that of a row that has to stay."""
    schema = check.snapshot.schema
    if not check.identity or check.identity == schema.key:
        why = "rows that no id range of ours wrote. Fix: delete them, or reset the projection"
        return RangeRepair("", "left", 0, 0, why)
    reached: dict[str, Reached] = {}
    strays = _distinct(_failing(check, [], reached)[""].identities or [], check)
    view = check.target.view(schema)
    nothing = pa.Table.from_batches([], row_schema(schema))
    for key in check.snapshot.range_keys():
        checkpoint = view.checkpoint(key) if check.target.checkpoint(key) is not None else None
        if checkpoint is not None and strays.num_rows:
            refuse = handling.attempt(key) if handling is not None else refuse_loudly
            check.target.repair(key, schema, nothing, strays, checkpoint, refuse=refuse)
            return RangeRepair("", "rows", 0, strays.num_rows)
    return RangeRepair("", "left", 0, 0, "no range of the table has a checkpoint. Fix: project it first")


# --- identities --------------------------------------------------------------------------


def _identity_schema(check: ProjectionCheck) -> pa.Schema:
    return pa.schema([check.columns.field(name) for name in check.identity])


def _distinct(batches: Sequence[pa.RecordBatch], check: ProjectionCheck) -> pa.Table:
    schema = _identity_schema(check)
    table = pa.Table.from_batches([batch.cast(schema) for batch in batches], schema)
    return table.group_by(list(check.identity)).aggregate([]).select(list(check.identity)).cast(schema)


def _without(identities: pa.Table, named: Sequence[pa.RecordBatch], check: ProjectionCheck) -> pa.Table:
    """Identities that none of the rows has."""
    return _met(identities, _distinct(named, check), identities, check, "ANTI")


def _met(named: pa.Table, others: pa.Table, rows: pa.Table, check: ProjectionCheck, how: str) -> pa.Table:
    """Those `rows` whose identity, in `named`, is (SEMI) or is not (ANTI) among `others`."""
    with engine(check.spill) as connection:
        connection.register("l", named.append_column(_ROW, pa.array(np.arange(named.num_rows))))
        connection.register("r", others)
        same = same_key(check.identity, "l", "r")
        met = connection.sql(f'SELECT l."{_ROW}" FROM l {how} JOIN r ON {same}').to_arrow_table()
    return rows.take(met[_ROW])


def _rows(check: ProjectionCheck, at: Reached, identities: pa.Table) -> pa.Table:
    """Folded rows of these identities, as of the range's checkpoint."""
    schema = check.snapshot.schema
    if check.identity == schema.key:
        return rows_of_keys(
            check.snapshot,
            check.table,
            at.id_range,
            identities,
            as_of=at.as_of,
            baseline=at.baseline,
            spill=check.spill,
        )
    found = [row_schema(schema).empty_table()]
    for batch in check.expected(at):
        named = pa.Table.from_batches([check.target.identities(schema, batch)])
        found.append(_met(named, identities, pa.Table.from_batches([batch]), check, "SEMI"))
    return pa.concat_tables(found)
