"""What the benchmark of DynamoDB writes: order events, of which each is an item of about 500 bytes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.changes import RangeChanges
from replication_assets.core.events import COMMIT_POSITION, EPOCH, SEQUENCE, UNCHANGED
from replication_assets.core.fold import row_schema
from replication_assets.core.items.spec import ItemKey, Items
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.targets.dynamodb import DynamoDbSettings, DynamoDbTarget
from replication_assets.targets.dynamodb.wire.credentials import Credentials
from replication_assets.targets.dynamodb.wire.wire import WireSettings

TABLE = TableId("shop", "public", "order_events")
ID_RANGE = "r000000"
REGION = "eu-central-1"
ACCESS_KEY, SECRET_KEY = "AKIABENCHMARK", "benchmark"
CONNECTIONS = 16
_MOMENT = pa.timestamp("us", tz="UTC")
SCHEMA = TableSchema(
    (
        Column("id", "bigint", pa.int64()),
        Column("aggregate_id", "uuid", pa.string()),
        Column("event_timestamp", "timestamp with time zone", _MOMENT),
        Column("version", "integer", pa.int32()),
        Column("created_at", "timestamp with time zone", _MOMENT),
        Column("event_data", "text", pa.string()),
    ),
    key=("id",),
)
ROWS_AT_ONCE = 32_768
"""About what a fold gives at a time."""
_FIRST = int(dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000


def folded(rows: int, commit: int) -> Iterator[pa.RecordBatch]:
    """Rows of ids from 1 on, as a fold gives them, each of an event of `commit`."""
    for first in range(1, rows + 1, ROWS_AT_ONCE):
        yield _batch(np.arange(first, min(first + ROWS_AT_ONCE, rows + 1)), commit)


def changes(rows: int, commit: int) -> RangeChanges:
    """All rows changed."""
    upserts = pa.Table.from_batches(folded(rows, commit))
    upserts = upserts.append_column(UNCHANGED, pa.nulls(rows, pa.list_(pa.string())))
    return RangeChanges(upserts, upserts.slice(0, 0), insert_only=False)


def _batch(ids: np.ndarray[Any, Any], commit: int) -> pa.RecordBatch:
    count = len(ids)
    numbers = pa.array(ids, pa.int64())
    texts = numbers.cast(pa.string())
    moments = pa.array(_FIRST + ids * 10_000_000, pa.int64()).cast(_MOMENT)
    columns = {
        "id": numbers,
        "aggregate_id": pc.binary_join_element_wise(
            "6f9619ff-8b86-d011-b42d-", pc.utf8_lpad(texts, 12, "0"), ""
        ),
        "event_timestamp": moments,
        "version": pa.array(ids % 50, pa.int32()),
        "created_at": moments,
        "event_data": pc.binary_join_element_wise(
            '{"type":"OrderPlaced","order":',
            texts,
            f',"payload":"{"0123456789abcdef" * 7}","source":"web"}}',
            "",
        ),
        EPOCH: pa.repeat(pa.scalar(1, pa.int32()), count),
        COMMIT_POSITION: pa.repeat(pa.scalar(commit, pa.int64()), count),
        SEQUENCE: numbers,
    }
    schema = row_schema(SCHEMA)
    return pa.record_batch(
        [columns.get(each.name, pa.nulls(count, each.type)) for each in schema], schema=schema
    )


def plain_items(rows: int) -> Iterator[dict[str, Any]]:
    """The same items for boto3, without the registers of a projection."""
    for batch in folded(rows, 1):
        for row in batch.select(SCHEMA.names).to_pylist():
            yield {
                "pk": f"order_event#{row['id']}",
                **row,
                "event_timestamp": row["event_timestamp"].isoformat(),
                "created_at": row["created_at"].isoformat(),
            }


def target(endpoint_url: str, into: str) -> DynamoDbTarget:
    wire = WireSettings(
        region=REGION,
        endpoint_url=endpoint_url,
        credentials=Credentials(ACCESS_KEY, SECRET_KEY),
        connections=CONNECTIONS,
    )
    items = Items(str(TABLE), into, partition_key=ItemKey("pk", "order_event#${id}"))
    return DynamoDbTarget(DynamoDbSettings("benchmark", wire, control_table=f"{into}_control"), items, TABLE)


def filled_up_to(commit: int) -> Position:
    return Position(1, commit, 2**40)
