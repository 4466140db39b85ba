"""Owns the text of what is written: items with their registers, and tombstones.

Every item says in `_position` which event it stands for, and every write is on the condition
that this is older. A tombstone stands for rows that are gone; its register is the last position
at which such a row can have been, and `GONE` after it, so that it is newer than any of those
rows and older than whatever takes their place, in this id range or another:

    0000000001-...0050-...0002     the row of this event
    0000000001-...0050-...0002+    whatever was here up to this event is gone
    0000000001-...0050-...0003     the row of the next one

`_deleted` of a tombstone is the position by which it was known, for those who ask what the
table held at a checkpoint, and `expires` when DynamoDB may forget it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import COMMIT_POSITION, EPOCH, SEQUENCE
from replication_assets.core.items.registers import (
    DELETED,
    ORIGIN,
    POSITION,
    parse_position,
    position_text,
    position_texts,
    with_registers,
)
from replication_assets.core.positions import INT64_MAX, Position
from replication_assets.core.schema import TableId

GONE = "+"
"""Sorts after the end of a text and before any digit of a longer one."""

_TEXT = pa.large_string()

WRITES = pa.schema(
    [
        pa.field("key", _TEXT),
        pa.field("register", _TEXT),
        pa.field("body", _TEXT),
        pa.field("row", pa.int64()),
    ]
)
"""Items to write: key and whole item as DynamoDB's JSON, the value of `_position`, and the number
of the row it was made of, null for a tombstone."""


@dataclass(frozen=True, slots=True)
class Burial:
    """What tombstones say beside their key: by which position the rows were known to be gone,
    and until when (epoch seconds) the attribute `expiry` keeps them."""

    origin: str
    known: Position
    expiry: str
    until: int


def origin(table: TableId, id_range: str) -> str:
    """The value of `_origin`."""
    return f"{table}#{id_range}"


def id_range_of(origin_: str) -> str:
    return origin_.rpartition("#")[2]


def register_position(register: str) -> Position:
    """Raises ValueError for what is not the register of an item or a tombstone."""
    return parse_position(register.removesuffix(GONE))


def gone_up_to(position: Position) -> str:
    """The register of a tombstone for rows up to `position`."""
    return position_text(position) + GONE


def gone_before(position: Position) -> str:
    """The register of a tombstone for rows before `position`, which a row of it replaces."""
    if position.sequence:
        return gone_up_to(Position(position.epoch, position.commit, position.sequence - 1))
    if position.commit:
        return gone_up_to(Position(position.epoch, position.commit - 1, INT64_MAX))
    return gone_up_to(Position(max(position.epoch - 1, 0), INT64_MAX, INT64_MAX))


def rows_to_write(items: pa.Table, origin_: str) -> pa.Table:
    """`WRITES` of converted items (`core.items.mapping.ITEMS`)."""
    positions = position_texts(items)
    bodies = with_registers(items, "item", origin_, positions=positions)
    return pa.table([items["key"], positions, bodies, items["row"]], schema=WRITES)


def registers_before(keys: pa.Table) -> pa.Array:
    """`gone_before` of the position of each row."""
    epoch, commit, sequence = (
        keys[name].to_numpy().astype(np.int64) for name in (EPOCH, COMMIT_POSITION, SEQUENCE)
    )
    first = sequence == 0
    earlier = pa.table(
        {
            EPOCH: np.where(first & (commit == 0), np.maximum(epoch - 1, 0), epoch),
            COMMIT_POSITION: np.where(first, np.where(commit == 0, INT64_MAX, commit - 1), commit),
            SEQUENCE: np.where(first, INT64_MAX, sequence - 1),
        }
    )
    return _gone(position_texts(earlier))


def registers_up_to(keys: pa.Table) -> pa.Array:
    """`gone_up_to` of the position of each row."""
    return _gone(position_texts(keys))


def tombstones(keys: pa.Array | pa.ChunkedArray, registers: pa.Array, burial: Burial) -> pa.Table:
    """`WRITES` that bury items by key."""
    rest = {
        ORIGIN: {"S": burial.origin},
        DELETED: {"S": position_text(burial.known)},
        burial.expiry: {"N": str(burial.until)},
    }
    tail = json.dumps(rest, ensure_ascii=False, separators=(",", ":"))[1:]
    flat = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    opened = pc.binary_slice(flat.cast(pa.large_binary()), 0, -1).cast(_TEXT)
    body = pc.binary_join_element_wise(
        opened,
        pa.scalar(f',"{POSITION}":{{"S":"', _TEXT),
        registers.cast(_TEXT),
        pa.scalar(f'"}},{tail}', _TEXT),
        pa.scalar("", _TEXT),
    )
    return pa.table([flat, registers, body, pa.nulls(len(flat), pa.int64())], schema=WRITES)


def newest_per_key(writes: pa.Table) -> pa.Table:
    """Of several writes to one key the one that would win."""
    order = pc.sort_indices(writes, sort_keys=[("key", "ascending"), ("register", "descending")])
    ordered = writes.take(order)
    if ordered.num_rows < 2:
        return ordered
    keys = ordered["key"].combine_chunks()
    first = pa.concat_arrays([pa.array([True]), pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1))])
    return ordered.filter(first)


def _gone(texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(texts, pa.scalar(GONE, _TEXT), pa.scalar("", _TEXT))
