"""Owns the tables themselves, by boto3: making, describing, waiting, and what its errors mean.

    description = ensure(client, TableSpec("orders", (KeyAttribute("pk"), KeyAttribute("sk", "N"))))

`ensure` makes a table that is missing and sets the time-to-live attribute. Refused: a table
whose key is another one, since nothing can change it, and one whose time to live is switched
on for another attribute. `TableDescription.instance` tells a table from one that was dropped
and made again under its name, which is how an emptied target is noticed.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, SSLError
from botocore.exceptions import ConnectionError as NoConnection

from replication_assets.errors import TargetError, TargetUnavailable
from replication_assets.targets.dynamodb.wire.replies import advice, is_passing

KeyType: TypeAlias = Literal["S", "N", "B"]
BillingMode: TypeAlias = Literal["PAY_PER_REQUEST", "PROVISIONED"]

WAIT_SECONDS = 600.0
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class KeyAttribute:
    name: str
    kind: KeyType = "S"

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What a table must be: its key (partition, then sort), and what it is made with if missing."""

    name: str
    key: tuple[KeyAttribute, ...]
    ttl_attribute: str | None = None
    billing: BillingMode = "PAY_PER_REQUEST"
    read_units: int = 5
    write_units: int = 5
    """Of a table made as PROVISIONED."""

    @property
    def where(self) -> str:
        return f"DynamoDB table {self.name}"


@dataclass(frozen=True, slots=True)
class Throughput:
    """Provisioned capacity of a table, or of an index of it; zeros while it is on demand."""

    read_units: int
    write_units: int


@dataclass(frozen=True, slots=True)
class TableDescription:
    """What DynamoDB says of a table. `items` and `bytes` are some hours old at AWS."""

    name: str
    arn: str
    instance: str
    """The table's id, else the time it was made: another one for a table that was made again."""
    created_at: dt.datetime
    status: str
    key: tuple[KeyAttribute, ...]
    billing: BillingMode
    throughput: Throughput
    indexes: tuple[tuple[str, Throughput], ...]
    """Global secondary indexes, which have a capacity of their own."""
    items: int
    bytes: int


@contextmanager
def service_errors(where: str) -> Iterator[None]:
    """Turns what boto3 raises into errors of the project: TargetUnavailable where waiting helps,
    TargetError where nobody can go on. Answers that the caller asked for (ClientError: a
    condition failed, no such table, a name is taken, not valid) pass through as they are."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
        what = f"{error.operation_name} was refused: {code}"
        if is_passing(status, code):
            raise TargetUnavailable(what, where=where, fix="run it again") from None
        fix = advice(code)
        if fix and code != "ResourceNotFoundException":
            raise TargetError(what, where=where, fix=fix) from None
        raise
    except BotoCoreError as error:
        if isinstance(error, HTTPClientError | NoConnection) and not isinstance(error, SSLError):
            raise TargetUnavailable(
                f"no answer ({type(error).__name__})",
                where=where,
                fix="check the network and the endpoint, and run it again",
            ) from None
        raise TargetError(
            f"boto3 cannot send the request ({type(error).__name__})",
            where=where,
            fix="check the credentials, the region and the endpoint",
        ) from None


def describe(client: Any, name: str) -> TableDescription | None:
    """None for a table that does not exist."""
    with service_errors(f"DynamoDB table {name}"):
        try:
            table = client.describe_table(TableName=name)["Table"]
        except client.exceptions.ResourceNotFoundException:
            return None
    kinds = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    ordered = sorted(table["KeySchema"], key=lambda each: each["KeyType"] != "HASH")
    created = table["CreationDateTime"]
    return TableDescription(
        name=name,
        arn=table["TableArn"],
        instance=table.get("TableId") or created.astimezone(dt.UTC).isoformat(),
        created_at=created,
        status=table["TableStatus"],
        key=tuple(KeyAttribute(each["AttributeName"], kinds[each["AttributeName"]]) for each in ordered),
        billing=table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        throughput=_throughput(table),
        indexes=tuple(
            (each["IndexName"], _throughput(each)) for each in table.get("GlobalSecondaryIndexes", ())
        ),
        items=table.get("ItemCount", 0),
        bytes=table.get("TableSizeBytes", 0),
    )


def ensure(client: Any, spec: TableSpec, *, wait_seconds: float = WAIT_SECONDS) -> TableDescription:
    """Make the table if it is missing, and wait until it takes writes. Idempotent, and safe
    beside others who do the same."""
    found = describe(client, spec.name)
    if found is None:
        _create(client, spec)
    description = wait_until_active(client, spec.name, wait_seconds=wait_seconds)
    if description.key != spec.key:
        raise TargetError(
            f"the table's key is {_listed(description.key)}, declared is {_listed(spec.key)}",
            where=spec.where,
            fix="declare the key that the table has, or another table: a key cannot be changed",
        )
    if spec.ttl_attribute is not None:
        _ensure_ttl(client, spec, spec.ttl_attribute)
    return description


def wait_until_active(client: Any, name: str, *, wait_seconds: float = WAIT_SECONDS) -> TableDescription:
    """Raises TargetUnavailable if the table is not active by then."""
    deadline = time.monotonic() + wait_seconds
    pause = 0.02
    while True:
        found = describe(client, name)
        if found is not None and found.status == "ACTIVE":
            return found
        if time.monotonic() > deadline:
            raise TargetUnavailable(
                f"the table is {found.status if found else 'missing'} after {wait_seconds:.0f} s",
                where=f"DynamoDB table {name}",
                fix="wait until it is ACTIVE and run it again",
            )
        time.sleep(pause)
        pause = min(pause * 2, _POLL_SECONDS)


def _create(client: Any, spec: TableSpec) -> None:
    key_types = ("HASH", "RANGE")
    capacity: dict[str, Any] = {}
    if spec.billing == "PROVISIONED":
        units = {"ReadCapacityUnits": spec.read_units, "WriteCapacityUnits": spec.write_units}
        capacity["ProvisionedThroughput"] = units
    with service_errors(spec.where):
        try:
            client.create_table(
                TableName=spec.name,
                KeySchema=[
                    {"AttributeName": each.name, "KeyType": key_type}
                    for each, key_type in zip(spec.key, key_types, strict=False)
                ],
                AttributeDefinitions=[
                    {"AttributeName": each.name, "AttributeType": each.kind} for each in spec.key
                ],
                BillingMode=spec.billing,
                **capacity,
            )
        except client.exceptions.ResourceInUseException:
            return  # somebody else made it just now


def _ensure_ttl(client: Any, spec: TableSpec, attribute: str) -> None:
    with service_errors(spec.where):
        if _has_ttl(client, spec, attribute):
            return
        try:
            client.update_time_to_live(
                TableName=spec.name, TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
            )
        except ClientError:
            # Somebody else may have switched it on just now, which is refused as not valid.
            if not _has_ttl(client, spec, attribute):
                raise


def _has_ttl(client: Any, spec: TableSpec, attribute: str) -> bool:
    told = client.describe_time_to_live(TableName=spec.name)["TimeToLiveDescription"]
    if told["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        return False
    if told["AttributeName"] != attribute:
        raise TargetError(
            f"items expire by {told['AttributeName']}, declared is {attribute}",
            where=spec.where,
            fix=f"declare {told['AttributeName']}, or switch the table's time to live off first",
        )
    return True


def _throughput(told: Any) -> Throughput:
    units = told.get("ProvisionedThroughput", {})
    return Throughput(int(units.get("ReadCapacityUnits", 0)), int(units.get("WriteCapacityUnits", 0)))


def _listed(key: Sequence[KeyAttribute]) -> str:
    return ", ".join(map(str, key))
