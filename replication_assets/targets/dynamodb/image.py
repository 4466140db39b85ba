"""Owns what an item looks like to those who compare: the same for a row and for what is stored.

An item's one text is DynamoDB's JSON with names, members and numbers in one spelling, without
the registers that a projection keeps in it. Items that expire by the end of the hour are none of
either: nobody knows when DynamoDB deletes them. (The hour's end, so that who looks a moment
later leaves out the same ones.)
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import POSITION
from replication_assets.core.fold import ROW_ENVELOPE
from replication_assets.core.items.fragments import joined
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.rows import Rows
from replication_assets.core.items.values import ttl_value
from replication_assets.targets.dynamodb.conversion import Conversion

IDENTITY = "item_key"
CONTENT = "item"

IMAGE = pa.schema(
    [
        pa.field(IDENTITY, pa.string()),
        pa.field(CONTENT, pa.string()),
        *(ROW_ENVELOPE.field(name) for name in POSITION),
    ]
)


def image_of(conversion: Conversion, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Items of rows as they would be stored; none of rows that are refused as a whole."""
    converted = conversion.mapping.convert(batch)
    fitted = _lasting(conversion, batch, conversion.fitting.fit(converted.items).items)
    columns = [fitted["key"], fitted["item"], *(fitted[name] for name in POSITION)]
    table = pa.table(columns, names=IMAGE.names).cast(IMAGE)
    yield from table.to_batches() or [pa.RecordBatch.from_pylist([], schema=IMAGE)]


def expired_by() -> int:
    """Epoch seconds: the end of the hour."""
    return (int(time.time()) // 3600 + 1) * 3600


def _lasting(conversion: Conversion, batch: pa.RecordBatch, items: pa.Table) -> pa.Table:
    ttl = conversion.fitting.items.ttl
    if ttl is None or not items.num_rows:
        return items
    value = ttl_value(Rows(batch), ttl.column, ttl.days, ttl.name)
    texts = joined(value.pieces, rows=batch.num_rows)
    seconds = pc.replace_substring_regex(texts, "[^0-9-]", "").cast(pa.int64())
    lasts = pc.fill_null(pc.greater(seconds, expired_by()), True)
    return items.filter(lasts.take(items["row"].combine_chunks()))


def keys_of(mapping: ItemMapping, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The key of the item of each row, null where it has none."""
    found = mapping.keys(batch).keys
    places = np.full(batch.num_rows, -1, dtype=np.int64)
    places[found["row"].to_numpy()] = np.arange(found.num_rows)
    taken = found["key"].combine_chunks().take(pa.array(places, mask=places < 0))
    return pa.record_batch([taken.cast(pa.string())], schema=pa.schema([IMAGE.field(IDENTITY)]))
