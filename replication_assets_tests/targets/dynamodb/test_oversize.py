"""Items over 400 KB, by each declared policy; and what is left over, when it is of no more use."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

import boto3
import pytest

from replication_assets.core.items.oversize import rejoined
from replication_assets.core.items.spec import ItemKey, S3Pointer, Split
from replication_assets.targets.dynamodb.oversize import part_keys
from replication_assets_tests.contracts.projection_target import (
    BASELINE,
    KEYED,
    A,
    apply,
    at,
    changes,
    fill,
    holds,
    row,
    table,
)
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name
from replication_assets_tests.targets.dynamodb.places import BY_ID, DynamoDbPlace
from replication_assets_tests.targets.dynamodb.test_target import Refused, by_key

HUGE = "é" * 250_000
"""Half a megabyte in UTF-8."""


# --- refused ---


def test_a_too_large_item_is_refused_and_the_others_are_written(dynamodb: DynamoDbServer) -> None:
    place, refused = DynamoDbPlace(dynamodb), Refused()
    rows = table([row(at(5), id=1, big=HUGE), row(at(5), id=2, big="x" * 390_000)])
    checkpoint = place.target.replace(A, KEYED, rows.to_batches(), BASELINE, at(5), refuse=refused)
    (only,) = refused.all
    assert (only.key, only.reason, only.column) == ('{"id":"1"}', "item-too-large", None)
    assert "500,0" in only.detail
    assert set(by_key(place)) == {"order#2"}
    assert checkpoint.rows == 1


# --- S3 ---


@pytest.fixture
def bucket(moto_dynamodb: DynamoDbServer) -> Any:
    """A bucket of moto, which also is an S3."""
    resource = boto3.resource(
        "s3",
        endpoint_url=moto_dynamodb.endpoint_url,
        region_name=moto_dynamodb.region,
        aws_access_key_id=moto_dynamodb.access_key,
        aws_secret_access_key=moto_dynamodb.secret_key,
    )
    name = fresh_table_name().replace("_", "-")
    return resource.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": moto_dynamodb.region}
    )


def pointing(dynamodb: DynamoDbServer, moto: DynamoDbServer, bucket: Any) -> DynamoDbPlace:
    items = dataclasses.replace(BY_ID, oversize=S3Pointer(bucket.name, prefix="big"))
    return DynamoDbPlace(dynamodb, items, s3_endpoint_url=moto.endpoint_url)


def content(bucket: Any, pointer: Any) -> bytes:
    name = pointer["M"]["s3"]["S"].removeprefix(f"s3://{bucket.name}/")
    body: bytes = bucket.Object(name).get()["Body"].read()
    assert int(pointer["M"]["bytes"]["N"]) == len(body)
    return body


def test_the_largest_attribute_goes_to_s3_and_the_item_points_there(
    dynamodb: DynamoDbServer, moto_dynamodb: DynamoDbServer, bucket: Any
) -> None:
    place = pointing(dynamodb, moto_dynamodb, bucket)
    rows = [row(at(5), id=1, name="kept", big=HUGE), row(at(5), id=2, name="small")]
    fill(place.target, rows, at(5))
    stored = by_key(place)
    assert stored["order#1"]["name"] == {"S": "kept"}
    assert content(bucket, stored["order#1"]["big"]) == HUGE.encode()
    apply(place.target, changes([row(at(6, 1), id=2, raw=b"\x00\xff" * 220_000)]), at(6, 1))
    assert content(bucket, by_key(place)["order#2"]["raw"]) == b"\x00\xff" * 220_000
    holds(place, [rows[0], row(at(6, 1), id=2, raw=b"\x00\xff" * 220_000)])


def test_objects_that_no_item_points_to_any_more_go_when_they_are_old(
    dynamodb: DynamoDbServer, moto_dynamodb: DynamoDbServer, bucket: Any
) -> None:
    place = pointing(dynamodb, moto_dynamodb, bucket)
    fill(place.target, [row(at(5), id=1, big=HUGE), row(at(5), id=2, big=HUGE)], at(5))
    apply(place.target, changes([row(at(6, 1), id=1, big="x" + HUGE)]), at(6, 1))
    assert len(list(bucket.objects.all())) == 3
    assert place.target.vacuum(dt.timedelta(days=1)) == 0
    assert place.target.vacuum(dt.timedelta(0)) == 1
    stored = by_key(place)
    assert content(bucket, stored["order#1"]["big"]) == ("x" + HUGE).encode()
    assert content(bucket, stored["order#2"]["big"]) == HUGE.encode()


# --- parts ---


def split(dynamodb: DynamoDbServer) -> DynamoDbPlace:
    items = dataclasses.replace(BY_ID, sort_key=ItemKey("sk", "v#${id}"), oversize=Split(part_bytes=200_000))
    return DynamoDbPlace(dynamodb, items)


def whole(place: DynamoDbPlace, key: str) -> dict[str, Any]:
    """The item put together as a reader would, by its key and nothing else."""
    stored = {(item["pk"]["S"], item["sk"]["S"]): item for item in place.items_stored()}
    base = stored[key, key.replace("order", "v")]
    parts = [stored[each["pk"]["S"], each["sk"]["S"]] for each in part_keys(base, ("pk", "sk"))]
    return rejoined(base, parts)


def parts_stored(place: DynamoDbPlace) -> int:
    return sum("_part" in item for item in place.items_stored())


def test_a_large_item_is_split_and_put_together_again(dynamodb: DynamoDbServer) -> None:
    place = split(dynamodb)
    rows = [row(at(5), id=1, name="kept", big=HUGE), row(at(5), id=2)]
    fill(place.target, rows, at(5))
    assert whole(place, "order#1")["big"] == {"S": HUGE}
    assert whole(place, "order#1")["name"] == {"S": "kept"}
    assert parts_stored(place) == 3
    holds(place, rows)
    assert place.target.checkpoint(A) is not None
    view = [each for batch in place.target.view(KEYED).read() for each in batch.to_pylist()]
    assert len(view) == 2


def test_parts_of_an_older_version_go_and_deletes_take_them_along(dynamodb: DynamoDbServer) -> None:
    place = split(dynamodb)
    fill(place.target, [row(at(5), id=1, big=HUGE), row(at(5), id=2, big=HUGE)], at(5))
    newer = row(at(6, 1), id=1, big=HUGE + HUGE)
    apply(place.target, changes([newer], [row(at(6, 2), id=2)]), at(6, 2))
    assert whole(place, "order#1")["big"] == {"S": HUGE + HUGE}
    assert parts_stored(place) == 6
    apply(place.target, changes([row(at(7, 1), id=1, big="small")]), at(7, 1))
    assert parts_stored(place) == 0
    checkpoint = place.target.checkpoint(A)
    assert checkpoint is not None
    assert checkpoint.rows == 1


def test_parts_that_a_killed_run_left_behind_go_in_time(dynamodb: DynamoDbServer) -> None:
    place = split(dynamodb)
    fill(place.target, [row(at(5), id=1, big=HUGE)], at(5))
    (part, *_) = [item for item in place.items_stored() if "_part" in item]
    older = "0000000001-00000000000000000004-00000000000000000000"
    left = json.loads(json.dumps(part).replace(part["_position"]["S"], older))
    left["_part"] = {"S": "x"}
    place.server.client().put_item(TableName=place.into, Item=left)
    assert parts_stored(place) == 4
    assert place.target.vacuum(dt.timedelta(0)) == 1
    assert whole(place, "order#1")["big"] == {"S": HUGE}
