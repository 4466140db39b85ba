"""Owns filling a range: writing all of its rows, and removing what should not be there.

`blank` is for a range of which the table holds nothing: nothing can be older or newer, so items
are sent 25 at a time. `over` is for all others, after a new load, for a rebuild, where a fill was
broken off, or where a condition is declared: each row is written over whatever is as old as the
fill, and what stands there and has no row any more is buried. Of a row that is refused the last
item stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.positions import Position
from replication_assets.core.sql import Spill, engine
from replication_assets.ports import Refuse
from replication_assets.targets.dynamodb.bodies import (
    GONE,
    gone_before,
    gone_up_to,
    register_position,
    tombstones,
)
from replication_assets.targets.dynamodb.canaries import survivors
from replication_assets.targets.dynamodb.contents import Standing
from replication_assets.targets.dynamodb.control import Canary
from replication_assets.targets.dynamodb.conversion import NOTHING, Conversion, newest_register
from replication_assets.targets.dynamodb.data_table import DataTable
from replication_assets.targets.dynamodb.range_writer import NOT_NEWER, RangeWriter, at_least

_PIECE_BYTES = 16 << 20


class Fill:
    """One fill of one range, with the rows as of `position`."""

    def __init__(
        self,
        table: DataTable,
        writer: RangeWriter,
        conversion: Conversion,
        position: Position,
        refuse: Refuse,
    ) -> None:
        self._table = table
        self._writer = writer
        self._conversion = conversion
        self._position = position
        self._refuse = refuse
        self._alone = conversion.mapping.follows_key and conversion.mapping.covers_key
        """The key of an item belongs to one row of the source, and to this range, for ever."""
        self._canaries: tuple[Canary, ...] = ()
        condition = conversion.mapping.items.condition
        self.guarded = condition is not None and condition.on_load
        """Rows are written on a declared condition, so one by one."""

    def blank(self, batches: Iterable[pa.RecordBatch]) -> tuple[int, tuple[Canary, ...]]:
        """How many rows were written, and which items tell that they are there."""
        count = 0
        for batch in _small(batches):
            prepared = self._conversion.rows(batch)
            self._refuse(prepared.refusals)
            not_taken = self._writer.fill(prepared)
            self._refuse(not_taken)
            count += prepared.writes.num_rows - len(not_taken)
            self._watch(prepared.writes)
        return count, self._canaries

    def over(self, batches: Iterable[pa.RecordBatch], spill: Spill) -> tuple[int, tuple[Canary, ...]]:
        """As `blank`."""
        covered = gone_up_to(self._position)
        newest = covered
        with engine(spill) as connection:
            standing = Standing(connection)
            standing.look(self._table, self._conversion.origin)
            for batch in _small(batches):
                prepared = self._conversion.rows(batch, guarded=self.guarded)
                self._refuse(prepared.refusals)
                standing.refused(self._conversion.keys_of_lost(prepared))
                writes = prepared.writes
                bounds = at_least(writes["register"], covered) if self._alone else writes["register"]
                effect, not_taken = self._writer.put(
                    prepared, writes, bounds, NOT_NEWER, guarded=self.guarded
                )
                self._refuse(not_taken)
                refused = pa.array([row for row, _, _ in effect.not_taken], pa.int64())
                mask = pc.is_in(writes["row"], value_set=refused)
                standing.refused(writes.filter(mask)["key"])
                standing.wrote(writes.filter(pc.invert(mask))["key"])
                newest = max(newest, newest_register([writes["register"]]))
                self._watch(writes)
            for extras in standing.not_written(newest):
                self._bury(extras, covered)
            return standing.rows, self._canaries

    def _watch(self, writes: pa.Table) -> None:
        self._canaries = survivors(self._canaries, writes, self._conversion.expiry)

    def _bury(self, extras: pa.Table, covered: str) -> None:
        """Items that are gone as of the fill. Where the key of an item belongs to one row of the
        source, nothing up to the position of the fill may come back. Otherwise another row may
        have taken the key meanwhile, so only what was seen is buried.

        Some items can be newer than the fill and not in it: a load of single dates is ahead of
        it, and no longer found them. Their events, should any come, win."""
        seen = extras["register"].combine_chunks()
        ahead = pc.greater(seen, covered)
        if self._conversion.mapping.follows_key:
            registers = pa.repeat(pa.scalar(covered, pa.large_string()), len(seen))
        else:
            registers = pc.binary_join_element_wise(
                seen, pa.scalar(GONE, seen.type), pa.scalar("", seen.type)
            )
        if pc.any(ahead).as_py():
            before = [gone_before(register_position(text)) for text in seen.filter(ahead).to_pylist()]
            registers = pc.replace_with_mask(registers, ahead, pa.array(before, pa.large_string()))
        bounds = pc.if_else(ahead, seen, registers)
        graves = tombstones(extras["key"], registers, self._conversion.burial(self._position))
        self._writer.put(NOTHING, graves, bounds, NOT_NEWER)


def _small(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pieces whose items, as text and several times over, fit in memory whatever a row's size."""
    for batch in batches:
        pieces = max(1, -(-batch.nbytes // _PIECE_BYTES))
        rows = max(1, -(-batch.num_rows // pieces))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)
