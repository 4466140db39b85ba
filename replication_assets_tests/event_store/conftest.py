"""Stores to test: a local folder, and a bucket of an S3 server."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store.log import DeltaEventLog
from replication_assets_tests.event_store.samples import ORDERS, ready

SECRET = "canary-9f2c"


@dataclass(frozen=True)
class Bucket:
    root: str
    options: dict[str, str]


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """URL of a running S3 server."""
    command = [sys.executable, "-m", "replication_assets_tests.event_store.object_store"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        port = ""
        while not port.strip().isdigit():
            port = server.stdout.readline()
            assert port, "the S3 server did not start"
        try:
            yield f"http://127.0.0.1:{port.strip()}"
        finally:
            server.terminate()


@pytest.fixture
def bucket(object_store: str) -> Bucket:
    name = f"events-{uuid.uuid4().hex}"
    client = boto3.client(
        "s3",
        endpoint_url=object_store,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key=SECRET,
    )
    client.create_bucket(Bucket=name)
    options = {
        "AWS_ENDPOINT_URL": object_store,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    return Bucket(f"s3://{name}/store", options)


@pytest.fixture
def local_store(tmp_path: Path) -> DeltaEventStore:
    return DeltaEventStore(str(tmp_path / "store"))


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest) -> DeltaEventStore:
    """The same promises on a disk and in an object store."""
    if request.param == "local":
        found: DeltaEventStore = request.getfixturevalue("local_store")
        return found
    place: Bucket = request.getfixturevalue("bucket")
    return DeltaEventStore(place.root, place.options)


@pytest.fixture
def log(local_store: DeltaEventStore) -> DeltaEventLog:
    """An empty log of orders on disk."""
    return ready(local_store.log(ORDERS))
