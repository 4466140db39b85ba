"""Owns reading what a range holds, in the form of `image`, for those who validate.

The table is read once from end to end, whatever ranges are asked for. Items of other source
tables and other projections are passed over; one that no projection wrote is nobody's, and is
told so unless the table is shared, where it may belong to somebody else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

import pyarrow as pa

from replication_assets.core.items.canonical import canonical
from replication_assets.core.items.registers import DELETED, ORIGIN, PART, parse_position
from replication_assets.core.items.registers import POSITION as REGISTER
from replication_assets.core.items.spec import Items
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.ports import RangeCheckpoint
from replication_assets.ports.target import view_schema
from replication_assets.targets.dynamodb.bodies import id_range_of, origin, register_position
from replication_assets.targets.dynamodb.contents import SEGMENTS
from replication_assets.targets.dynamodb.control import ControlTable
from replication_assets.targets.dynamodb.data_table import DataTable
from replication_assets.targets.dynamodb.image import IMAGE, expired_by

VIEW = view_schema(IMAGE)
_NOWHERE = Position(0, 0)
_BOOKS = frozenset({REGISTER, ORIGIN})


class DynamoDbView:
    """Checkpoints as they were when first asked for, so that whatever is read later is at least
    as new as they are."""

    def __init__(
        self, data: DataTable, control: ControlTable, table: TableId, items: Items, *, shared: bool
    ) -> None:
        self._data = data
        self._ttl = items.ttl.name if items.ttl is not None else None
        self._control = control
        self._table = table
        self._shared = shared

    @cached_property
    def _checkpoints(self) -> dict[str, RangeCheckpoint]:
        return {
            record.id_range: record.checkpoint
            for record in self._control.records(self._table)
            if record.checkpoint is not None
        }

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        return self._checkpoints.get(id_range)

    def read(self, id_ranges: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        reached = self._checkpoints
        if self._data.describe() is None:
            return
        prefix, expired = origin(self._table, ""), expired_by()
        for page in self._data.reader.scan(SEGMENTS):
            rows = [
                row
                for item in page
                if PART not in item
                and not self._expires(item, expired)
                and (row := self._row(item, prefix, id_ranges, reached)) is not None
            ]
            if rows:
                yield pa.record_batch(
                    [
                        pa.array(column, field.type)
                        for column, field in zip(zip(*rows, strict=True), VIEW, strict=True)
                    ],
                    schema=VIEW,
                )

    def _expires(self, item: dict[str, Any], by: int) -> bool:
        if self._ttl is None or self._ttl not in item or DELETED in item:
            return False
        # One that another table's row or another tool wrote may hold anything there.
        seconds = item[self._ttl].get("N", "")
        return seconds.lstrip("-").isdigit() and int(seconds) <= by

    def _row(
        self,
        item: dict[str, Any],
        prefix: str,
        id_ranges: Collection[str] | None,
        reached: dict[str, RangeCheckpoint],
    ) -> tuple[Any, ...] | None:
        key = canonical({name: item[name] for name in self._data.key_names})
        wrote = item.get(ORIGIN, {}).get("S")
        if wrote is None:
            if self._shared or id_ranges is not None:
                return None
            return (key, canonical(item), *_parts(_NOWHERE), None, False)
        id_range = id_range_of(wrote)
        if not wrote.startswith(prefix) or (id_ranges is not None and id_range not in id_ranges):
            return None
        if DELETED in item:
            known = parse_position(item[DELETED]["S"])
            if id_range in reached and known <= reached[id_range].position:
                return None
            return (key, None, *_parts(known), id_range, True)
        content = canonical({name: value for name, value in item.items() if name not in _BOOKS})
        return (key, content, *_parts(register_position(item[REGISTER]["S"])), id_range, False)


def _parts(position: Position) -> tuple[int, int, int]:
    return (position.epoch, position.commit, position.sequence)
