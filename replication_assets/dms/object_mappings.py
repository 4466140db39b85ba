"""Reading of object-mapping rules: for DynamoDB, and for Kafka and Kinesis."""

from __future__ import annotations

import re

from replication_assets.core.items.conditions import parse
from replication_assets.dms.findings import Findings
from replication_assets.dms.json_source import Array, Node, Object, Scalar
from replication_assets.dms.members import Members
from replication_assets.dms.rules import AttributeMapping, ConditionExpression, ObjectMapping, Selection

SCALARS = ("string", "number", "boolean")
DOCUMENTS = ("dynamodb-map", "dynamodb-list", "json")
ACTIONS = ("map-record-to-record", "map-record-to-document")
_PLACEHOLDER = re.compile(r"[:#]\w+")
STREAMS = ("kafka", "kinesis")
KEY_TYPES = ("schema-table", "transaction-id", "primary-key", "constant", "attribute-name")


def read_attributes(parameters: Members) -> tuple[AttributeMapping, ...]:
    found = []
    for each in parameters.objects("attribute-mappings", "attribute mapping"):
        # The samples for Kafka and Kinesis with a constant key write it without `target-`, and no type.
        alias = each.text("attribute-name")
        name = each.text("target-attribute-name", required=alias is None) or alias
        value = each.take("value")
        implied = "scalar" if value is None or isinstance(value, Scalar) else "document"
        kind = each.word("attribute-type", ("scalar", "document")) or implied
        words = SCALARS if kind == "scalar" else DOCUMENTS
        sub_type = each.word("attribute-sub-type", words)
        each.finish()
        if value is None:
            each.error("missing-member", "attribute mapping has no 'value'", 'add "value": "${column}"')
        elif kind == "scalar" and not isinstance(value, Scalar):
            each.error("wrong-type", "the value of a scalar is no text", "write it as a text", value.place)
        elif name is not None:
            found.append(AttributeMapping(name, kind, sub_type, value, each.place))
    names = [each.name for each in found]
    for each_mapping in found:
        if names.count(each_mapping.name) > 1:
            what = f"attribute {each_mapping.name!r} is mapped twice"
            parameters.error("duplicate-attribute", what, "keep one of them", each_mapping.place)
    return tuple(found)


def is_of_stream(rule: ObjectMapping, target: str) -> bool:
    """Whether a rule is for Kafka or Kinesis: as the target endpoint is, or by what only those have."""
    if target in (*STREAMS, "dynamodb"):
        return target in STREAMS
    documents = any(each.sub_type == "json" and isinstance(each.value, Object) for each in rule.attributes)
    keyed = rule.partition_key_type is not None or rule.partition_key_constant is not None
    unnamed = rule.target_table is None and rule.partition_key_name is None
    return rule.topic is not None or keyed or documents or unnamed


def implied_mapping(selection: Selection, table: str) -> ObjectMapping:
    """What DMS does with a table that goes to DynamoDB without a rule: its columns are attributes of items
    in a table of its name, by the primary key, which must be of one column."""
    return ObjectMapping(
        id=selection.id,
        name="",
        locator=selection.locator,
        place=selection.place,
        order=-1,
        action="map-record-to-record",
        target_table=table,
        topic=None,
        partition_key_name=None,
        sort_key_name=None,
        exclude_columns=(),
        attributes=(),
        condition=None,
        partition_key_type=None,
        partition_key_constant=None,
        streams=False,
    )


def read_condition(parameters: Members) -> ConditionExpression | None:
    members = parameters.object("condition-expression", "condition-expression")
    if members is None:
        return None
    expression = members.text("expression", required=True)
    values = _placeholders(members, "expression-attribute-values")
    found = _placeholders(members, "expression-attribute-names")
    names = [(n, v.value) for n, v in found if isinstance(v, Scalar) and isinstance(v.value, str)]
    if len(names) < len(found):
        members.error("wrong-type", "an expression-attribute-name stands for no text", "write a text")
    during_load = members.boolean("apply-during-full-load", True)
    during_changes = members.boolean("apply-during-cdc", False)
    members.finish()
    if expression is None:
        return None
    try:
        parse(expression)
    except ValueError as error:
        members.error("bad-condition", f"condition-expression {error}", "write it as DynamoDB takes it")
    else:
        _check_placeholders(members, expression, [name for name, _ in (*values, *found)])
    if not (during_load or during_changes):
        what = "condition-expression is applied neither in full loads nor to changes: nothing asks it"
        members.warn("idle-condition", what, '"apply-during-full-load": true, or delete it')
    return ConditionExpression(
        expression, tuple(values), tuple(names), during_load, during_changes, members.place
    )


def _placeholders(members: Members, name: str) -> list[tuple[str, Node]]:
    """A list of objects with `name` and `value`, as documented, or one object as DynamoDB takes it."""
    node = members.take(name)
    if isinstance(node, Object):
        return [(member.name, member.value) for member in node.members]
    found = []
    for each in members.objects(name, name):
        placeholder, value = each.text("name", required=True), each.take("value", required=True)
        each.finish()
        if placeholder is not None and value is not None:
            found.append((placeholder, value))
    return found


def _check_placeholders(members: Members, expression: str, declared: list[str]) -> None:
    used = set(_PLACEHOLDER.findall(expression))
    for name in sorted(used - set(declared)):
        kind = "values" if name.startswith(":") else "names"
        what = f"condition-expression uses {name}, which no expression-attribute-{kind} gives"
        members.error("condition-placeholder", what, f"add it to expression-attribute-{kind}")
    for name in sorted(set(declared) - used):
        what = f"{name[:30]} is given, and condition-expression does not use it: DynamoDB refuses such writes"
        members.error("condition-placeholder", what, "delete it")


def read_stream_key(parameters: Members) -> tuple[str | None, str | None]:
    """Type of the partition key, and its constant."""
    kind = parameters.word("partition-key-type", KEY_TYPES)
    key = parameters.object("partition-key", "partition-key")
    constant = None
    if key is not None:
        constant = key.text("value", required=True)
        # AWS's samples carry the members of an attribute mapping here too.
        key.take("attribute-name")
        key.finish()
    if kind == "constant" and constant is None:
        what = "partition-key-type is constant, and there is no partition-key with a value"
        parameters.error("missing-member", what, 'add "partition-key": {"value": "..."}')
    return kind, constant


def typed_document(node: Node, findings: Findings, rule: str) -> bool:
    """Whether a document is in DynamoDB's own notation (`{"M": {"a": {"S": "${a}"}}}`); tells what is not."""
    fix = 'write values as {"S": "..."}, {"N": "..."}, {"BOOL": "..."}, {"M": {...}} or {"L": [...]}'
    if not isinstance(node, Object) or len(node.members) != 1:
        findings.error("bad-document", "a value that does not say its DynamoDB type", fix, node.place, rule)
        return False
    member = node.members[0]
    if member.name == "M" and isinstance(member.value, Object):
        return not [
            inner for inner in member.value.members if not typed_document(inner.value, findings, rule)
        ]
    if member.name == "L" and isinstance(member.value, Array):
        return not [inner for inner in member.value.items if not typed_document(inner, findings, rule)]
    if member.name in ("S", "N", "BOOL", "NULL") and isinstance(member.value, Scalar):
        return True
    what = f"{member.name[:30]!r} is no DynamoDB type of such a value"
    findings.error("bad-document", what, fix, member.place, rule)
    return False
