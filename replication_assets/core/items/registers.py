"""What a projection writes into items beside the row's own attributes.

`_position` is that of the event that made the item what it is: three decimal numbers of fixed
width, so that texts compare as positions do, in DynamoDB's conditions too. `_origin` is the
source table and id range that the item belongs to. `_deleted` marks a tombstone, which is gone
after `_expires` unless the table expires items by an attribute of its own. `_part` and `_parts`
belong to items that are split.
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring as quoted_json

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import COMMIT_POSITION, EPOCH, SEQUENCE
from replication_assets.core.items.texts import Text
from replication_assets.core.positions import Position

POSITION = "_position"
ORIGIN = "_origin"
DELETED = "_deleted"
PART = "_part"
PARTS = "_parts"
EXPIRES = "_expires"
REGISTERS = frozenset({POSITION, ORIGIN, DELETED, PART, PARTS, EXPIRES})

_WIDTHS = {EPOCH: 10, COMMIT_POSITION: 20, SEQUENCE: 20}
_POSITION = re.compile(r"(\d{10})-(\d{20})-(\d{20})", re.ASCII)
POSITION_BYTES = 52


def position_text(position: Position) -> str:
    """The value of `_position`."""
    return f"{position.epoch:010}-{position.commit:020}-{position.sequence:020}"


def parse_position(text: str) -> Position:
    """The inverse of `position_text`. Raises ValueError for any other text."""
    match = _POSITION.fullmatch(text)
    if match is None:
        raise ValueError("not the position of an item")
    return Position(*(int(part) for part in match.groups()))


def position_texts(rows: pa.Table | pa.RecordBatch) -> pa.Array:
    """`position_text` of the three position columns, for every row."""
    parts = [pc.utf8_lpad(_flat(rows.column(name)).cast(Text), width, "0") for name, width in _WIDTHS.items()]
    return pc.binary_join_element_wise(*parts, pa.scalar("-", Text))


def with_registers(
    rows: pa.Table, column: str, origin: str, *, deleted: bool = False, positions: pa.Array | None = None
) -> pa.Array:
    """The JSON objects of `column` (`item` for whole items, `key` for tombstones) with the
    registers added, one text per row. `positions`: their `position_texts`, where they are known."""
    mark = f',"{DELETED}":{{"BOOL":true}}' if deleted else ""
    tail = f'"}},"{ORIGIN}":{{"S":{quoted_json(origin)}}}{mark}}}'
    # Everything but the closing brace.
    opened = pc.binary_slice(_flat(rows.column(column)).cast(pa.large_binary()), 0, -1).cast(Text)
    return pc.binary_join_element_wise(
        opened,
        pa.scalar(f',"{POSITION}":{{"S":"', Text),
        position_texts(rows) if positions is None else positions,
        pa.scalar(tail, Text),
        pa.scalar("", Text),
    )


def register_bytes(origin: str) -> int:
    """What the registers add to the size of an item, a tombstone's mark included."""
    names = len(POSITION) + len(ORIGIN) + len(DELETED)
    return names + POSITION_BYTES + len(origin.encode()) + 1


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
