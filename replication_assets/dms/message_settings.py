"""Settings that endpoints of Kafka and of Kinesis have in common: how messages are written.

Defaults are DMS's, the same for both
(https://docs.aws.amazon.com/dms/latest/APIReference/API_KinesisSettings.html).
"""

from __future__ import annotations

from dataclasses import dataclass

from replication_assets.core.envelopes.layout import MessageFormat
from replication_assets.dms.members import Members


@dataclass(frozen=True, slots=True)
class MessageSettings:
    format: MessageFormat = "json"
    nulls: bool = False
    transaction_details: bool = False
    alter_operations: bool = False
    control_details: bool = False
    partition_value: bool = False
    table_in_key: bool = False
    hex_prefix: bool = True


def message_settings(settings: Members) -> MessageSettings:
    """Takes them from the settings of an endpoint; the rest is left to its own reading."""
    # Numbers of any size have all their digits here.
    settings.take("UseLargeIntegerValue")
    return MessageSettings(
        format=_format(settings),
        nulls=settings.boolean("IncludeNullAndEmpty", False),
        transaction_details=settings.boolean("IncludeTransactionDetails", False),
        alter_operations=settings.boolean("IncludeTableAlterOperations", False),
        control_details=settings.boolean("IncludeControlDetails", False),
        partition_value=settings.boolean("IncludePartitionValue", False),
        table_in_key=settings.boolean("PartitionIncludeSchemaTable", False),
        hex_prefix=not settings.boolean("NoHexPrefix", False),
    )


def _format(settings: Members) -> MessageFormat:
    """In any spelling of AWS: JSON, JSON_UNFORMATTED, json-unformatted."""
    spelled = (settings.text("MessageFormat") or "json").strip().lower().replace("_", "-")
    if spelled == "json-unformatted":
        return "json-unformatted"
    if spelled != "json":
        what = "MessageFormat is none of json, json-unformatted"
        settings.error("wrong-value", what, "write one of them", settings.place_of("MessageFormat"))
    return "json"
