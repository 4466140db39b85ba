"""Owns deleting what nothing needs: tombstones, parts and objects of items that moved on, and all
items of a source table when its projection is reset.

Tombstones go by time to live where DynamoDB has it, within days; this is for the rest, and for
those who cannot wait. Refused: deleting what a write in progress may be about to need, which is
why all of it must have an age.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa

from replication_assets.core.items.canonical import canonical
from replication_assets.core.items.registers import DELETED, PART, POSITION
from replication_assets.core.items.spec import Items, S3Pointer, Split
from replication_assets.core.schema import TableId
from replication_assets.targets.dynamodb.contents import SEGMENTS, items_of_table
from replication_assets.targets.dynamodb.data_table import DataTable
from replication_assets.targets.dynamodb.oversize import pointers_of, uri, whole_key
from replication_assets.targets.dynamodb.tables import service_errors
from replication_assets.targets.dynamodb.wire.conditional_writes import (
    Condition,
    ConditionalRows,
    ConditionalWriter,
    position_values,
)
from replication_assets.targets.dynamodb.wire.writes import TableWriter

_SAME = Condition("#p = :p", {"#p": POSITION})


def delete_items(data: DataTable, table: TableId) -> None:
    """Delete everything that any range of the source table wrote."""
    writer = TableWriter(data.wire, data.name, data.key_names, pace=data.pace)
    for page in data.reader.scan(SEGMENTS, only=items_of_table(table)):
        writer.batch_delete([_keys(data, page)], lambda _: None)


def vacuum(
    data: DataTable, table: TableId, items: Items, older_than: dt.timedelta, tombstone_seconds: float
) -> int:
    """Returns how many tombstones, parts and objects were deleted. Reads the whole table, unless
    there is nothing to look for but tombstones, and those go by themselves."""
    only_tombstones = isinstance(items.oversize, str)
    if only_tombstones and older_than.total_seconds() >= tombstone_seconds and data.expires_items():
        return 0
    expired = time.time() + tombstone_seconds - older_than.total_seconds()
    dead: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    wanted: set[str] = set()
    deleted = 0
    for page in data.reader.scan(SEGMENTS, only=items_of_table(table)):
        for item in page:
            if DELETED in item and float(item[data.expiry]["N"]) <= expired:
                dead.append(item)
            elif PART in item:
                parts.append({name: item[name] for name in (*data.key_names, POSITION)})
            if isinstance(items.oversize, S3Pointer):
                wanted.update(pointers_of(item))
        if len(dead) > 10_000:
            deleted += _delete(data, dead)
            dead = []
    deleted += _delete(data, dead)
    if isinstance(items.oversize, Split) or parts:
        deleted += _delete_parts(data, parts)
    if isinstance(items.oversize, S3Pointer):
        deleted += _delete_objects(data, items.oversize, table, wanted, older_than)
    return deleted


def _keys(data: DataTable, items: list[dict[str, Any]]) -> pa.Array:
    keys = [orjson.dumps({name: item[name] for name in data.key_names}) for item in items]
    return pa.array(keys, pa.large_binary())


def _delete(data: DataTable, items: list[dict[str, Any]]) -> int:
    """Delete items that are still what they were when they were read."""
    if not items:
        return 0
    seen = pa.array([item[POSITION]["S"] for item in items], pa.large_string())
    rows = ConditionalRows(_keys(data, items), position_values(seen))
    writer = ConditionalWriter(data.wire, data.name, pace=data.pace)
    return writer.delete([rows], _SAME, lambda _: None).items


def _delete_parts(data: DataTable, parts: list[dict[str, Any]]) -> int:
    """Delete parts of items that have moved on. An item that does not stand there yet may be on
    its way, so only a newer one tells that a part is of no more use."""
    owners: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for part in parts:
        found = whole_key(part, data.key_names)
        if found is not None:
            owners.setdefault(canonical(found[0]), []).append((found[1], part))
    orphans = []
    for key, register in _registers(data, list(owners)):
        orphans += [part for position, part in owners[key] if position < register]
    return _delete(data, orphans)


def _registers(data: DataTable, keys: list[str]) -> Iterator[tuple[str, str]]:
    for page in data.reader.get_items([pa.array(keys, pa.large_string())] if keys else []):
        for item in page:
            key = canonical({name: item[name] for name in data.key_names})
            yield key, item.get(POSITION, {}).get("S", "")


def _delete_objects(
    data: DataTable, policy: S3Pointer, table: TableId, wanted: set[str], older_than: dt.timedelta
) -> int:
    """Delete objects that no item points to. One that was written a moment ago may be pointed to
    a moment later: objects are written anew with every item, so their age tells."""
    before = dt.datetime.now(dt.UTC) - older_than
    deleted = 0
    with service_errors(f"S3 bucket {policy.bucket}"):
        pages = data.s3.get_paginator("list_objects_v2").paginate(
            Bucket=policy.bucket, Prefix=f"{policy.prefix.strip('/')}/{table.folder}/".lstrip("/")
        )
        for page in pages:
            names = [
                each["Key"]
                for each in page.get("Contents", ())
                if each["LastModified"] <= before and uri(policy.bucket, each["Key"]) not in wanted
            ]
            for name in names:
                data.s3.delete_object(Bucket=policy.bucket, Key=name)
            deleted += len(names)
    return deleted
