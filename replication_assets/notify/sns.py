"""Notifications through Amazon SNS: one `Publish` for all of them.

Subscribers by e-mail and SMS get text, all others (SQS, HTTP, Lambda, Firehose) the same JSON as
a webhook. The attributes `kind` and `phase` (lists of strings) serve subscription filters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from replication_assets.errors import DeliveryError
from replication_assets.ports.watch import Notification, as_json, as_text, headline
from replication_assets.secret_references import aws_client


@dataclass(frozen=True, slots=True)
class SnsNotifier:
    """See `ports.watch.Notifier`. Credentials are those of the process."""

    topic_arn: str
    region: str | None = None
    endpoint_url: str | None = None

    @property
    def where(self) -> str:
        return f"SNS topic {self.topic_arn}"

    def send(self, notifications: Sequence[Notification]) -> str | None:
        region = self.region or self.topic_arn.split(":")[3]
        try:
            client = aws_client("sns", region_name=region, endpoint_url=self.endpoint_url)
            client.publish(
                TopicArn=self.topic_arn,
                Subject=_subject(headline(notifications)),
                MessageStructure="json",
                Message=_message(notifications),
                MessageAttributes={
                    "kind": _strings(each.kind for each in notifications),
                    "phase": _strings(each.phase for each in notifications),
                },
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            fix = "check the topic, and that this role may sns:Publish to it; the message is sent again"
            raise DeliveryError(f"AWS answered {code}", where=self.where, fix=fix) from error
        except BotoCoreError as error:
            fix = "check the region, the endpoint and the AWS credentials of this process"
            raise DeliveryError(f"not reached ({type(error).__name__})", where=self.where, fix=fix) from error
        return None


def _subject(text: str) -> str:
    """Up to 99 printable ASCII characters: SNS refuses others."""
    ascii_only = text.encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in ascii_only)[:99]


def _message(notifications: Sequence[Notification]) -> str:
    text = as_text(notifications)
    for_programs = {"text": headline(notifications), "notifications": as_json(notifications)}
    per_protocol = {"default": json.dumps(for_programs), "email": text, "sms": headline(notifications)[:140]}
    return json.dumps(per_protocol)


def _strings(values: Iterable[str]) -> dict[str, str]:
    return {"DataType": "String.Array", "StringValue": json.dumps(sorted(set(values)))}
