"""Object mappings to DynamoDB as the declaration of items that they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from replication_assets.core.items.spec import (
    Attribute,
    AttributeType,
    ItemKey,
    Items,
    KeyType,
    WriteCondition,
)
from replication_assets.dms.findings import Findings, Place
from replication_assets.dms.json_source import Array, Member, Node, Object, Scalar
from replication_assets.dms.mapped_columns import MappedColumns
from replication_assets.dms.object_mappings import typed_document
from replication_assets.dms.outcome import TableOutcome
from replication_assets.dms.rules import AttributeMapping, ConditionExpression

_DOCUMENT_TYPES: dict[str, AttributeType] = {"S": "string", "N": "number", "BOOL": "boolean"}


def mapped_items(outcome: TableOutcome, source: str, findings: Findings) -> Items | None:
    """The items of a table; `source` is what the catalog calls the database.

    None where the rule is for a stream, or cannot be declared; the findings tell why.
    """
    rule = outcome.object_mapping
    if rule is None or rule.streams:
        return None
    table = MappedColumns(outcome, rule, findings)
    if rule.target_table is None:
        table.error(
            "missing-member", "the object mapping has no target-table-name", "name the DynamoDB table"
        )
        return None
    excluded = table.excluded()
    attributes = {each.name: each for each in rule.attributes}
    keys = [_key(table, name, attributes) for name in _key_names(table)]
    declared = [
        _attribute(table, each) for each in rule.attributes if each.name not in _key_names(table, quiet=True)
    ]
    values = _condition_values(table)
    if not keys or None in keys or None in declared or excluded is None or values is None:
        return None
    return Items(
        f"{source}.{outcome.source.schema}.{outcome.source.name}",
        rule.target_table,
        partition_key=cast(ItemKey, keys[0]),
        sort_key=keys[1] if len(keys) > 1 else None,
        attributes=[each for each in declared if each is not None],
        exclude=_all_excluded(table, excluded, keys, declared),
        columns="attributes" if rule.action == "map-record-to-record" else "document",
        condition=_condition(rule.condition, values),
    )


def _condition_values(table: MappedColumns) -> list[Attribute] | None:
    """What its placeholders stand for; None where one cannot be declared, which is told."""
    condition = table.rule.condition
    found: list[Attribute | None] = []
    for name, node in condition.attribute_values if condition is not None else ():
        if isinstance(node, Scalar) and isinstance(node.value, str):
            found.append(_scalar(table, name, node.value, "string", node.place))
        elif typed_document(node, table.findings, table.rule.id):
            found.append(_document(table, name, node))
        else:
            found.append(None)
    return None if None in found else [each for each in found if each is not None]


def _condition(given: ConditionExpression | None, values: list[Attribute]) -> WriteCondition | None:
    if given is None or not (given.during_full_load or given.during_cdc):
        return None
    return WriteCondition(
        given.expression,
        values=values,
        names=dict(given.attribute_names),
        on_load=given.during_full_load,
        on_change=given.during_cdc,
    )


def _key_names(table: MappedColumns, *, quiet: bool = False) -> Sequence[str]:
    rule, outcome = table.rule, table.outcome
    if rule.partition_key_name is not None:
        return [name for name in (rule.partition_key_name, rule.sort_key_name) if name is not None]
    if len(outcome.key) == 1:
        column = outcome.column(outcome.key[0])
        named = outcome.key[0] if column is None else column.target
        return [named, *([rule.sort_key_name] if rule.sort_key_name else [])]
    if not quiet:
        many = "a key of several columns" if outcome.key else "no key that is known"
        what = f"no partition-key-name, and {outcome.source} has {many}"
        table.error("no-item-key", what, 'add "partition-key-name" to mapping-parameters')
    return []


def _key(table: MappedColumns, name: str, attributes: dict[str, AttributeMapping]) -> ItemKey | None:
    mapping = attributes.get(name)
    if mapping is None:
        column = table.column(name, "key", table.rule.place)
        if column is None:
            return None
        return ItemKey(name, f"${{{column}}}", type=_key_type(table, column))
    if mapping.type != "scalar" or mapping.sub_type == "boolean":
        table.error("bad-key", f"key {name!r} is neither string nor number", "map it to one", mapping.place)
        return None
    template = table.template(_text(mapping.value), mapping.place)
    kind: KeyType = "number" if mapping.sub_type == "number" else "string"
    return ItemKey(name, template, type=kind) if template is not None else None


def _key_type(table: MappedColumns, column: str) -> KeyType:
    """As the column is in the target."""
    given, found = table.outcome.column(column), table.outcome.source.column(column)
    type_ = given.type if given is not None and given.retyped else found.type if found is not None else None
    kind = type_.type if type_ is not None else "string"
    if kind in ("bytes", "blob"):
        return "binary"
    return "number" if kind.startswith(("int", "uint", "numeric", "real")) else "string"


def _text(node: Node | None) -> str:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else _truth(node)


def _truth(node: Node | None) -> str:
    return "true" if isinstance(node, Scalar) and node.value is True else "false"


def _attribute(table: MappedColumns, mapping: AttributeMapping) -> Attribute | None:
    if mapping.type == "scalar":
        return _scalar(table, mapping.name, _text(mapping.value), _type_of(mapping.sub_type), mapping.place)
    if isinstance(mapping.value, Scalar):
        # A document as one text: its JSON, with columns put in.
        template = table.template(_text(mapping.value), mapping.place)
        return Attribute(mapping.name, template, type="json") if template is not None else None
    if mapping.value is None or not typed_document(mapping.value, table.findings, table.rule.id):
        return None
    return _document(table, mapping.name, mapping.value)


def _type_of(sub_type: str | None) -> AttributeType:
    return cast(AttributeType, sub_type) if sub_type is not None else "string"


def _scalar(
    table: MappedColumns, name: str, text: str, kind: AttributeType, place: Place
) -> Attribute | None:
    template = table.template(text, place)
    if template is None:
        return None
    if "${" in template:
        return Attribute(name, template, type=kind)
    if kind == "boolean":
        if text.strip().lower() not in ("true", "false", "1", "0"):
            table.error("bad-constant", f"{name!r} is no boolean", "write true or false", place)
            return None
        return Attribute(name, constant=text.strip().lower() in ("true", "1"))
    if kind == "number" and not re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", text):
        table.error("bad-constant", f"{name!r} is no number", "write a number, or string", place)
        return None
    return Attribute(name, constant=text.strip() if kind == "number" else text, type=kind)


def _document(table: MappedColumns, name: str, node: Node) -> Attribute | None:
    """A value in DynamoDB's notation, which was found to be one."""
    assert isinstance(node, Object)
    member = node.members[0]
    if member.name == "NULL":
        table.error("null-value", f"{name!r} is a constant NULL", "leave it out", member.place)
        return None
    if isinstance(member.value, Object):
        fields = [_document(table, each.name, each.value) for each in member.value.members]
        return Attribute(name, fields=[f for f in fields if f is not None]) if None not in fields else None
    if isinstance(member.value, Array):
        parts = [_document(table, name, each) for each in member.value.items]
        return Attribute(name, elements=[p for p in parts if p is not None]) if None not in parts else None
    return _scalar(table, name, _scalar_text(member), _DOCUMENT_TYPES[member.name], member.place)


def _scalar_text(member: Member) -> str:
    return _text(member.value)


def _all_excluded(
    table: MappedColumns,
    excluded: Sequence[str],
    keys: list[ItemKey | None],
    declared: list[Attribute | None],
) -> list[str]:
    """Also what rules remove, and columns that an attribute of another content has the name of: the
    mapped attribute is what DMS writes."""
    removed = [each.source for each in table.outcome.removed]
    hidden = []
    if table.rule.action == "map-record-to-record":
        named = [(key.name, key.template) for key in keys if key is not None]
        named += [(each.name, each.template or "") for each in declared if each is not None]
        for name, template in named:
            known = table.names is not None and name in table.names
            if known and f"${{{name}}}" not in template and name not in excluded:
                hidden.append(name)
                what = f"column {name!r} does not reach the item: the attribute of its name has other content"
                table.findings.warn(
                    "hidden-column", what, "rename the attribute", table.rule.place, table.rule.id
                )
    return list(dict.fromkeys([*excluded, *removed, *hidden]))


def in_shape(items: Items, outcome: TableOutcome) -> Items:
    """Items whose templates name columns as the shape of their table calls them."""
    names = {c.source: c.target for c in outcome.columns if c.source and not c.before}
    names = {source: target for source, target in names.items() if source != target}
    if not names:
        return items

    def text(template: str) -> str:
        return re.sub(r"\$\{([^}]+)\}", lambda found: f"${{{names.get(found[1], found[1])}}}", template)

    def attribute(each: Attribute) -> Attribute:
        return replace(
            each,
            template=None if each.template is None else text(each.template),
            fields=None if each.fields is None else [attribute(inner) for inner in each.fields],
            elements=None if each.elements is None else [attribute(inner) for inner in each.elements],
        )

    def key(each: ItemKey) -> ItemKey:
        return replace(each, template=text(each.template))

    condition = items.condition
    if condition is not None:
        condition = replace(condition, values=[attribute(each) for each in condition.values])
    return replace(
        items,
        condition=condition,
        partition_key=key(items.partition_key),
        sort_key=None if items.sort_key is None else key(items.sort_key),
        attributes=[attribute(each) for each in items.attributes],
        exclude=[names.get(name, name) for name in items.exclude if name not in outcome.displaced],
    )
