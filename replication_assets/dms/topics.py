"""Messages of object mappings as the declarations of topics that they are.

Where a rule gives no type of its key, DMS spreads a load by the primary key and sends all changes of a table
into one partition, with no order between the two. Here both are keyed by the primary key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal, cast

from replication_assets.core.envelopes.specs import DmsEnvelope, Messages
from replication_assets.core.items.spec import Attribute, AttributeType
from replication_assets.core.shape_specs import Shape
from replication_assets.declarations import KafkaProjection, KinesisProjection, Refusals
from replication_assets.dms.endpoint import KafkaEndpoint, StreamEndpoint
from replication_assets.dms.kinesis_endpoint import KinesisEndpoint
from replication_assets.dms.messages import MessageAttribute, Tree
from replication_assets.dms.messages import Messages as Mapped
from replication_assets.dms.outcome import TableOutcome
from replication_assets.dms.settings.reading import TaskSettings

NAME = "topics"
STREAMS = "streams"
_COLUMN = re.compile(r"\$\{([^}]+)\}")


def declared_messages(mapped: Mapped, outcome: TableOutcome, table: str) -> Messages:
    """Raises ValueError with what cannot be declared; `not_declared` tells it before."""
    source, names = outcome.source, _names(outcome)
    # The shape of a table with a rule keeps what transformations remove: attributes may be made of it.
    removed = [each.source for each in outcome.removed] if outcome.object_mapping is not None else []
    left_out = (*mapped.excluded, *removed)
    excluded = [names.get(name, name) for name in left_out if name not in outcome.displaced]
    attributes = [_attribute(each, names) for each in mapped.attributes]
    kind = mapped.key.of_loads
    keyed: Literal["primary-key", "schema-table"] | None = None
    if kind in ("primary-key", "schema-table"):
        keyed = kind
    return Messages(
        table,
        topic=mapped.topic,
        partition_key=keyed if keyed == "schema-table" else None,
        key=None if keyed is not None else _key(mapped, attributes, names),
        attributes=attributes,
        exclude=tuple(dict.fromkeys(excluded)),
        columns=mapped.columns,
        schema_name=outcome.target_schema if outcome.target_schema != source.schema else None,
        table_name=outcome.target_table if outcome.target_table != source.name else None,
    )


def not_declared(mapped: Mapped, outcome: TableOutcome) -> str | None:
    """What of the messages no declaration says."""
    try:
        declared_messages(mapped, outcome, "")
    except ValueError as error:
        return str(error)
    return None


def topics_projection(
    messages: Sequence[Messages],
    shapes: Sequence[Shape],
    endpoint: KafkaEndpoint,
    settings: Sequence[TaskSettings],
    refusals: Refusals,
) -> KafkaProjection:
    """One projection of all tables that go to topics."""
    before = _before(settings)
    return KafkaProjection(
        NAME,
        tables=[each.table for each in messages],
        bootstrap_servers=endpoint.brokers,
        envelope="dms",
        topic=endpoint.topic,
        format=endpoint.messages.format,
        before_images=before is not None,
        dms=envelope_of(endpoint, before),
        messages=[each for each in messages if each != Messages(each.table)],
        shapes=shapes,
        message_max_bytes=endpoint.message_max_bytes,
        refusals=refusals,
        tls=endpoint.tls,
        sasl=endpoint.sasl,
        user=endpoint.user,
    )


def streams_projection(
    messages: Sequence[Messages],
    shapes: Sequence[Shape],
    endpoint: KinesisEndpoint,
    settings: Sequence[TaskSettings],
    refusals: Refusals,
    region: str,
) -> KinesisProjection:
    """One projection of all tables that go to the stream, in `region` unless its ARN says where."""
    before = _before(settings)
    return KinesisProjection(
        STREAMS,
        tables=[each.table for each in messages],
        stream=endpoint.topic,
        envelope="dms",
        format=endpoint.messages.format,
        before_images=before is not None,
        dms=envelope_of(endpoint, before),
        messages=[each for each in messages if each != Messages(each.table)],
        shapes=shapes,
        refusals=refusals,
        region=endpoint.region or region,
    )


def _before(settings: Sequence[TaskSettings]) -> TaskSettings | None:
    return next((each for each in settings if each.value("BeforeImageSettings", "EnableBeforeImage")), None)


def envelope_of(endpoint: StreamEndpoint, before: TaskSettings | None = None) -> DmsEnvelope:
    """`before` are settings that ask for old values."""
    field = before.value("BeforeImageSettings", "FieldName") if before is not None else None
    only = before.value("BeforeImageSettings", "ColumnFilter") if before is not None else None
    said = endpoint.messages
    return DmsEnvelope(
        nulls=said.nulls,
        transaction_details=said.transaction_details,
        alter_operations=said.alter_operations,
        control_details=said.control_details,
        partition_value=said.partition_value,
        table_in_key=said.table_in_key,
        hex_prefix=said.hex_prefix,
        before_field=field if isinstance(field, str) and field else "before-image",
        before_columns="key" if only == "pk-only" else "all",
    )


def _names(outcome: TableOutcome) -> dict[str, str]:
    """Columns of the source by what they are called after all rules."""
    return {each.source: each.target for each in outcome.columns if each.source and not each.before}


def _template(text: str, names: Mapping[str, str]) -> str:
    return _COLUMN.sub(lambda found: f"${{{names.get(found[1], found[1])}}}", text)


def _attribute(mapped: MessageAttribute, names: Mapping[str, str]) -> Attribute:
    value = mapped.value
    if mapped.type == "boolean" and isinstance(value, str) and value.strip().lower() in _TRUTH:
        return Attribute(mapped.name, constant=_TRUTH[value.strip().lower()])
    if isinstance(value, str):
        return Attribute(mapped.name, _template(value, names), type=cast(AttributeType, mapped.type))
    return _tree(mapped.name, value, names)


_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def _tree(name: str, value: Tree, names: Mapping[str, str]) -> Attribute:
    if isinstance(value, str):
        return Attribute(name, _template(value, names), type="string")
    if isinstance(value, Mapping):
        return Attribute(name, fields=[_tree(inner, part, names) for inner, part in value.items()])
    if value is None:
        raise ValueError(f"attribute {name[:60]!r} is a constant null, which no attribute can be")
    if isinstance(value, Decimal):
        return Attribute(name, constant=format(value, "f"), type="number")
    if isinstance(value, bool | int):
        return Attribute(name, constant=value)
    return Attribute(name, elements=[_tree("", part, names) for part in value])


def _key(mapped: Mapped, attributes: Sequence[Attribute], names: Mapping[str, str]) -> str:
    kind, value = mapped.key.of_loads, mapped.key.value or ""
    if kind == "constant":
        return value.replace("${", "$${")
    if kind == "transaction-id":
        raise ValueError("partition-key-type is transaction-id, and a loaded row has none")
    found = next((each for each in attributes if each.name == value), None)
    if found is None:
        return f"${{{names.get(value, value)}}}"
    if found.template is not None:
        return found.template
    if found.constant is None:
        raise ValueError(f"partition-key-name {value[:60]!r} is a document, which is no key")
    return str(found.constant).lower() if isinstance(found.constant, bool) else str(found.constant)
