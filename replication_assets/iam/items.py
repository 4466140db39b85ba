"""What projections into DynamoDB need: their tables, the control table, capacity, large items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from replication_assets.core.items.spec import S3Pointer
from replication_assets.declarations import DynamoDbProjection
from replication_assets.iam.place import Place
from replication_assets.iam.policy import Statement
from replication_assets.iam.storage import objects

DATA = (
    "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:PutItem",
    "dynamodb:Scan",
)
CONTROL = (
    "dynamodb:DescribeTable",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
)
MAKE_DATA = ("dynamodb:CreateTable", "dynamodb:UpdateTimeToLive")
MAKE_CONTROL = ("dynamodb:CreateTable",)
CAPACITY = ("dynamodb:UpdateTable",)
LARGE_ITEMS = ("s3:PutObject", "s3:DeleteObject")


def item_statements(
    place: Place, projection: DynamoDbProjection, folders: Mapping[str, str], *, create: bool
) -> Iterator[Statement]:
    """With `create` missing tables may be made, and time to live be switched on. `folders` are those
    of source tables, below which their large items are."""

    def arns(*names: str) -> tuple[str, ...]:
        return tuple(place.arn("dynamodb", f"table/{name}", projection.region) for name in names)

    data = arns(*(items.into for items in projection.items))
    yield Statement("items", DATA, data)
    yield Statement("checkpoints of items", CONTROL, arns(projection.control_table))
    if create:
        yield Statement("make tables of items", MAKE_DATA, data)
        yield Statement("make the table of checkpoints", MAKE_CONTROL, arns(projection.control_table))
    if projection.load_capacity is not None:
        yield Statement("capacity for loads", CAPACITY, data)
    for items in projection.items:
        if isinstance(items.oversize, S3Pointer):
            prefix = f"{items.oversize.prefix.strip('/')}/{folders[items.table]}".lstrip("/")
            yield from objects(place, "large items", items.oversize.bucket, prefix, LARGE_ITEMS)
