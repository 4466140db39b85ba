"""Items as real tables take them and give them back."""

from __future__ import annotations

import base64
import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from replication_assets.core.items.canonical import canonical, item_size
from replication_assets.core.items.documents import from_json
from replication_assets.core.items.oversize import MAX_ITEM_BYTES
from replication_assets.core.items.spec import Attribute, Ttl
from replication_assets_tests.core.items.tables import SCHEMA, converted, only
from replication_assets_tests.dynamodb_servers import DynamoDbServer, items_of
from replication_assets_tests.targets.dynamodb.tables_for_tests import create_table

ROWS: list[dict[str, Any]] = [
    {
        "name": 'a "b" \\ \n é😀',
        "total": Decimal("-1.50"),
        "fine": Decimal("1234567890123456789012345678.0123456789"),
        "any_number": "1.5E+100",
        "ratio": 1e-100,
        "small": 0.1,
        "paid": True,
        "made_at": dt.datetime(2024, 1, 2, 3, 4, 5, 6, dt.UTC),
        "local_at": dt.datetime(1, 1, 1),
        "day": dt.date(9999, 12, 31),
        "raw": b"\x00\xff",
        "doc": '{"z": [1.10, null, true, {"é": ""}], "a": {"b": {}}}',
        "sheet": "<a b='1'>x<c/><c/></a>",
        "tags": '{b,a,""}',
    },
    {"name": "", "raw": b"", "ratio": float("nan"), "tags": "{}", "any_number": "9.9e125"},
    {},
    {"any_number": "-" + "1" * 38, "fine": Decimal("1E-10"), "ratio": 123456789.125, "doc": "[]"},
]


@pytest.mark.parametrize("nulls", ["omit", "null"])
def test_items_of_every_type_are_read_back_as_they_were_written(dynamodb: DynamoDbServer, nulls: str) -> None:
    items = only(
        *SCHEMA.names,
        attributes=[Attribute("inner", fields=[Attribute("l", elements=[Attribute("", "${total}")])])],
        types={"tags": "string-set"},
        ttl=Ttl("expires", column="made_at"),
        nulls=nulls,
    )
    done = converted(items, *ROWS)
    assert done.refusals == ()
    written = done.items["item"].to_pylist()
    table = create_table(dynamodb)
    for text in written:
        dynamodb.client().put_item(TableName=table, Item=_for_boto3(json.loads(text)))
    read = [canonical(_from_boto3(item)) for item in items_of(dynamodb, table)]
    assert sorted(read) == sorted(written)


def test_an_item_of_the_greatest_size_is_taken_and_one_byte_more_is_not(
    dynamodb_local: DynamoDbServer,
) -> None:
    table = create_table(dynamodb_local)
    # Numbers of which the size is exact.
    item = {"pk": {"S": "k"}, "m": json.loads(from_json('{"a": [1, 123, -12, "é", null], "b": {}}', 0).text)}
    full = {**item, "rest": {"S": "x" * (MAX_ITEM_BYTES - item_size(item) - 4)}}
    assert item_size(full) == MAX_ITEM_BYTES
    dynamodb_local.client().put_item(TableName=table, Item=full)
    with pytest.raises(ClientError, match="size has exceeded"):
        dynamodb_local.client().put_item(TableName=table, Item={**full, "y": {"S": ""}})


@pytest.mark.parametrize("kind", ["M", "L"])
def test_a_document_of_the_greatest_depth_is_taken_and_a_deeper_one_is_not(
    dynamodb_local: DynamoDbServer, kind: str
) -> None:
    table = create_table(dynamodb_local)
    left, right = ("[", "]") if kind == "L" else ('{"a":', "}")
    deepest = json.loads(from_json(left * 31 + "1" + right * 31, 0).text)
    dynamodb_local.client().put_item(TableName=table, Item={"pk": {"S": "k"}, "a": deepest})
    deeper = {"L": [deepest]}
    with pytest.raises(ClientError, match="Nesting Levels"):
        dynamodb_local.client().put_item(TableName=table, Item={"pk": {"S": "k"}, "a": deeper})


def _for_boto3(item: dict[str, Any]) -> dict[str, Any]:
    """boto3 is given bytes where the wire has base64."""
    return {name: _converted(value, base64.b64decode) for name, value in item.items()}


def _from_boto3(item: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _converted(value, lambda raw: base64.b64encode(raw).decode()) for name, value in item.items()
    }


def _converted(value: dict[str, Any], binary: Any) -> dict[str, Any]:
    ((kind, content),) = value.items()
    if kind == "B":
        return {"B": binary(content)}
    if kind == "L":
        return {"L": [_converted(each, binary) for each in content]}
    return {"M": {n: _converted(each, binary) for n, each in content.items()}} if kind == "M" else value
