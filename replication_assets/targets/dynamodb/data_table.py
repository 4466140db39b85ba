"""Owns one DynamoDB table as a projection uses it: reached, made when missing, and described.

Nothing is opened before it is asked for, and what is open is shared by the whole process: a
client of boto3 costs a quarter of a second. Refused: a table with another key than declared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

from replication_assets.core.items.registers import EXPIRES
from replication_assets.core.items.spec import Items
from replication_assets.errors import TargetUnavailable
from replication_assets.targets.dynamodb.capacity import (
    RaisedCapacity,
    capacity_for_load,
    restore_capacity,
)
from replication_assets.targets.dynamodb.capacity_record import CapacityRecord
from replication_assets.targets.dynamodb.oversize import StoredObject
from replication_assets.targets.dynamodb.tables import (
    KeyAttribute,
    KeyType,
    TableDescription,
    TableSpec,
    describe,
    ensure,
    service_errors,
)
from replication_assets.targets.dynamodb.wire.reads import TableReader
from replication_assets.targets.dynamodb.wire.throttle import Pace
from replication_assets.targets.dynamodb.wire.wire import Wire, WireSettings

_KINDS: dict[str, KeyType] = {"string": "S", "number": "N", "binary": "B"}
_UPLOADS = 8


@lru_cache(maxsize=32)
def _shared_wire(settings: WireSettings, process: int) -> Wire:  # noqa: ARG001 - sockets are not inherited
    return Wire.open(settings)


class DataTable:
    """The table that a declaration of items names. One per target."""

    def __init__(
        self,
        settings: WireSettings,
        items: Items,
        *,
        expiry: str | None = None,
        s3_endpoint_url: str | None = None,
    ) -> None:
        """`expiry` is the time-to-live attribute that any declaration for this table names."""
        self._settings = settings
        self._s3_endpoint_url = s3_endpoint_url
        self._declared_expiry = expiry or (items.ttl.name if items.ttl is not None else None)
        self.name = items.into
        self.key_names = tuple(key.name for key in items.keys)
        self._key = tuple(KeyAttribute(key.name, _KINDS[key.type]) for key in items.keys)

    @property
    def where(self) -> str:
        return f"DynamoDB table {self.name}"

    @property
    def wire(self) -> Wire:
        return _shared_wire(self._settings, os.getpid())

    @property
    def pace(self) -> Pace:
        """Shared by all writes to the table: a throttled table is throttled for all of them."""
        return self.wire.pace_of(self.name)

    @property
    def reader(self) -> TableReader:
        return TableReader(self.wire, self.name)

    @cached_property
    def expiry(self) -> str:
        """The time-to-live attribute. The table's own, if it has one and none is declared."""
        return self._declared_expiry or self._time_to_live() or EXPIRES

    def expires_items(self) -> bool:
        """Whether DynamoDB deletes tombstones by itself."""
        return self._time_to_live() == self.expiry

    def _time_to_live(self) -> str | None:
        """The attribute that the table's items expire by."""
        with service_errors(self.where):
            told = self.wire.client.describe_time_to_live(TableName=self.name)["TimeToLiveDescription"]
        enabled = told["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
        return str(told["AttributeName"]) if enabled else None

    def describe(self) -> TableDescription | None:
        found = describe(self.wire.client, self.name)
        return found if found is None or found.status == "ACTIVE" else self._unready(found)

    def ensure(self) -> TableDescription:
        """The table, made if it is missing, with time to live switched on."""
        if describe(self.wire.client, self.name) is None:
            ensure(self.wire.client, TableSpec(self.name, self._key))
        return ensure(self.wire.client, TableSpec(self.name, self._key, ttl_attribute=self.expiry))

    def is_empty(self) -> bool:
        request = {"TableName": self.name, "Limit": 1, "ConsistentRead": True}
        page = self.wire.call("Scan", request, where=self.where)
        return not page["Items"] and "LastEvaluatedKey" not in page

    @contextmanager
    def capacity(self, control_table: str, wanted: RaisedCapacity) -> Iterator[None]:
        """Hold the capacity up for the block. What a killed load left raised is put back first."""
        if wanted == RaisedCapacity():
            yield
            return
        self.restore_capacity(control_table)
        with capacity_for_load(self.wire.client, self.name, wanted, self._capacity_record(control_table)):
            yield

    def restore_capacity(self, control_table: str) -> bool:
        """Put back what a killed load left raised, once it is overdue; whether there was anything."""
        return restore_capacity(self.wire.client, self.name, self._capacity_record(control_table))

    def _capacity_record(self, control_table: str) -> CapacityRecord:
        # One record for all projections: they raise the capacity of one and the same table.
        key = {"projection": {"S": "(capacity)"}, "subject": {"S": self.name}}
        return CapacityRecord(self.wire.client, control_table, key)

    def _unready(self, found: TableDescription) -> TableDescription:
        if found.status in ("UPDATING",):
            return found
        raise TargetUnavailable(
            f"the table is {found.status}", where=self.where, fix="wait until it is ACTIVE and run it again"
        )

    # --- S3 ---

    @cached_property
    def s3(self) -> Any:
        """A client for the bucket of items that are too large."""
        return self._settings.session().client("s3", endpoint_url=self._s3_endpoint_url)

    def upload(self, objects: tuple[StoredObject, ...]) -> None:
        """All of them are there when this returns. Written anew even where they are, so that
        their age tells when they were last wanted."""
        if not objects:
            return
        client = self.s3
        with ThreadPoolExecutor(_UPLOADS) as uploads:
            for done in [uploads.submit(self._upload, client, each) for each in objects]:
                done.result()

    def _upload(self, client: Any, stored: StoredObject) -> None:
        with service_errors(f"S3 bucket {stored.bucket}"):
            client.put_object(Bucket=stored.bucket, Key=stored.name, Body=stored.content)
