"""Files that DMS lands in a bucket, through the event store, to items of DynamoDB and a lakehouse.

The widgets of a monolith: DMS writes a full load and files of changes, one a minute, and a
microservice reads items. Captures die at every place they can, and files land late and twice.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pytest

from replication_assets.catalog import (
    Catalog,
    DeltaProjection,
    DynamoDbProjection,
    EventStoreConfig,
    ItemKey,
    Items,
    LandedSourceConfig,
    Table,
)
from replication_assets.core.events import OP
from replication_assets.core.id_ranges import ByBounds
from replication_assets.core.schema import TableId
from replication_assets.declarations.projections import Projection
from replication_assets.flows.capture import FlushPolicy
from replication_assets.secret_references import EnvVar
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name, items_of
from replication_assets_tests.e2e.system import SOURCE, System
from replication_assets_tests.e2e.workers import run_and_die

WIDGETS = TableId(SOURCE, "monolith", "widgets")
COLUMNS = ["id bigint", "name text", "price numeric(10,2)", "made_at timestamp"]
PLACES = (
    "landed.files_read",
    "landed.files_told",
    "capture.read",
    "capture.table_committed",
    "capture.tables_committed",
    "capture.recorded",
)
"""Where a capture dies, one after the other."""


@dataclass(frozen=True)
class Bucket:
    """The landing place, written to as DMS does; `moto` holds S3 and DynamoDB."""

    moto: DynamoDbServer
    name: str

    def land(self, path: str, text: str) -> None:
        self._client().put_object(Bucket=self.name, Key=f"lake/{path}", Body=text.encode())

    def make(self) -> None:
        where = {"LocationConstraint": self.moto.region}
        self._client().create_bucket(Bucket=self.name, CreateBucketConfiguration=where)

    def _client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.moto.endpoint_url,
            region_name=self.moto.region,
            aws_access_key_id=self.moto.access_key,
            aws_secret_access_key=self.moto.secret_key,
        )


@pytest.fixture
def bucket(moto_dynamodb: DynamoDbServer, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("TEST_AWS_KEY", moto_dynamodb.access_key)
    monkeypatch.setenv("TEST_AWS_SECRET", moto_dynamodb.secret_key)
    made = Bucket(moto_dynamodb, f"landed-{uuid.uuid4().hex[:12]}")
    made.make()
    return made


def system(bucket: Bucket, root: Path, *projections: Projection) -> System:
    source = LandedSourceConfig(
        SOURCE,
        root=f"s3://{bucket.name}/lake",
        columns={"monolith.widgets": COLUMNS},
        timestamp_column="changed_at",
        storage_options={
            "AWS_ENDPOINT_URL": bucket.moto.endpoint_url,
            "AWS_REGION": bucket.moto.region,
            "AWS_ACCESS_KEY_ID": EnvVar("TEST_AWS_KEY"),
            "AWS_SECRET_ACCESS_KEY": EnvVar("TEST_AWS_SECRET"),
        },
    )
    catalog = Catalog(
        event_store=EventStoreConfig(root=str(root / "event_store")),
        sources=[source],
        tables=[Table(str(WIDGETS), key=["id"], id_ranges=ByBounds((50,)))],
        projections=list(projections),
    )
    return System(catalog.validate(), "")


def lakehouse(root: Path) -> DeltaProjection:
    return DeltaProjection("lake", tables=[f"{SOURCE}.*"], root=str(root / "lake"))


def row(key: int, price: str = "9.50") -> str:
    return f"{key},widget {key},{price},2026-11-21 10:00:00.000000"


def test_widgets_land_as_csv_and_become_items(bucket: Bucket, tmp_path: Path) -> None:
    into = fresh_table_name()
    serving = DynamoDbProjection(
        "serving",
        items=[Items(str(WIDGETS), into, partition_key=ItemKey("pk", "widget#${id}"))],
        region=bucket.moto.region,
        endpoint_url=bucket.moto.endpoint_url,
        access_key_id=EnvVar("TEST_AWS_KEY"),
        secret_access_key=EnvVar("TEST_AWS_SECRET"),
        control_table=fresh_table_name(),
    )
    made = system(bucket, tmp_path, serving)
    folder = "monolith/widgets"
    bucket.land(f"{folder}/LOAD00000001.csv", f"2026-11-21 10:00:00.000000,{row(1)}\n")
    made.prepare()
    made.load_all()
    bucket.land(
        f"{folder}/20261121-1030000000.csv",
        "".join(f"I,2026-11-21 10:30:0{key}.000000,{row(key)}\n" for key in (2, 3)),
    )
    made.capture()
    made.project()
    bucket.land(
        f"{folder}/20261121-1031000000.csv",
        f"U,2026-11-21 10:30:30.000000,{row(2, '10.25')}\nD,2026-11-21 10:30:31.000000,{row(3)}\n",
    )
    made.capture()
    made.project()
    items = {item["pk"]["S"]: item for item in items_of(bucket.moto, into) if "_deleted" not in item}
    assert {key: item["price"]["N"] for key, item in items.items()} == {
        "widget#1": "9.5",
        "widget#2": "10.25",
    }
    assert items["widget#1"]["name"] == {"S": "widget 1"}


def test_captures_that_die_store_every_row_once_though_files_come_late_and_twice(
    bucket: Bucket, tmp_path: Path
) -> None:
    made = system(bucket, tmp_path, lakehouse(tmp_path))
    made.prepare()
    made.load_all()
    random, minutes, changes = Random(11), list(range(12)), 0
    rows: dict[int, str] = {}
    texts: dict[str, str] = {}
    for minute in minutes:
        lines = []
        for second in range(20):
            key, price = random.randrange(100), f"{minute}.{second:02}"
            op = "D" if key in rows and random.random() < 0.2 else "U" if key in rows else "I"
            lines.append(f"{op},2026-11-21 10:{minute:02}:{second:02}.000000,{row(key, price)}\n")
            rows.pop(key, None)
            if op != "D":
                rows[key] = price
            changes += 1
        # A restart: the last rows of the minute before stand here again.
        again = texts[_name(minute - 1)].splitlines(keepends=True)[-5:] if minute in (4, 9) else []
        texts[_name(minute)] = "".join([*again, *lines])
    for number, place in enumerate(PLACES):
        for minute in minutes[2 * number : 2 * number + 2]:
            bucket.land(f"monolith/widgets/{_name(minute)}", texts[_name(minute)])
        run_and_die(place, _capture_in_small_flushes, made)
        made.capture()
    made.project()
    log = made.events(WIDGETS)
    stored = Counter(op for op in log[OP].to_pylist() if op in ("I", "U", "D"))
    assert stored.total() == changes
    found = [each for batch in made.target(WIDGETS).read() for each in batch.to_pylist()]
    assert {each["id"]: str(each["price"]) for each in found} == rows
    bucket.land("monolith/widgets/20261121-095900000.csv", f"I,2026-11-21 09:59:00.000000,{row(1, '0.00')}\n")
    made.capture()
    made.project()
    after = {
        each["id"]: str(each["price"]) for batch in made.target(WIDGETS).read() for each in batch.to_pylist()
    }
    # Older than all the rest: only a key that nothing else tells of is new.
    assert after == {1: "0.00"} | rows if 1 not in _told(texts) else after == rows


def _name(minute: int) -> str:
    return f"20261121-10{minute:02}590000.csv"


def _told(texts: dict[str, str]) -> set[int]:
    return {int(line.split(",")[2]) for text in texts.values() for line in text.splitlines()}


def _capture_in_small_flushes(made: System) -> None:
    made.capture(policy=FlushPolicy(seconds=0))
