"""Events of `order_events` made by numpy and stored by the event store's own writer.

A source would take minutes to make as many. The payload is hex of random bytes, so that files
are as large as real ones: no two rows share it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from replication_assets.core import events as ev
from replication_assets.core.assemble import load_complete, place
from replication_assets.core.controls import RangeReplaced
from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import IdRanges
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.event_store import DeltaEventStore

TABLE = TableId("shop", "public", "order_events")
_INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = TableSchema(
    (
        Column("id", "int8", pa.int64()),
        Column("aggregate_id", "uuid", pa.string()),
        Column("event_timestamp", "timestamptz", _INSTANT),
        Column("version", "int4", pa.int32()),
        Column("conversation_id", "uuid", pa.string()),
        Column("created_at", "timestamptz", _INSTANT),
        Column("event_data", "text", pa.string()),
    ),
    key=("id",),
)
LOADED = Position(1, 1_000, 0)
PER_TRANSACTION = 100
BATCH_ROWS = 65_536
DATES = EventDates("created_at", "year", dt.date(2024, 1, 1))
TAKEN_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_HEX = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint8).reshape(256, 2)
_EPOCH_MICROS = 1_704_067_200_000_000

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Events:
    """What happened, as columns: operation (`R` for rows of the load), key, and number of the event."""

    operations: npt.NDArray[np.str_]
    ids: Numbers
    numbers: Numbers

    def __len__(self) -> int:
        return len(self.ids)

    def pieces(self) -> Iterator[Events]:
        for at in range(0, len(self), BATCH_ROWS):
            piece = slice(at, at + BATCH_ROWS)
            yield Events(self.operations[piece], self.ids[piece], self.numbers[piece])


def history(keys: int, count: int, *, shuffled: bool) -> Events:
    """`count` events on ids from 1 to `keys`: a load of them all, then 97 % updates and 3 % deletes
    of any. `shuffled` has them in no order of time."""
    random = np.random.default_rng(7)
    changes = count - keys
    operations = np.concatenate([np.full(keys, "R"), np.where(random.random(changes) < 0.97, "U", "D")])
    ids = np.concatenate([np.arange(1, keys + 1), random.integers(1, keys + 1, changes)])
    events = Events(operations, ids, np.arange(count) - keys)
    if not shuffled:
        return events
    order = random.permutation(count)
    return Events(operations[order], ids[order], events.numbers[order])


def store_of(
    root: Path, events: Events, ids: IdRanges | None = None, *, loaded_keys: int = 0
) -> DeltaEventStore:
    """A store below `root` that holds the events, and the load complete."""
    store = DeltaEventStore(str(root))
    ids = ids or IdRanges.whole()
    log = store.log(TABLE)
    log.ensure(SCHEMA, ids, DATES)
    add(store, events, ids)
    complete = RangeReplaced(LOADED, "load", None, None, loaded_keys)
    writer = log.writer()
    writer.write(load_complete(complete, SCHEMA, TAKEN_AT))
    writer.commit()
    return store


def add(store: DeltaEventStore, events: Events, ids: IdRanges) -> Position:
    """Commit events as one flush of a capture; returns how far it reaches."""
    writer = store.log(TABLE).writer()
    for piece in events.pieces():
        writer.write(place(_events(piece), ids, DATES))
    captured = Position(1, int(_commits(events.numbers.max(keepdims=True))[0]))
    writer.commit(captured=captured)
    return captured


def _commits(numbers: Numbers) -> Numbers:
    return LOADED.commit + np.where(numbers < 0, 0, 8 + numbers // PER_TRANSACTION * 8)


def _events(piece: Events) -> pa.Table:
    count, loaded = len(piece), piece.operations == "R"
    instants = pa.array(np.where(loaded, 0, piece.numbers) + _EPOCH_MICROS, pa.int64()).cast(_INSTANT)
    deleted = piece.operations == "D"
    values = {
        **dict(zip(SCHEMA.names, rows(piece.ids).columns, strict=True)),
        ev.OP: pa.array(piece.operations),
        ev.EPOCH: pa.repeat(pa.scalar(1, pa.int32()), count),
        ev.COMMIT_POSITION: pa.array(_commits(piece.numbers)),
        ev.SEQUENCE: pa.array(np.where(loaded, 0, 1 + piece.numbers % PER_TRANSACTION)),
        ev.COMMITTED_AT: instants,
        ev.LOAD_ID: pa.array(np.where(loaded, "load", ""), mask=~loaded),
    }
    kept = pa.array(~deleted)
    columns = []
    for field in ev.event_schema(SCHEMA):
        column = values.get(field.name, pa.nulls(count, field.type))
        if field.name in SCHEMA.names and field.name not in ("id", "created_at") and deleted.any():
            column = pa.compute.if_else(kept, column, pa.scalar(None, field.type))
        columns.append(column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=ev.event_schema(SCHEMA))


def rows(ids: Numbers) -> pa.RecordBatch:
    """Rows of the table with these ids and payloads of their own."""
    count = len(ids)
    random = np.random.default_rng(int(ids[0]) if count else 0)
    at = pa.array(_EPOCH_MICROS + ids * 10_000_000 % (300 * 86_400 * 1_000_000)).cast(_INSTANT)
    prefix, suffix = b'{"type":"OrderPlaced","order":12345678,"payload":"', b'","source":"web"}'
    columns = [
        pa.array(ids, pa.int64()),
        _hex_texts(random, count, 18),
        at,
        pa.array((ids % 50).astype(np.int32)),
        _hex_texts(random, count, 18),
        at,
        _hex_texts(random, count, 112, prefix, suffix),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA.arrow_schema())


def _hex_texts(
    random: np.random.Generator, count: int, size: int, prefix: bytes = b"", suffix: bytes = b""
) -> pa.Array:
    digits = _HEX[random.integers(0, 256, (count, size), np.uint8)].reshape(count, 2 * size)
    edges = [np.tile(np.frombuffer(edge, np.uint8), (count, 1)) for edge in (prefix, suffix)]
    texts = np.ascontiguousarray(np.hstack([edges[0], digits, edges[1]]))
    offsets = np.arange(count + 1, dtype=np.int32) * texts.shape[1]
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(texts))
