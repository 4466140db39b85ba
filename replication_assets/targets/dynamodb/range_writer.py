"""Owns writing items and tombstones of one id range, and counting what that did to the range.

Objects and parts go first, then the items, then what older versions of them leave behind: a
crash in between leaves an item whole, and at most something for `vacuum`. Two ways to write:

* `fill`: 25 items a request and no conditions, for a range of which nothing stands anywhere.
* `put`: one item a request, on the condition that what stands there is older than a bound. A
  repeated, late or concurrent write then changes nothing, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        return self._refusals(prepared, [(rows[each.index], each.code, each.reason) for each in not_taken])

    def put(
        self,
        prepared: Prepared,
        writes: pa.Table,
        bounds: pa.Array | pa.ChunkedArray,
        condition: Condition,
        *,
        since: Position | None = None,
    ) -> tuple[Effect, tuple[Refusal, ...]]:
        """Write each item of `writes` (`bodies.WRITES`) where `condition` holds of its bound.

        `since` is the checkpoint from which the range is brought forward: the effect then tells
        how many rows there are more than there were.
        """
        self._table.upload(prepared.objects)
        self._put_parts(prepared)
        effect = Effect()
        counted = position_text(since) if since is not None else ""
        settle = _Settling(effect, writes, self._conversion.origin, self._table.key_names, counted)
        flat = _flat(bounds)
        self.counts += self._conditional.put(
            [ConditionalRows(_flat(writes["body"]), position_values(flat))],
            condition,
            settle,
            return_old=since is not None or self._may_have_parts,
        )
        reach("dynamodb.batch_put")
        if effect.left_over:
            self.counts += self._unconditional.batch_delete(
                [pa.array(effect.left_over, pa.large_string())], lambda _: None
            )
        return effect, self._refusals(prepared, effect.not_taken)

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

    def _refusals(self, prepared: Prepared, not_taken: Sequence[tuple[int, str, str]]) -> tuple[Refusal, ...]:
        return self._conversion.refusals(
            prepared.rows, [(row, NOT_TAKEN, f"{code}: {reason}") for row, code, reason in not_taken]
        )


class _Settling:
    """Takes the outcome of each write, told in any order. `counted` is the position up to which
    the items of the range were counted."""

    def __init__(
        self, effect: Effect, writes: pa.Table, origin: str, key_names: tuple[str, ...], counted: str
    ) -> None:
        self._effect = effect
        self._rows = writes["row"].to_pylist()
        self._registers = writes["register"]
        self._origin = origin
        self._key_names = key_names
        self._counted = counted

    def __call__(self, settled: Settled) -> None:
        row, old = self._rows[settled.index], settled.old
        if settled.outcome is Outcome.REFUSED:
            # A tombstone has nothing but a key that was taken before.
            if row is not None:
                self._effect.not_taken.append((row, settled.code, settled.reason))
            return
        if old is not None:
            self._effect.uncounted |= self._is_uncounted(old, row)
        if settled.outcome is Outcome.STALE:
            return
        self._effect.rows += row is not None
        if old is None:
            return
        self._effect.rows -= DELETED not in old and old.get(ORIGIN) == {"S": self._origin}
        if PARTS in old and old[POSITION] != {"S": self._registers[settled.index].as_py()}:
            keys = part_keys(old, self._key_names)
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
