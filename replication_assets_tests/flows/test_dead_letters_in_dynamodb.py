"""Dead letters of a real target: provoked, mended at the source or in the declaration, and kept
through a crash."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from replication_assets.core.items.spec import ItemKey, Items, WriteCondition
from replication_assets.event_store import DeltaEventStore
from replication_assets.flows.dead_letters import RetryReceipt, letter_events, retry
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.event_store.samples import ORDERS
from replication_assets_tests.flows.refusing_target import Shop
from replication_assets_tests.targets.dynamodb.places import BY_ID, DynamoDbPlace, found

JSON_NOTES = dataclasses.replace(BY_ID, types={"note": "json"})
BY_NOTE = Items(str(ORDERS), "set by the place", partition_key=ItemKey("pk", "note#${note}"))


@dataclasses.dataclass
class Served:
    """The orders' log, projected to a table of DynamoDB."""

    shop: Shop
    place: DynamoDbPlace

    def happen(self, *changes: tuple[str, int, str | None]) -> None:
        """Capture these and project them."""
        self.shop.happen(*changes)
        self.shop.project()

    def retry(self) -> RetryReceipt:
        return retry(self.shop.store, self.place.target, self.shop.handling, ORDERS)

    def items(self) -> dict[str, Any]:
        """The note of each item by its key."""
        stored = [json.loads(found(item)[0]) for item in self.place.live()]
        return {item["pk"]["S"]: next(iter(item.get("note", {"": None}).values())) for item in stored}


def served(folder: Path, server: DynamoDbServer, items: Items, **settings: float) -> Served:
    place = DynamoDbPlace(server, items, **settings)
    shop = Shop(DeltaEventStore(str(folder / "store")), place.target).begin()  # type: ignore[arg-type]
    return Served(shop, place)


def test_a_malformed_document_is_a_letter_until_the_source_mends_it(
    tmp_path: Path, dynamodb: DynamoDbServer
) -> None:
    orders = served(tmp_path, dynamodb, JSON_NOTES)
    orders.happen(("I", 1, '{"a":1}'), ("I", 2, '{"a":'))
    assert orders.items() == {"order#1": {"a": {"N": "1"}}, "order#2": None}
    assert orders.shop.open() == [(2, 2, "note", 1)]
    assert letter_events(orders.shop.store, ORDERS, orders.shop.letters.open())["note"].to_pylist() == [
        '{"a":'
    ]
    assert orders.retry() == RetryReceipt(refused=1)
    assert orders.shop.open() == [(2, 2, "note", 2)]
    orders.happen(("U", 2, '{"a":2}'))
    assert orders.items()["order#2"] == {"a": {"N": "2"}}
    assert orders.shop.open() == []
    assert orders.shop.closed() == {"superseded": 1}


def test_a_letter_is_applied_by_a_retry_once_the_declaration_is_mended(
    tmp_path: Path, dynamodb: DynamoDbServer
) -> None:
    orders = served(tmp_path, dynamodb, JSON_NOTES)
    orders.happen(("I", 1, "plain"), ("I", 2, "[]"))
    assert orders.items() == {"order#1": None, "order#2": []}
    orders.place = orders.place.rival(dataclasses.replace(orders.place.items, types={}))
    assert orders.retry() == RetryReceipt(applied=1)
    assert orders.items() == {"order#1": "plain", "order#2": "[]"}
    assert orders.shop.open() == []


def test_the_item_that_stood_in_for_a_refused_row_goes_once_the_row_is_accepted(
    tmp_path: Path, dynamodb: DynamoDbServer
) -> None:
    orders = served(tmp_path, dynamodb, BY_NOTE)
    orders.happen(("I", 1, "one"), ("I", 2, "two"), ("I", 3, "three"))
    # Without a note there is no key, and so no item: the last one stays.
    orders.happen(("U", 1, None), ("U", 2, None), ("U", 3, None))
    assert set(orders.items()) == {"note#one", "note#two", "note#three"}
    assert [letter[:3] for letter in orders.shop.open()] == [(1, 3, None), (2, 3, None), (3, 3, None)]
    orders.happen(("U", 1, "uno"), ("D", 2, None))
    assert set(orders.items()) == {"note#uno", "note#three"}
    assert [letter[:3] for letter in orders.shop.open()] == [(3, 3, None)]


CRASH = """
import os, signal, sys
from pathlib import Path
from replication_assets.targets.dynamodb.checkpoints import Checkpoints
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.flows.refusing_target import Shop
from replication_assets_tests.flows.test_dead_letters_in_dynamodb import JSON_NOTES, DeltaEventStore
from replication_assets_tests.targets.dynamodb.places import DynamoDbPlace
root, kind, url, into, control = sys.argv[1:]
server = DynamoDbServer(kind, url)
place = DynamoDbPlace(server, JSON_NOTES, into=into, control=control, lease_seconds=2)
Checkpoints.record = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
Shop(DeltaEventStore(root), place.target).project()
"""


def test_a_crash_between_a_letter_and_its_checkpoint_neither_loses_nor_doubles_it(
    tmp_path: Path, moto_dynamodb: DynamoDbServer
) -> None:
    orders = served(tmp_path, moto_dynamodb, JSON_NOTES, lease_seconds=2)
    orders.happen(("I", 1, '{"a":1}'))
    orders.shop.happen(("I", 2, '{"a":'), ("I", 3, "3"))
    place = orders.place
    arguments = [
        orders.shop.store.root,
        place.server.kind,
        place.server.endpoint_url,
        place.into,
        place.control,
    ]
    done = subprocess.run([sys.executable, "-c", CRASH, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    assert orders.shop.open() == [(2, 3, "note", 1)]
    assert orders.shop.project().how == "applied"
    assert orders.shop.open() == [(2, 3, "note", 2)]
    assert orders.items() == {"order#1": {"a": {"N": "1"}}, "order#2": None, "order#3": "3"}


@pytest.mark.parametrize("dynamodb", ["moto_dynamodb"], indirect=True)
def test_a_retry_of_a_whole_row_leaves_no_item_of_what_it_was(
    tmp_path: Path, dynamodb: DynamoDbServer
) -> None:
    orders = served(tmp_path, dynamodb, BY_NOTE)
    orders.happen(("I", 1, "one"), ("I", 2, "two"))
    orders.happen(("U", 1, "n" * 2100))  # longer than a partition key may be
    assert set(orders.items()) == {"note#one", "note#two"}
    shorter = dataclasses.replace(orders.place.items, partition_key=ItemKey("pk", "order#${id}"))
    orders.place = orders.place.rival(shorter)
    assert orders.retry() == RetryReceipt(applied=1)
    assert set(orders.items()) == {"order#1", "order#2"}


def test_a_row_that_a_condition_stopped_is_a_letter_until_it_holds_and_the_service_keeps_its_item(
    tmp_path: Path, dynamodb: DynamoDbServer
) -> None:
    unless_taken = WriteCondition("attribute_not_exists(taken_over)", on_change=True)
    orders = served(tmp_path, dynamodb, dataclasses.replace(BY_ID, condition=unless_taken))
    orders.happen(("I", 1, "one"), ("I", 2, "two"))
    client, key = dynamodb.client(), {"pk": {"S": "order#1"}}
    client.update_item(
        TableName=orders.place.into, Key=key, UpdateExpression="SET taken_over = :t",
        ExpressionAttributeValues={":t": {"BOOL": True}},
    )  # fmt: skip
    orders.happen(("U", 1, "uno"), ("U", 2, "due"))
    assert orders.items() == {"order#1": "one", "order#2": "due"}
    assert orders.shop.open() == [(1, 3, None, 1)]
    assert orders.retry() == RetryReceipt(refused=1)
    assert orders.items()["order#1"] == "one"
    client.update_item(TableName=orders.place.into, Key=key, UpdateExpression="REMOVE taken_over")
    assert orders.retry() == RetryReceipt(applied=1)
    assert orders.items() == {"order#1": "uno", "order#2": "due"}
    assert orders.shop.open() == []
