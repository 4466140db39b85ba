"""Owns the control table: how far each range of a projection is, and who fills one.

DynamoDB has no commit that spans a range and its checkpoint, so the checkpoint stands in an
item of its own and is written last, on the condition that it is still the one that the writer
started from. A range that is being filled has no checkpoint. Refused: moving a checkpoint that
somebody else moved meanwhile.

One item per range, `projection` and `<table>#<id_range>`, and one per data table,
`projection` and `<account's name of the table>@<creation>`, which says that all that the
projection ever wrote to that table is recorded here.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from botocore.exceptions import ClientError

from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.errors import CommitConflict
from replication_assets.ports import RangeCheckpoint
from replication_assets.targets.dynamodb.tables import service_errors

State: TypeAlias = Literal["filling", "unfinished", "applying", "filled"]
"""`filling` and `applying`: somebody holds the range (`lease`). `unfinished`: a fill was given up."""

_GONE = ("ConditionalCheckFailedException", "ResourceNotFoundException")


@dataclass(frozen=True, slots=True)
class Canary:
    """The key of an item that must be there, as DynamoDB's JSON, and until when (epoch seconds;
    None: for ever). One that is missing before then shows that the table was emptied."""

    key: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class RangeRecord:
    """What is recorded of one range. `version` changes with every write, `beat` with every
    heartbeat of whoever fills; `instance` tells a table from one recreated under its name, and
    `mapping` one declaration of items from another; with `follows_key` deletes find the items."""

    table: TableId
    id_range: str
    version: str
    state: State
    instance: str
    mapping: str = ""
    follows_key: bool = False
    checkpoint: RangeCheckpoint | None = None
    canaries: tuple[Canary, ...] = ()
    beat: int = 0

    @property
    def where(self) -> str:
        return f"{self.table} range {self.id_range}"


class ControlTable:
    """The records of one projection. The table is made when the first one is written; `connect`
    gives a client of boto3 when the first one is read."""

    def __init__(self, connect: Callable[[], Any], name: str, projection: str) -> None:
        self._connect = connect
        self._name = name
        self._projection = projection

    @property
    def _client(self) -> Any:
        return self._connect()

    @property
    def where(self) -> str:
        return f"DynamoDB table {self._name}"

    def read(self, table: TableId, id_range: str) -> RangeRecord | None:
        item = self._get(_subject(table, id_range))
        return _record(table, id_range, item) if item else None

    def records(self, table: TableId) -> tuple[RangeRecord, ...]:
        """Of all ranges of a table."""
        prefix = f"{table}#"
        return tuple(
            _record(table, item["subject"]["S"].removeprefix(prefix), item)
            for item in self._query(prefix)
            if "#" not in item["subject"]["S"].removeprefix(prefix)
        )

    def write(
        self, record: RangeRecord, *, expecting: RangeRecord | None, silent: bool = False
    ) -> RangeRecord:
        """Record it in place of `expecting`; the record with its new version. `silent`: only if
        no heartbeat was sent since either.

        Raises:
            CommitConflict: somebody else wrote since `expecting` was read.
        """
        written = replace(record, version=uuid.uuid4().hex)
        item = {**self._key(_subject(record.table, record.id_range)), **_attributes(written)}
        try:
            self._put(item, _expectation(expecting, silent))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            # boto3 sends again what was not answered: the write that stands may be this one.
            if self.read(record.table, record.id_range) == written:
                return written
            raise CommitConflict(
                "another writer of the range came first",
                where=record.where,
                fix="run it again: what stands there now decides what is left to do",
            ) from None
        return written

    def heartbeat(self, record: RangeRecord, beat: int) -> bool:
        """Tell that the filler of `record` is alive; False if the range is no longer its own."""
        try:
            with service_errors(self.where):
                self._client.update_item(
                    TableName=self._name,
                    Key=self._key(_subject(record.table, record.id_range)),
                    UpdateExpression="SET beat = :beat",
                    ConditionExpression="version = :version",
                    ExpressionAttributeValues={
                        ":beat": {"N": str(beat)},
                        ":version": {"S": record.version},
                    },
                )
        except ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                raise
            return False
        return True

    def remembers(self, instance: str) -> bool:
        """Whether all that this projection ever wrote to the data table is recorded here."""
        return self._get(instance) is not None

    def remember(self, instance: str) -> None:
        self._put({**self._key(instance), "state": {"S": "known"}}, {})

    def forget(self, table: TableId) -> None:
        """Delete the records of all ranges of a table. The data table stays known only if it was
        emptied as well, which the caller has seen to."""
        for record in self.records(table):
            with service_errors(self.where):
                self._client.delete_item(
                    TableName=self._name, Key=self._key(_subject(table, record.id_range))
                )

    # --- requests ---

    def _key(self, subject: str) -> dict[str, Any]:
        return {"projection": {"S": self._projection}, "subject": {"S": subject}}

    def _get(self, subject: str) -> Mapping[str, Any] | None:
        try:
            with service_errors(self.where):
                answer = self._client.get_item(
                    TableName=self._name, Key=self._key(subject), ConsistentRead=True
                )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return None
        item: Mapping[str, Any] | None = answer.get("Item")
        return item

    def _query(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            ConsistentRead=True,
            KeyConditionExpression="#p = :projection AND begins_with(subject, :prefix)",
            ExpressionAttributeNames={"#p": "projection"},
            ExpressionAttributeValues={":projection": {"S": self._projection}, ":prefix": {"S": prefix}},
        )
        try:
            with service_errors(self.where):
                for page in pages:
                    yield from page["Items"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise

    def _put(self, item: dict[str, Any], condition: dict[str, Any]) -> None:
        try:
            self._put_once(item, condition)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            self._create()
            self._put_once(item, condition)

    def _put_once(self, item: dict[str, Any], condition: dict[str, Any]) -> None:
        with service_errors(self.where):
            self._client.put_item(TableName=self._name, Item=item, **condition)

    def _create(self) -> None:
        with service_errors(self.where):
            # Several ranges may be the first ones at the same time.
            with suppress(self._client.exceptions.ResourceInUseException):
                self._client.create_table(
                    TableName=self._name,
                    KeySchema=[
                        {"AttributeName": "projection", "KeyType": "HASH"},
                        {"AttributeName": "subject", "KeyType": "RANGE"},
                    ],
                    AttributeDefinitions=[
                        {"AttributeName": "projection", "AttributeType": "S"},
                        {"AttributeName": "subject", "AttributeType": "S"},
                    ],
                    BillingMode="PAY_PER_REQUEST",
                )
            self._client.get_waiter("table_exists").wait(
                TableName=self._name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
            )


def _subject(table: TableId, id_range: str) -> str:
    return f"{table}#{id_range}"


def _expectation(expecting: RangeRecord | None, silent: bool) -> dict[str, Any]:
    if expecting is None:
        return {"ConditionExpression": "attribute_not_exists(subject)"}
    values = {":version": {"S": expecting.version}}
    if not silent:
        return {"ConditionExpression": "version = :version", "ExpressionAttributeValues": values}
    return {
        "ConditionExpression": "version = :version AND beat = :beat",
        "ExpressionAttributeValues": {**values, ":beat": {"N": str(expecting.beat)}},
    }


def _attributes(record: RangeRecord) -> dict[str, Any]:
    attributes = {
        "version": {"S": record.version},
        "state": {"S": record.state},
        "instance": {"S": record.instance},
        "mapping": {"S": record.mapping},
        "follows_key": {"BOOL": record.follows_key},
        "canaries": {"S": json.dumps([[canary.key, canary.until] for canary in record.canaries])},
        "beat": {"N": str(record.beat)},
    }
    if record.checkpoint is not None:
        attributes["baseline"] = {"N": str(record.checkpoint.baseline)}
        attributes["position"] = {"S": str(record.checkpoint.position)}
        attributes["rows"] = {"N": str(record.checkpoint.rows)}
    return attributes


def _record(table: TableId, id_range: str, item: Mapping[str, Any]) -> RangeRecord:
    return RangeRecord(
        table,
        id_range,
        version=item["version"]["S"],
        state=item["state"]["S"],
        instance=item["instance"]["S"],
        mapping=item["mapping"]["S"],
        follows_key=item["follows_key"]["BOOL"],
        checkpoint=_checkpoint(item),
        canaries=_canaries(json.loads(item["canaries"]["S"])),
        beat=int(item["beat"]["N"]),
    )


def _checkpoint(item: Mapping[str, Any]) -> RangeCheckpoint | None:
    if "position" not in item:
        return None
    position = Position.parse(item["position"]["S"])
    return RangeCheckpoint(int(item["baseline"]["N"]), position, int(item["rows"]["N"]))


def _canaries(listed: Sequence[Sequence[Any]]) -> tuple[Canary, ...]:
    return tuple(Canary(key, until) for key, until in listed)
