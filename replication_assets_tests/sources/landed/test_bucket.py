"""The same from a prefix of a bucket: listed, read, and told apart from places that are not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from replication_assets.core.envelopes.types import spelled_column
from replication_assets.errors import DecodeError, SourceNotReady
from replication_assets.event_store import DeltaEventStore
from replication_assets.sources.landed.layout import FileLayout
from replication_assets.sources.landed.place import LandingPlace
from replication_assets.sources.landed.source import LandedSource
from replication_assets_tests.event_store.conftest import SECRET, Bucket
from replication_assets_tests.sources.landed.landing import FIRST, SECOND, WIDGETS, events


@pytest.fixture
def source(bucket: Bucket, tmp_path: Path) -> LandedSource:
    columns = {"shop.widgets": (spelled_column("id bigint"), spelled_column("name text"))}
    place = LandingPlace(f"{bucket.root}/dms", bucket.options)
    journal = DeltaEventStore(str(tmp_path / "store")).offsets("lake")
    return LandedSource("lake", place, FileLayout(columns), journal)


def land(bucket: Bucket, path: str, text: str) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=bucket.options["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key=SECRET,
    )
    name, _, prefix = bucket.root.removeprefix("s3://").partition("/")
    client.put_object(Bucket=name, Key=f"{prefix}/dms/{path}", Body=text.encode())


def test_objects_are_read_once_from_before_the_prefix_is_there(source: LandedSource, bucket: Bucket) -> None:
    tables = [(WIDGETS, source.reflect(WIDGETS, key=["id"]))]
    after = source.setup(tables).start
    assert source.status().head == 0
    land(bucket, f"shop/widgets/2026/11/21/{FIRST}.csv", "I,1,a\nI,2,ä\n")
    land(bucket, "shop/widgets/LOAD00000001.csv", "1,old\n")
    with source.changes(
        tables, epoch=1, after=after, upto=source.status().head, stop=lambda: False
    ) as stream:
        found = list(stream)
    assert events(found) == [("I", 1, "old"), ("I", 1, "a"), ("I", 2, "ä")]
    assert source.status().head == found[-1].through


def test_a_torn_object_is_named_with_its_bucket(source: LandedSource, bucket: Bucket) -> None:
    tables = [(WIDGETS, source.reflect(WIDGETS, key=["id"]))]
    source.setup(tables)
    land(bucket, f"shop/widgets/{SECOND}.csv", "I,1,a\nI,2")
    where = f"{bucket.root}/dms/shop/widgets/{SECOND}.csv"
    with (
        pytest.raises(DecodeError, match=f"{where}: row 2"),
        source.changes(tables, epoch=1, after=0, upto=1, stop=lambda: False) as stream,
    ):
        list(stream)


def test_a_bucket_that_is_not_there_is_told_without_a_secret(source: LandedSource) -> None:
    elsewhere = replace(source.place, root="s3://no-such-bucket/dms")
    with pytest.raises(SourceNotReady, match="no such folder or bucket") as raised:
        elsewhere.listing()
    assert SECRET not in f"{raised.value} {elsewhere!r}"
