"""What projections into Kinesis data streams need: to write records, and to read how far they got."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.declarations import KinesisProjection
from replication_assets.iam.keys import key_statement
from replication_assets.iam.place import Place
from replication_assets.iam.policy import Statement

WRITE = ("kinesis:DescribeStreamSummary", "kinesis:PutRecords")
READ = ("kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards")
MAKE = ("kinesis:CreateStream",)
_KEY = ("kms:GenerateDataKey", "kms:Decrypt")


def stream_statements(
    place: Place,
    projection: KinesisProjection,
    streams: Sequence[str],
    kms_keys: Sequence[str],
    *,
    create: bool,
) -> Iterator[Statement]:
    """With `create` a missing stream may be made. Whether streams are encrypted is not declared: with
    `kms_keys` they may be."""
    region = projection.region
    arns = tuple(place.arn("kinesis", f"stream/{each}", region) for each in sorted(set(streams)))
    yield Statement("write streams", WRITE, arns)
    yield Statement("read streams", READ, arns)
    if create and projection.shards is not None:
        yield Statement("make streams", MAKE, arns)
    yield from (key_statement(place, key, "kinesis", _KEY, region) for key in kms_keys)
