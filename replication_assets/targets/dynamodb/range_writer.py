"""Owns writing items and tombstones of one id range, and counting what that did to the range.

Objects and parts go first, then the items, then what older versions of them leave behind: a
crash in between leaves an item whole, and at most something for `vacuum`. Two ways to write:

* `fill`: 25 items a request and no conditions, for a range of which nothing stands anywhere.
* `put`: one item a request, on the condition that what stands there is older than a bound. A
  repeated, late or concurrent write then changes nothing, in any order. A declaration may ask for
  more (`guarding`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.items.registers import DELETED, ORIGIN, PARTS, POSITION, position_text
from replication_assets.core.items.spec import Split
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.errors import TargetError
from replication_assets.failpoints import reach
from replication_assets.targets.dynamodb.conversion import NOT_TAKEN, Conversion, Prepared
from replication_assets.targets.dynamodb.data_table import DataTable
from replication_assets.targets.dynamodb.guarding import (
    EXPLAINED,
    NOT_MET,
    beside,
    is_refused,
    of_graves,
    with_values,
)
from replication_assets.targets.dynamodb.oversize import part_keys
from replication_assets.targets.dynamodb.wire.conditional_writes import (
    Condition,
    ConditionalRows,
    ConditionalWriter,
    Outcome,
    Settled,
    position_values,
)
from replication_assets.targets.dynamodb.wire.counts import Counts
from replication_assets.targets.dynamodb.wire.writes import Refusal as NotTaken
from replication_assets.targets.dynamodb.wire.writes import TableWriter

# An item without a register is nobody's: the key belongs to the projection.
OLDER = Condition("attribute_not_exists(#p) OR #p < :p", {"#p": POSITION})
NOT_NEWER = Condition("attribute_not_exists(#p) OR #p <= :p", {"#p": POSITION})


@dataclass(slots=True)
class Effect:
    """What some conditional writes did. `rows`: items of the range more than before. `uncounted`
    says not to rely on that: items were found that a run had written which recorded no
    checkpoint, because it was killed, or is beside this one."""

    rows: int = 0
    uncounted: bool = False
    not_taken: list[tuple[int, str, str]] = field(default_factory=list)
    """Rows, each with a reason and what explains it."""
    left_over: list[str] = field(default_factory=list)


class RangeWriter:
    """Writes of one run to one range. `before_request` may raise, which ends them."""

    def __init__(
        self, table: DataTable, conversion: Conversion, before_request: Callable[[], None] | None = None
    ) -> None:
        self._table = table
        self._conversion = conversion
        options: dict[str, Any] = {"pace": table.pace, "before_request": before_request}
        self._conditional = ConditionalWriter(table.wire, table.name, **options)
        self._unconditional = TableWriter(table.wire, table.name, table.key_names, **options)
        self.counts = Counts()

    def fill(self, prepared: Prepared) -> tuple[Refusal, ...]:
        """Write all items, whatever stands there. Returns rows that DynamoDB did not take."""
        self._table.upload(prepared.objects)
        self._put_parts(prepared)
        not_taken: list[NotTaken] = []
        self.counts += self._unconditional.batch_put(prepared.writes["body"].chunks, not_taken.append)
        reach("dynamodb.batch_filled")
        rows = prepared.writes["row"].to_pylist()
        lost = [(rows[each.index], NOT_TAKEN, f"{each.code}: {each.reason}") for each in not_taken]
        return self._conversion.refusals(prepared.rows, lost)

    def put(
        self,
        prepared: Prepared,
        writes: pa.Table,
        bounds: pa.Array | pa.ChunkedArray,
        condition: Condition,
        *,
        since: Position | None = None,
        guarded: bool = False,
    ) -> tuple[Effect, tuple[Refusal, ...]]:
        """Write each item of `writes` (`bodies.WRITES`) where `condition` holds of its bound, and, if
        `guarded`, the declared condition of the item that stands there.

        `since` is the checkpoint from which the range is brought forward: the effect then tells
        how many rows there are more than there were.
        """
        self._table.upload(prepared.objects)
        self._put_parts(prepared)
        effect = Effect()
        counted = position_text(since) if since is not None else ""
        for some in self._kinds(prepared, writes, _flat(bounds), condition, guarded=guarded):
            settle = _Settling(effect, some, self._conversion.origin, self._table.key_names, counted)
            self.counts += self._conditional.put(
                [ConditionalRows(_flat(some.writes["body"]), some.values)],
                some.condition,
                settle,
                return_old=since is not None or self._may_have_parts or some.guarded,
            )
        reach("dynamodb.batch_put")
        if effect.left_over:
            self.counts += self._unconditional.batch_delete(
                [pa.array(effect.left_over, pa.large_string())], lambda _: None
            )
        return effect, self._conversion.refusals(prepared.rows, effect.not_taken)

    def _kinds(
        self, prepared: Prepared, writes: pa.Table, bounds: pa.Array, order: Condition, *, guarded: bool
    ) -> Iterator[_Kind]:
        """The writes by what they are on the condition of."""
        guard, values = self._conversion.guard, position_values(bounds)
        if guard is None:
            yield _Kind(writes, bounds, order, values)
            return
        is_item = pc.is_valid(writes["row"].combine_chunks())
        for wanted, buries in ((pc.invert(is_item), True), (is_item, False)):
            some, at, given = writes.filter(wanted), bounds.filter(wanted), values.filter(wanted)
            if not some.num_rows:
                continue
            if buries:
                yield _Kind(some, at, of_graves(order, self._table.key_names[0]), given)
            elif guarded:
                given = with_values(given, prepared, some["row"])
                yield _Kind(some, at, beside(guard, order), given, guarded=True, or_equal=order is NOT_NEWER)
            else:
                yield _Kind(some, at, order, given)

    def _put_parts(self, prepared: Prepared) -> None:
        """Parts carry the position of their item in their key, so none is ever in another's way."""
        if prepared.parts:
            bodies, positions = (
                pa.array(each, pa.large_string()) for each in zip(*prepared.parts, strict=True)
            )
            rows = ConditionalRows(bodies, position_values(positions))
            self.counts += self._conditional.put([rows], NOT_NEWER, self._require_taken)
            reach("dynamodb.parts_put")

    def _require_taken(self, settled: Settled) -> None:
        if settled.outcome is Outcome.REFUSED:
            raise TargetError(
                f"a part of a split item is refused: {settled.code}: {settled.reason}",
                where=self._table.where,
                fix="declare smaller parts",
            )

    @property
    def _may_have_parts(self) -> bool:
        return isinstance(self._conversion.fitting.items.oversize, Split)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Writes on one condition: with `or_equal` what is as old as the bound may stand there too."""

    writes: pa.Table
    bounds: pa.Array
    condition: Condition
    values: pa.Array
    guarded: bool = False
    or_equal: bool = False

    def is_refused(self, settled: Settled) -> bool:
        """Whether a write that a condition stopped was stopped by the declared one."""
        if not self.guarded:
            return False
        body, bound = self.writes["body"][settled.index].as_py(), self.bounds[settled.index].as_py()
        return is_refused(settled.old, body, bound, or_equal=self.or_equal)


class _Settling:
    """Takes the outcome of each write, told in any order. `counted` is the position up to which
    the items of the range were counted."""

    def __init__(
        self, effect: Effect, kind: _Kind, origin: str, key_names: tuple[str, ...], counted: str
    ) -> None:
        self._effect = effect
        self._kind = kind
        self._rows = kind.writes["row"].to_pylist()
        self._registers = kind.writes["register"]
        self._origin = origin
        self._key_names = key_names
        self._counted = counted

    def __call__(self, settled: Settled) -> None:
        row, old = self._rows[settled.index], settled.old
        if settled.outcome is Outcome.REFUSED:
            # A tombstone has nothing but a key that was taken before.
            if row is not None:
                self._effect.not_taken.append((row, NOT_TAKEN, f"{settled.code}: {settled.reason}"))
            return
        if old is not None:
            self._effect.uncounted |= self._is_uncounted(old, row)
        if settled.outcome is Outcome.STALE:
            if row is not None and self._kind.is_refused(settled):
                self._effect.not_taken.append((row, NOT_MET, EXPLAINED))
                self._leave_parts_of(orjson.loads(self._kind.writes["body"][settled.index].as_py()))
            return
        self._effect.rows += row is not None
        if old is None:
            return
        self._effect.rows -= DELETED not in old and old.get(ORIGIN) == {"S": self._origin}
        if PARTS in old and old[POSITION] != {"S": self._registers[settled.index].as_py()}:
            self._leave_parts_of(old)

    def _leave_parts_of(self, item: dict[str, Any]) -> None:
        keys = part_keys(item, self._key_names)
        self._effect.left_over += [orjson.dumps(key).decode() for key in keys]

    def _is_uncounted(self, old: dict[str, Any], row: int | None) -> bool:
        if old.get(ORIGIN) != {"S": self._origin}:
            # A row that another range took over is none of this range any more, whoever wrote
            # first: how many rows this range lost, the items no longer tell.
            return row is None
        known = old.get(DELETED) or old.get(POSITION) or {"S": ""}
        return bool(known["S"] > self._counted)


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def at_least(registers: pa.ChunkedArray, bound: str) -> pa.ChunkedArray:
    """Each register, or `bound` where that is greater."""
    return pc.if_else(pc.less(registers, bound), pa.scalar(bound, pa.large_string()), registers)
