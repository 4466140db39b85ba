"""Settings of a Kinesis target endpoint, as `aws dms` takes and describes them: `{"KinesisSettings": {...}}`.

Defaults are DMS's (https://docs.aws.amazon.com/dms/latest/APIReference/API_KinesisSettings.html).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from replication_assets.core.envelopes.layout import MessageFormat
from replication_assets.dms.members import Members

MEMBER = "KinesisSettings"
PLACEHOLDER = "name-of-the-stream"
_ARN = re.compile(r"arn:[\w-]+:kinesis:([\w-]+):\d{12}:stream/([A-Za-z0-9._-]{1,128})")
_FORMATS = ("json", "json-unformatted")


@dataclass(frozen=True, slots=True)
class KinesisEndpoint:
    """The one stream of a task. `region` is that of its ARN, empty where none is given."""

    engine: ClassVar[Literal["kinesis"]] = "kinesis"
    topic: str = PLACEHOLDER
    region: str = ""
    format: MessageFormat = "json"
    nulls: bool = False
    transaction_details: bool = False
    alter_operations: bool = False
    control_details: bool = False
    partition_value: bool = False
    table_in_key: bool = False
    hex_prefix: bool = True


def kinesis_endpoint(settings: Members) -> KinesisEndpoint:
    """Never raises for what the settings hold; unknown ones are told."""
    stream, region = _stream(settings)
    found = KinesisEndpoint(
        topic=stream,
        region=region,
        format=_format(settings),
        nulls=settings.boolean("IncludeNullAndEmpty", False),
        transaction_details=settings.boolean("IncludeTransactionDetails", False),
        alter_operations=settings.boolean("IncludeTableAlterOperations", False),
        control_details=settings.boolean("IncludeControlDetails", False),
        partition_value=settings.boolean("IncludePartitionValue", False),
        table_in_key=settings.boolean("PartitionIncludeSchemaTable", False),
        hex_prefix=not settings.boolean("NoHexPrefix", False),
    )
    # Numbers of any size have all their digits here.
    settings.take("UseLargeIntegerValue")
    if settings.text("ServiceAccessRoleArn") is not None:
        what = "ServiceAccessRoleArn is a role of DMS, and is not taken over"
        fix = "the role of this process needs what replication-assets iam prints"
        settings.warn("role", what, fix, settings.place_of("ServiceAccessRoleArn"))
    settings.finish()
    return found


def _stream(settings: Members) -> tuple[str, str]:
    arn = settings.text("StreamArn")
    if arn is None:
        return PLACEHOLDER, ""
    found = _ARN.fullmatch(arn.strip())
    if found is None:
        fix = "arn:aws:kinesis:REGION:ACCOUNT:stream/NAME"
        settings.error("wrong-value", "StreamArn is no ARN of a stream", fix, settings.place_of("StreamArn"))
        return PLACEHOLDER, ""
    return found[2], found[1]


def _format(settings: Members) -> MessageFormat:
    """In either spelling of AWS: JSON_UNFORMATTED and json-unformatted."""
    spelled = (settings.text("MessageFormat") or "json").strip().lower().replace("_", "-")
    if spelled == "json-unformatted":
        return "json-unformatted"
    if spelled != "json":
        what = f"MessageFormat is none of {', '.join(_FORMATS)}"
        settings.error("wrong-value", what, "write one of them", settings.place_of("MessageFormat"))
    return "json"
