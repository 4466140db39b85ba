"""Owns the capacity of a table around a load: raised for its time, and put back in any case.

    record = CapacityRecord(client, "replication_assets", {"projection": ..., "subject": ...})
    with capacity_for_load(client, "orders", RaisedCapacity(on_demand=True), record):
        ...                                  # fill; several processes may do so at once
    restore_capacity(client, "orders", record)   # at the start of any run: after a kill -9

What is to be restored is recorded durably before it is changed, and restored by the last load
that ends, or by whoever calls `restore_capacity` once the loads of a dead process are overdue.
Policies of Application Auto Scaling are left as they are and rule again after it.

AWS limits both ways: a table may go from provisioned to on demand four times in 24 hours, and
provisioned capacity be lowered a few times an hour. Where it refuses, the error says so.
Warming (`write_units` of an on-demand table) raises what the table takes at once, costs once,
and cannot be undone: there is nothing to restore. Capacity that is enough is left alone.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from replication_assets.errors import ReplicationError, TargetError, TargetUnavailable
from replication_assets.targets.dynamodb.capacity_record import LEASE_SECONDS, CapacityRecord
from replication_assets.targets.dynamodb.tables import (
    TableDescription,
    Throughput,
    service_errors,
    wait_until_active,
)


@dataclass(frozen=True, slots=True)
class RaisedCapacity:
    """What a load wants: the table on demand meanwhile, or at least so many write units a second
    (provisioned where it is provisioned, warmed where it is on demand), or both."""

    on_demand: bool = False
    write_units: int | None = None


@dataclass(frozen=True, slots=True)
class _Settings:
    """Provisioned units of a table and of its indexes, or that it is on demand."""

    on_demand: bool
    table: Throughput
    indexes: tuple[tuple[str, Throughput], ...]

    @classmethod
    def of(cls, found: TableDescription) -> _Settings:
        return cls(found.billing == "PAY_PER_REQUEST", found.throughput, found.indexes)

    def dump(self) -> str:
        """Of provisioned units: nothing else is ever restored."""
        units = [
            [name, each.read_units, each.write_units] for name, each in (("", self.table), *self.indexes)
        ]
        return json.dumps(units)

    @classmethod
    def load(cls, text: str) -> _Settings:
        (_, read, write), *indexes = json.loads(text)
        return cls(False, Throughput(read, write), tuple((name, Throughput(r, w)) for name, r, w in indexes))


@contextmanager
def capacity_for_load(
    client: Any, table: str, wanted: RaisedCapacity, record: CapacityRecord
) -> Iterator[None]:
    """Hold the table's capacity up for the length of the block.

    Raises TargetError if AWS refuses the change; then nothing of the block was run.
    """
    load = uuid.uuid4().hex
    before = _held(client, table, wanted, record, load)
    if before is None:
        _warm(client, wait_until_active(client, table), wanted)
        yield
        return
    renewing = _Renewal(record, load)
    try:
        found = _Settings.of(wait_until_active(client, table))
        if not _is_enough(found, wanted):
            _update(client, table, _raising(found, wanted))
        _warm(client, wait_until_active(client, table), wanted)
        yield
    finally:
        renewing.stop()
        left = record.leave(load)
        if left is not None and not left.alive(record.now()):
            _restore(client, table, before)
            record.forget(left)


def restore_capacity(client: Any, table: str, record: CapacityRecord) -> bool:
    """Put back what a load that died left raised; whether there was anything to put back. Leaves
    alone what living loads hold up. Idempotent."""
    seen = record.read()
    if seen is None or seen.alive(record.now()):
        return False
    _restore(client, table, _Settings.load(seen.before))
    return record.forget(seen)


def _held(
    client: Any, table: str, wanted: RaisedCapacity, record: CapacityRecord, load: str
) -> _Settings | None:
    """Enter the load in the record; the settings to restore, None where nothing is to be changed.

    Settings that this load is the first to record are looked at again: another one may just
    have restored others, and forgotten its record, after they were read.
    """
    while True:
        found = _Settings.of(wait_until_active(client, table))
        if _is_enough(found, wanted):
            joined = record.join(load)
            return _Settings.load(joined.before) if joined is not None else None
        if not record.begin(load, found.dump()):
            joined = record.join(load)
            if joined is not None:
                return _Settings.load(joined.before)
        elif _Settings.of(wait_until_active(client, table)) == found:
            return found
        else:
            left = record.leave(load)
            if left is not None:
                record.forget(left)


def _is_enough(found: _Settings, wanted: RaisedCapacity) -> bool:
    """Whether there is nothing to change that would have to be restored."""
    if found.on_demand:
        return True
    if wanted.on_demand:
        return False
    each = (found.table, *(units for _, units in found.indexes))
    return all(units.write_units >= (wanted.write_units or 0) for units in each)


def _raising(found: _Settings, wanted: RaisedCapacity) -> dict[str, Any]:
    if wanted.on_demand:
        return {"BillingMode": "PAY_PER_REQUEST"}
    least = wanted.write_units or 0

    def raised(units: Throughput) -> Throughput:
        return Throughput(units.read_units, max(units.write_units, least))

    indexes = tuple((name, raised(units)) for name, units in found.indexes)
    return _change(found, _Settings(False, raised(found.table), indexes))


def _change(found: _Settings, settings: _Settings) -> dict[str, Any]:
    """From what is found to provisioned `settings`. DynamoDB refuses a change that changes nothing."""
    change: dict[str, Any] = {}
    if found.on_demand or found.table != settings.table:
        change = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": _units(settings.table)}
    now = dict(found.indexes)
    # An index that was dropped during the load has nothing to restore.
    updates = [
        {"Update": {"IndexName": name, "ProvisionedThroughput": _units(units)}}
        for name, units in settings.indexes
        if name in now and now[name] != units
    ]
    if updates:
        change["GlobalSecondaryIndexUpdates"] = updates
    return change


def _restore(client: Any, table: str, before: _Settings) -> None:
    change = _change(_Settings.of(wait_until_active(client, table)), before)
    if change:
        _update(client, table, change)
        wait_until_active(client, table)


def _warm(client: Any, found: TableDescription, wanted: RaisedCapacity) -> None:
    """Raise what an on-demand table takes at once. DynamoDB Local knows no such thing, and tells
    nothing of it."""
    if found.billing != "PAY_PER_REQUEST" or wanted.write_units is None:
        return
    with service_errors(f"DynamoDB table {found.name}"):
        told = client.describe_table(TableName=found.name)["Table"]
    change: dict[str, Any] = {}
    if _is_colder(told, wanted.write_units):
        change["WarmThroughput"] = _warmer(told, wanted.write_units)
    colder = [each for each in told.get("GlobalSecondaryIndexes", ()) if _is_colder(each, wanted.write_units)]
    if colder:
        change["GlobalSecondaryIndexUpdates"] = [
            {"Update": {"IndexName": each["IndexName"], "WarmThroughput": _warmer(each, wanted.write_units)}}
            for each in colder
        ]
    if change:
        _update(client, found.name, change)
        wait_until_active(client, found.name)


def _is_colder(told: Any, write_units: int) -> bool:
    warm = told.get("WarmThroughput")
    return warm is not None and warm.get("WriteUnitsPerSecond", 0) < write_units


def _warmer(told: Any, write_units: int) -> dict[str, int]:
    reads = told["WarmThroughput"].get("ReadUnitsPerSecond", 0)
    return {"WriteUnitsPerSecond": write_units, **({"ReadUnitsPerSecond": reads} if reads else {})}


def _update(client: Any, table: str, change: dict[str, Any]) -> None:
    where = f"DynamoDB table {table}"
    with service_errors(where):
        try:
            client.update_table(TableName=table, **change)
        except client.exceptions.ResourceInUseException:
            raise TargetUnavailable(
                "somebody else is changing the table", where=where, fix="run it again"
            ) from None
        except client.exceptions.LimitExceededException:
            raise TargetError(
                "AWS refuses the change of capacity: its limit of changes in 24 hours is reached",
                where=where,
                fix="load with the capacity that the table has (leave load_capacity out), or later: a table "
                "may be switched to on demand four times in 24 hours, and lowered a few times an hour",
            ) from None
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in ("ValidationException", "ResourceNotFoundException"):
                raise
            raise TargetError(
                f"the change of capacity was refused: {code}",
                where=where,
                fix="check load_capacity against the table's and the account's limits",
            ) from None


def _units(throughput: Throughput) -> dict[str, int]:
    return {"ReadCapacityUnits": throughput.read_units, "WriteCapacityUnits": throughput.write_units}


class _Renewal:
    """Renews a load's lease while it lives, three times per lease, from a thread of its own."""

    def __init__(self, record: CapacityRecord, load: str) -> None:
        self._record = record
        self._load = load
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="capacity lease", daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_SECONDS / 3):
            try:
                self._record.renew(self._load)
            except ReplicationError:
                continue  # the lease lasts for two more tries; losing it costs speed, no data

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
