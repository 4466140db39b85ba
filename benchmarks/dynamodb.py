"""Writes to DynamoDB beside boto3's: what they cost the client, and what DynamoDB Local takes."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from benchmarks import dynamodb_sample as sample
from benchmarks.dynamodb_endpoint import running_null_endpoint
from benchmarks.measure.machine import versions
from benchmarks.measure.report import Report, Table, Target
from benchmarks.measure.runs import Run, Timed, by_turns, run, run_here
from benchmarks.measure.scale import Scale

BATCH_WRITER, CLIENT, RAW = (
    "boto3 batch_writer",
    "boto3 client.batch_write_item",
    "urllib3, signed by botocore",
)
PUT, FILLED, APPLIED = (
    "boto3 client.put_item, conditional",
    "replication_assets, first fill",
    "replication_assets, changes",
)
_AT_ONCE = 25
_Path: TypeAlias = Callable[[str, int, Timed], int]
ABOUT = """\
Items of about 500 bytes, made of rows of six columns. The first fill of a range writes 25 items a
request without conditions, changes are put one by one on the condition that what stands there is
older, and both begin with Arrow batches, as a fold gives them, and end with the checkpoint. The paths
beside them are given items that are ready: dicts for boto3, JSON for the raw one, which sends over 16
connections and looks at no answer but for its status. The first table is against an endpoint in a
process of its own that answers at once, so that what the client costs is seen; the second against
Amazon's DynamoDB Local, which is the limit there."""

NOTES = """\
Where a first fill's client time goes, by profile: of about 6.5 µs an item 1.3 are rows becoming items
(Arrow, whole columns), 0.3 joining them into requests, 1.5 the signature (SHA-256 of each body), 2.5 the
operating system taking the bytes, and 1 selecting, reading and understanding answers. Changes cost a
request each, because DynamoDB takes no condition in a batch: some 25 µs of it are the system's, 12 the
signature, and 10 the answer, which holds the former item by which rows are counted. DynamoDB Local is
slower than any path here but boto3's: how fast it is filled depends on it alone."""


def measure(scale: Scale, home: Path) -> Report:  # noqa: ARG001 - both servers hold all in memory
    from replication_assets_tests.dynamodb_servers import running_dynamodb_local

    with running_dynamodb_local(lasting=True) as local, running_null_endpoint(local.endpoint_url) as null:
        client = by_turns(_paths(null, scale, 150_000, 8_000), scale.rounds)
        stored = by_turns(_paths(local.endpoint_url, scale, 20_000, 4_000), scale.rounds)
    return Report(
        "dynamodb",
        "DynamoDB",
        ABOUT,
        versions("boto3", "urllib3", "pyarrow") + ", DynamoDB Local",
        (
            _table("Against an endpoint that answers at once, one process", client),
            _table("Against DynamoDB Local", stored),
        ),
        (
            Target.at_least(
                "client time of batch_writer, of a first fill's",
                10,
                client[BATCH_WRITER].client_micros() / client[FILLED].client_micros(),
                short=scale.short,
            ),
            Target.at_least(
                "first fill: of the raw path's rate on DynamoDB Local",
                0.9,
                stored[FILLED].rate / stored[RAW].rate,
                short=scale.short,
            ),
        ),
        notes=NOTES,
    )


def _table(title: str, runs: dict[str, Run]) -> Table:
    writer, put = runs[BATCH_WRITER], runs[PUT]
    lines = []
    for name, each in runs.items():
        peer = put if name in (PUT, APPLIED) else writer
        lines.append(
            (
                name,
                f"{each.rows:,}",
                f"{each.rate:,.0f}",
                f"{each.client_micros():.1f}",
                f"{peer.client_micros() / each.client_micros():.1f}",
                f"{each.peak_mib:.0f}",
            )
        )
    headers = ("path", "items", "items/s", "client µs/item", "items for the same client time", "peak MiB")
    return Table(title, headers, tuple(lines))


def _paths(endpoint: str, scale: Scale, many: int, few: int) -> dict[str, Callable[[], Run]]:
    """Paths that take long for an item are given `few`."""
    paths: dict[str, tuple[_Path, int]] = {
        BATCH_WRITER: (_batch_writer, few),
        CLIENT: (_client, few),
        RAW: (_raw, many),
        FILLED: (_filled, many),
        PUT: (_put, few // 4),
        APPLIED: (_applied, many // 4),
    }
    return {
        name: partial(run_here if scale.short else run, partial(path, endpoint, scale.of(items, 30)))
        for name, (path, items) in paths.items()
    }


# --- what is there without us ---


def _boto3(endpoint: str) -> tuple[Any, str]:
    """A client, and a new table."""
    import boto3

    client = boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name=sample.REGION,
        aws_access_key_id=sample.ACCESS_KEY,
        aws_secret_access_key=sample.SECRET_KEY,
    )
    name = _new_name()
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return client, name


def _new_name() -> str:
    return f"benchmark_{uuid.uuid4().hex[:12]}"


def _batch_writer(endpoint: str, count: int, timed: Timed) -> int:
    import boto3

    _, name = _boto3(endpoint)
    table = boto3.resource(
        "dynamodb",
        endpoint_url=endpoint,
        region_name=sample.REGION,
        aws_access_key_id=sample.ACCESS_KEY,
        aws_secret_access_key=sample.SECRET_KEY,
    ).Table(name)
    items = list(sample.plain_items(count))
    with timed, table.batch_writer() as writer:
        for item in items:
            writer.put_item(Item=item)
    return count


def _client(endpoint: str, count: int, timed: Timed) -> int:
    client, name = _boto3(endpoint)
    batches = [[{"PutRequest": {"Item": item}} for item in batch] for batch in _batches(_typed(count))]
    with timed:
        for batch in batches:
            client.batch_write_item(RequestItems={name: batch})
    return count


def _put(endpoint: str, count: int, timed: Timed) -> int:
    client, name = _boto3(endpoint)
    items = list(_typed(count))
    with timed:
        for item in items:
            client.put_item(
                TableName=name,
                Item=item,
                ConditionExpression="attribute_not_exists(#p) OR #p < :p",
                ExpressionAttributeNames={"#p": "_position"},
                ExpressionAttributeValues={":p": {"S": "1"}},
            )
    return count


def _typed(count: int) -> Iterator[dict[str, Any]]:
    """Items as DynamoDB writes them."""
    for item in sample.plain_items(count):
        yield {
            name: {"N": str(value)} if isinstance(value, int) else {"S": value}
            for name, value in item.items()
        }


def _batches(items: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(items, _AT_ONCE)):
        yield batch


def _raw(endpoint: str, count: int, timed: Timed) -> int:
    """Threads that each join texts of items, sign, send and wait."""
    import urllib3
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    _, name = _boto3(endpoint)
    batches = _batches(orjson.dumps(item) for item in _typed(count))
    signer = SigV4Auth(Credentials(sample.ACCESS_KEY, sample.SECRET_KEY), "dynamodb", sample.REGION)
    pool = urllib3.PoolManager(maxsize=sample.CONNECTIONS)
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem",
    }

    def send(ready: Iterator[list[bytes]]) -> None:
        for batch in ready:
            puts = b'}},{"PutRequest":{"Item":'.join(batch)
            body = b'{"RequestItems":{"%s":[{"PutRequest":{"Item":%s}}]}}' % (name.encode(), puts)
            request = AWSRequest("POST", f"{endpoint}/", headers=headers, data=body)
            signer.add_auth(request)
            answer = pool.urlopen("POST", f"{endpoint}/", body=body, headers=dict(request.headers))
            if answer.status != 200:
                raise RuntimeError(f"the raw path was answered {answer.status}")

    ready = list(batches)
    threads = [
        threading.Thread(target=send, args=(iter(ready[first :: sample.CONNECTIONS]),))
        for first in range(sample.CONNECTIONS)
    ]
    with timed:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return count


# --- ours ---


def _filled(endpoint: str, count: int, timed: Timed) -> int:
    target = sample.target(endpoint, _new_name())
    target.replace("empty", sample.SCHEMA, [], 1, sample.filled_up_to(1))
    batches = list(sample.folded(count, 2))
    with timed:
        checkpoint = target.replace(sample.ID_RANGE, sample.SCHEMA, batches, 1, sample.filled_up_to(2))
    return checkpoint.rows


def _applied(endpoint: str, count: int, timed: Timed) -> int:
    """Changes of rows that are there."""
    target = sample.target(endpoint, _new_name())
    target.replace(sample.ID_RANGE, sample.SCHEMA, sample.folded(count, 2), 1, sample.filled_up_to(2))
    changed = sample.changes(count, 3)
    target.checkpoint(sample.ID_RANGE)
    with timed:
        checkpoint = target.apply(sample.ID_RANGE, sample.SCHEMA, changed, 1, sample.filled_up_to(3))
    if checkpoint.rows != count:
        raise RuntimeError("changes of rows changed how many there are")
    return count
