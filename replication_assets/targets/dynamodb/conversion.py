"""Owns the way from rows of a table to writes of one id range, and what is refused on it.

`core.items` converts and `oversize` makes fit; here their results become the items and
tombstones that are written. Nothing is written here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.changes import RangeChanges
from replication_assets.core.events import POSITION as POSITION_COLUMNS
from replication_assets.core.items.guards import Guard
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.oversize import MAX_ITEM_BYTES
from replication_assets.core.items.rows import Rows
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.errors import TargetError
from replication_assets.targets.dynamodb.bodies import (
    WRITES,
    Burial,
    newest_per_key,
    registers_before,
    registers_up_to,
    rows_to_write,
    tombstones,
)
from replication_assets.targets.dynamodb.oversize import TOO_LARGE, Fitting, StoredObject

NOT_TAKEN = "refused-by-dynamodb"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Items of some rows (`bodies.WRITES`), what must stand before them, and what was refused.
    `rows` are those that were converted, so that a refusal on the way can name them, `lost` the
    numbers of those that have no item."""

    writes: pa.Table
    rows: pa.Table
    lost: tuple[int, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    objects: tuple[StoredObject, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    condition_values: pa.Array | None = None
    """Of each of `rows`, where writes are on a declared condition (`ConditionValues`)."""


NOTHING = Prepared(WRITES.empty_table(), pa.table({}))


@dataclass(frozen=True, slots=True)
class Conversion:
    """Rows of one id range to items. `expiry` is the table's time-to-live attribute, in which
    tombstones say until when they stay."""

    mapping: ItemMapping
    fitting: Fitting
    expiry: str
    tombstone_seconds: float

    @property
    def origin(self) -> str:
        return self.fitting.origin

    def burial(self, known: Position) -> Burial:
        return Burial(self.origin, known, self.expiry, int(time.time() + self.tombstone_seconds))

    @property
    def guard(self) -> Guard | None:
        """The condition that is declared beside the projection's own."""
        return self.mapping.guard

    def rows(self, rows: pa.Table | pa.RecordBatch, *, guarded: bool = False) -> Prepared:
        """`guarded`: the writes will be on the declared condition, whose values are asked for."""
        if isinstance(rows, pa.RecordBatch):
            rows = pa.Table.from_batches([rows])
        converted = self.mapping.convert(rows)
        fitted = self.fitting.fit(converted.items)
        large = self.refusals(
            rows,
            [
                (row, TOO_LARGE, f"the item has {size:,} bytes, and DynamoDB takes {MAX_ITEM_BYTES:,}")
                for row, size in fitted.refused
            ],
        )
        writes = rows_to_write(fitted.items, self.origin)
        values, refusals = None, converted.refusals + large
        if guarded:
            values, unknown = self._condition_values(rows, writes["row"])
            writes = writes.filter(pc.is_valid(values.take(writes["row"].combine_chunks())))
            refusals += unknown
        without_item = np.ones(rows.num_rows, dtype=bool)
        without_item[writes["row"].to_numpy()] = False
        lost = np.flatnonzero(without_item).tolist()
        if not self.mapping.covers_key:
            writes = newest_per_key(writes)
        return Prepared(writes, rows, tuple(lost), refusals, fitted.objects, fitted.parts, values)

    def _condition_values(
        self, rows: pa.Table, with_item: pa.ChunkedArray
    ) -> tuple[pa.Array, tuple[Refusal, ...]]:
        """Of every row, null where a row with an item has none, which the refusals tell."""
        found = self.mapping.condition_values(rows.take(with_item))
        places = np.full(rows.num_rows, -1, dtype=np.int64)
        places[with_item.to_numpy()] = np.arange(len(with_item))
        return found.values.take(pa.array(places, mask=places < 0)), found.refusals

    def refusals(self, rows: pa.Table, refused: Sequence[tuple[int, str, str]]) -> tuple[Refusal, ...]:
        """Refusals of whole rows: their numbers, each with a reason and what explains it."""
        if not refused:
            return ()
        (batch,) = (
            rows.take(pa.array([row for row, _, _ in refused], pa.int64())).combine_chunks().to_batches()
        )
        seen = Rows(batch)
        identity = self.mapping.schema.key or self.mapping.key_columns
        texts = {column: seen.column_text(column).to_pylist() for column in identity}
        positions = zip(*(batch.column(name).to_pylist() for name in POSITION_COLUMNS), strict=True)
        return tuple(
            Refusal(
                json.dumps({c: texts[c][at] for c in identity}, ensure_ascii=False, separators=(",", ":")),
                Position(*position),
                None,
                reason,
                detail,
            )
            for at, (position, (_, reason, detail)) in enumerate(zip(positions, refused, strict=True))
        )

    def keys_of_lost(self, prepared: Prepared) -> pa.ChunkedArray:
        """Keys of the items of rows that were refused as a whole, of those that have a key."""
        lost = prepared.rows.take(pa.array(prepared.lost, pa.int64()))
        return self.mapping.keys(lost).keys["key"]

    def graves(self, changes: RangeChanges, prepared: Prepared, known: Position, where: str) -> pa.Table:
        """Tombstones for all that the changes took away: deleted rows, and former rows whose item
        had another key. Of a row that is refused now the last item stays, so nothing of it is
        buried."""
        burial = self.burial(known)
        if self.mapping.follows_key or not self.mapping.schema.key:
            keys = self.mapping.keys(changes.deletes).keys
            return tombstones(keys["key"], registers_before(keys), burial)
        if changes.former is None:
            raise TargetError(
                "items are found by columns that are not the table's key, and the former values of "
                "the changed rows were not passed",
                where=where,
                fix="pass former rows, as `needs` asks for, or replace the range",
            )
        keys = self.mapping.keys(self._without_refused(changes.former, prepared)).keys
        return tombstones(keys["key"], registers_up_to(keys), burial)

    def _without_refused(self, former: pa.Table, prepared: Prepared) -> pa.Table:
        if not prepared.lost:
            return former
        key = list(self.mapping.schema.key)
        lost = prepared.rows.select(key).take(pa.array(prepared.lost, pa.int64()))
        refused = {tuple(row.values()) for row in lost.to_pylist()}
        stays = [tuple(row.values()) not in refused for row in former.select(key).to_pylist()]
        return former.filter(pa.array(stays, pa.bool_()))


def together(prepared: Prepared, graves: pa.Table, *, distinct: bool) -> pa.Table:
    """All writes of some changes, `distinct` where items and tombstones cannot share a key."""
    writes = pa.concat_tables([prepared.writes, graves]).cast(WRITES)
    return writes if distinct else newest_per_key(writes)


def newest_register(registers: Iterable[pa.ChunkedArray]) -> str:
    """The greatest of all, or a text before all of them."""
    return max((pc.max(each).as_py() or "" for each in registers), default="")
