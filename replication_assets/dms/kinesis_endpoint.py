"""Settings of a Kinesis target endpoint, as `aws dms` takes and describes them: `{"KinesisSettings": {...}}`.

Defaults are DMS's (https://docs.aws.amazon.com/dms/latest/APIReference/API_KinesisSettings.html).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from replication_assets.dms.members import Members
from replication_assets.dms.message_settings import MessageSettings, message_settings

MEMBER = "KinesisSettings"
PLACEHOLDER = "name-of-the-stream"
_ARN = re.compile(r"arn:[\w-]+:kinesis:([\w-]+):\d{12}:stream/([A-Za-z0-9._-]{1,128})")


@dataclass(frozen=True, slots=True)
class KinesisEndpoint:
    """The one stream of a task. `region` is that of its ARN, empty where none is given."""

    engine: ClassVar[Literal["kinesis"]] = "kinesis"
    topic: str = PLACEHOLDER
    region: str = ""
    messages: MessageSettings = field(default_factory=MessageSettings)


def kinesis_endpoint(settings: Members) -> KinesisEndpoint:
    """Never raises for what the settings hold; unknown ones are told."""
    stream, region = _stream(settings)
    found = KinesisEndpoint(
        topic=stream,
        region=region,
        messages=message_settings(settings),
    )
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
