"""Messages to Kafka and Kinesis that an object mapping asks for: topic, key, and what the data holds.

Without a rule DMS sends every column under its name, keyed by the primary key in a full load and by
schema and table for changes; Kinesis by schema and table always. What goes to which topic is only read
and explained here: `compiling` refuses what no projection writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from replication_assets.dms.findings import Findings
from replication_assets.dms.json_source import Array, Node, Object, Scalar
from replication_assets.dms.mapped_columns import MappedColumns
from replication_assets.dms.outcome import TableOutcome
from replication_assets.dms.rules import AttributeMapping, ObjectMapping

Tree: TypeAlias = "str | bool | Mapping[str, Tree] | Sequence[Tree] | None"
"""A text with `${column}` in it, or objects and lists of such."""

KeyType: TypeAlias = Literal["schema-table", "transaction-id", "primary-key", "constant", "attribute-name"]


@dataclass(frozen=True, slots=True)
class MessageKey:
    """`value` is the constant, or the name of the attribute. `of_changes` differs from `of_loads` where no
    type is given."""

    of_loads: KeyType
    of_changes: KeyType
    value: str | None = None


@dataclass(frozen=True, slots=True)
class MessageAttribute:
    """`type` is string, number, boolean or json."""

    name: str
    type: str
    value: Tree


@dataclass(frozen=True, slots=True)
class Messages:
    """`topic` is None for that of the endpoint. Columns that `excluded` does not name (the source's names)
    stand in the data under their names, or in one object `_doc`."""

    topic: str | None
    key: MessageKey
    columns: Literal["attributes", "document"]
    excluded: tuple[str, ...]
    attributes: tuple[MessageAttribute, ...]


def mapped_messages(outcome: TableOutcome, target: str, findings: Findings) -> Messages | None:
    """The messages of a table; None where it goes to no stream, or cannot be mapped, which is told.

    `target` is the engine of the target endpoint where it is known: all tables of a stream are messages.
    """
    rule = outcome.object_mapping
    if rule is None:
        return Messages(None, _default_key(target), "attributes", (), ()) if target in _ENGINES else None
    if not rule.streams:
        return None
    table = MappedColumns(outcome, rule, findings)
    excluded = table.excluded()
    attributes = [_attribute(table, each) for each in rule.attributes]
    key = _key(table, target)
    if excluded is None or key is None or None in attributes:
        return None
    return Messages(
        rule.topic,
        key,
        "attributes" if rule.action == "map-record-to-record" else "document",
        excluded,
        tuple(each for each in attributes if each is not None),
    )


_ENGINES = ("kafka", "kinesis")


def _default_key(target: str) -> MessageKey:
    return MessageKey("schema-table" if target == "kinesis" else "primary-key", "schema-table")


def _key(table: MappedColumns, target: str) -> MessageKey | None:
    rule = table.rule
    kind = rule.partition_key_type
    if kind is None and rule.partition_key_constant is not None:
        kind = "constant"
    if kind is None and rule.partition_key_name is not None:
        kind = "attribute-name"
    if kind is None:
        return _default_key(target)
    if kind == "primary-key" and table.names is not None and not table.outcome.key:
        what = f"partition-key-type is primary-key, and {table.outcome.source} has none"
        table.error("no-key", what, "use schema-table, or define a primary key")
        return None
    if kind == "attribute-name":
        return _attribute_key(table, rule)
    return MessageKey(cast(KeyType, kind), cast(KeyType, kind), rule.partition_key_constant)


def _attribute_key(table: MappedColumns, rule: ObjectMapping) -> MessageKey | None:
    name = rule.partition_key_name
    if name is None:
        what = "partition-key-type is attribute-name, and there is no partition-key-name"
        table.error("missing-member", what, 'add "partition-key-name"')
        return None
    if not any(each.name == name for each in rule.attributes):
        column = table.column(name, "partition-key-name", rule.place)
        if column is None:
            return None
        name = column
    return MessageKey("attribute-name", "attribute-name", name)


def _attribute(table: MappedColumns, mapping: AttributeMapping) -> MessageAttribute | None:
    if mapping.value is None:
        return None
    try:
        value = _tree(table, mapping.value, mapping)
    except _Untold:
        return None
    kind = "json" if mapping.type == "document" else mapping.sub_type or "string"
    return MessageAttribute(mapping.name, kind, value)


class _Untold(Exception):
    """A template cannot be used; the findings tell why. Never leaves the module."""


def _tree(table: MappedColumns, node: Node, mapping: AttributeMapping) -> Tree:
    if isinstance(node, Object):
        return {member.name: _tree(table, member.value, mapping) for member in node.members}
    if isinstance(node, Array):
        return [_tree(table, each, mapping) for each in node.items]
    assert isinstance(node, Scalar)
    if not isinstance(node.value, str):
        return node.value
    text = table.template(node.value, mapping.place)
    if text is None:
        raise _Untold
    return text
