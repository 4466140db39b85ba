"""Targets for the tests of this room, and a look at what they store by a client that is not theirs."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from replication_assets.core.items.canonical import canonical
from replication_assets.core.items.spec import ItemKey, Items
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.targets.dynamodb import DynamoDbSettings, DynamoDbTarget
from replication_assets.targets.dynamodb.image import IMAGE
from replication_assets.targets.dynamodb.wire.credentials import Credentials
from replication_assets.targets.dynamodb.wire.exchange import Patience
from replication_assets.targets.dynamodb.wire.wire import WireSettings
from replication_assets_tests.contracts.projection_target import KEYED, Row, exact, table
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name, items_of

ORDERS = TableId("shop", "public", "orders")
BY_ID = Items(str(ORDERS), "set by the place", partition_key=ItemKey("pk", "order#${id}"))
EXACT = dataclasses.replace(BY_ID, types={"ratio": "string", "real": "string"})
"""Floats as texts: a number of DynamoDB has no sign at zero, and not their smallest values."""
BOOKS = ("_position", "_origin")


class DynamoDbPlace:
    """A target on a table of its own, or on one that is there."""

    def __init__(
        self,
        server: DynamoDbServer,
        items: Items = BY_ID,
        *,
        into: str | None = None,
        control: str | None = None,
        source: TableId = ORDERS,
        shared: bool = False,
        endpoint_url: str | None = None,
        **settings: Any,
    ) -> None:
        self.server = server
        self.into = into or fresh_table_name()
        self.items = dataclasses.replace(items, table=str(source), into=self.into)
        self.control = control or fresh_table_name()
        self.source = source
        self.settings = DynamoDbSettings(
            "serving",
            wire_settings(server, endpoint_url),
            control_table=self.control,
            **settings,
        )
        self.target = DynamoDbTarget(self.settings, self.items, source, shared=shared)

    def rival(self, items: Items | None = None, **settings: Any) -> DynamoDbPlace:
        """Another process's target on the same tables."""
        return DynamoDbPlace(
            self.server,
            items or self.items,
            into=self.into,
            control=self.control,
            source=self.source,
            **settings,
        )

    def items_stored(self) -> list[dict[str, Any]]:
        """Everything in the table, tombstones and parts included."""
        return [as_sent(item) for item in items_of(self.server, self.into)]

    def live(self, id_range: str | None = None) -> list[dict[str, Any]]:
        wrote = f"{self.source}#" + (id_range or "")
        return [
            item
            for item in self.items_stored()
            if "_deleted" not in item
            and "_part" not in item
            and item.get("_origin", {}).get("S", "").startswith(wrote)
        ]

    def holds(self, rows: Sequence[Row], id_range: str, schema: TableSchema = KEYED) -> None:
        image = pa.Table.from_batches(self.target.image(schema, table(rows, schema).to_batches()), IMAGE)
        wanted = [
            (each["item"], f"{each['_epoch']:010}-{each['_commit_position']:020}-{each['_sequence']:020}")
            for each in image.to_pylist()
        ]
        assert sorted(found(item) for item in self.live(id_range)) == sorted(wanted)

    def stored(self, id_range: str) -> pa.Table:
        """Attributes of texts and whole numbers; null where an item lacks one."""
        rows = [
            {name: plain(value) for name, value in item.items() if name not in BOOKS}
            for item in self.live(id_range)
        ]
        names = sorted({name for each in rows for name in each})
        return pa.Table.from_pylist([{name: each.get(name) for name in names} for each in rows])

    def empty(self) -> None:
        client = self.server.client()
        for item in self.items_stored():
            key = {key.name: item[key.name] for key in self.items.keys}
            client.delete_item(TableName=self.into, Key=key)

    def drop(self) -> None:
        self.server.client().delete_table(TableName=self.into)


def wire_settings(server: DynamoDbServer, endpoint_url: str | None = None) -> WireSettings:
    return WireSettings(
        region=server.region,
        endpoint_url=endpoint_url or server.endpoint_url,
        credentials=Credentials(server.access_key, server.secret_key),
        connections=8,
        patience=Patience(max_age=30),
        backoff_base=0.002,
    )


def as_sent(content: Any) -> Any:
    """What boto3 read, as DynamoDB sent it: binary values in base64."""
    if isinstance(content, bytes):
        return base64.b64encode(content).decode()
    if isinstance(content, dict):
        return {name: as_sent(each) for name, each in content.items()}
    return [as_sent(each) for each in content] if isinstance(content, list) else content


def found(item: Mapping[str, Any]) -> tuple[str, str]:
    """An item without the projection's books, and its position."""
    return canonical({name: value for name, value in item.items() if name not in BOOKS}), item["_position"][
        "S"
    ]


def plain(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    return str(content) if kind != "N" else int(content) if content.lstrip("-").isdigit() else str(content)


__all__ = ["BY_ID", "ORDERS", "DynamoDbPlace", "exact", "found", "wire_settings"]
