"""Owns the record of a table's capacity before a load raised it, and of the loads that hold it up.

One item of a control table, changed by conditional writes only, so that loads that begin and
end in several processes at once agree on it. The settings stand there before anything is
changed, and go when they are restored: a process that is killed leaves the record, and the
next that looks knows what to restore. Each load writes until when it lives, and renews that
while it does; the clocks of the machines may differ by minutes.

Refused: a second record over a first one, which would take raised settings for the old ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from replication_assets.targets.dynamodb.tables import KeyAttribute, TableSpec, ensure, service_errors

LEASE_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Holders:
    """What the record says: the settings from before, and until when (epoch seconds) each load
    that needs the raised capacity is known to live."""

    before: str
    until: Mapping[str, int]

    def alive(self, now: float) -> bool:
        return any(until > now for until in self.until.values())


class CapacityRecord:
    """The record of one data table: the item at `key` (DynamoDB's JSON) of `table`, which is made
    with that key if it is missing."""

    def __init__(
        self, client: Any, table: str, key: Mapping[str, Any], *, now: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._table = table
        self._key = dict(key)
        self.now = now

    @property
    def where(self) -> str:
        return f"DynamoDB table {self._table}"

    def read(self) -> Holders | None:
        with service_errors(self.where):
            try:
                answer = self._client.get_item(TableName=self._table, Key=self._key, ConsistentRead=True)
            except self._client.exceptions.ResourceNotFoundException:
                return None
        item = answer.get("Item")
        if item is None:
            return None
        return Holders(item["units_before"]["S"], _until(item))

    def begin(self, load: str, before: str) -> bool:
        """Make the record for a load that is the first one; False if there is a record."""
        item = {**self._key, "units_before": {"S": before}, "alive_until": _holders({load: self._lease()})}
        request = {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(units_before)",
        }
        with service_errors(self.where):
            try:
                self._put_made(request)
            except self._client.exceptions.ConditionalCheckFailedException:
                # boto3 sends again what was not answered: the record may be this load's own.
                record = self.read()
                return record is not None and load in record.until
        return True

    def join(self, load: str) -> Holders | None:
        """Enter a load beside those that are there; None if there is no record."""
        try:
            return self._update(
                "SET alive_until.#load = :until",
                "attribute_exists(units_before)",
                names={"#load": load},
                values={":until": {"N": str(self._lease())}},
            )
        except self._client.exceptions.ResourceNotFoundException:
            return None

    def renew(self, load: str) -> None:
        """Tell that a load lives on. One that was taken for dead and restored is not entered again."""
        self._update(
            "SET alive_until.#load = :until",
            "attribute_exists(alive_until.#load)",
            names={"#load": load},
            values={":until": {"N": str(self._lease())}},
        )

    def leave(self, load: str) -> Holders | None:
        """What is recorded without the load; None if there is no record any more."""
        return self._update(
            "REMOVE alive_until.#load", "attribute_exists(units_before)", names={"#load": load}
        )

    def forget(self, seen: Holders) -> bool:
        """Drop the record, unless a load entered or left since it was `seen`."""
        with service_errors(self.where), suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.delete_item(
                TableName=self._table,
                Key=self._key,
                ConditionExpression="alive_until = :seen",
                ExpressionAttributeValues={":seen": _holders(seen.until)},
            )
            return True
        return False

    def _put_made(self, request: Mapping[str, Any]) -> None:
        try:
            self._client.put_item(**request)
        except self._client.exceptions.ResourceNotFoundException:
            key = tuple(KeyAttribute(name, next(iter(value))) for name, value in self._key.items())
            ensure(self._client, TableSpec(self._table, key))
            self._client.put_item(**request)

    def _update(
        self,
        expression: str,
        condition: str,
        *,
        names: Mapping[str, str],
        values: Mapping[str, Any] | None = None,
    ) -> Holders | None:
        request: dict[str, Any] = {
            "TableName": self._table,
            "Key": self._key,
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ReturnValues": "ALL_NEW",
        }
        if values is not None:
            request["ExpressionAttributeValues"] = values
        with service_errors(self.where):
            try:
                item = self._client.update_item(**request)["Attributes"]
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                return None
        return Holders(item["units_before"]["S"], _until(item))

    def _lease(self) -> int:
        return int(self.now()) + LEASE_SECONDS


def _holders(until: Mapping[str, int]) -> dict[str, Any]:
    return {"M": {load: {"N": str(at)} for load, at in until.items()}}


def _until(item: Mapping[str, Any]) -> dict[str, int]:
    return {load: int(at["N"]) for load, at in item["alive_until"]["M"].items()}
