"""Object mappings as the declaration of items that they are.

`exclude-columns` in another spelling than the columns never let a column through: they are matched in
any case where that is one column, and refused otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from replication_assets.core.items.spec import Attribute, AttributeType, ItemKey, Items, KeyType
from replication_assets.core.items.templates import Template
from replication_assets.dms.findings import Findings, Place
from replication_assets.dms.json_source import Array, Member, Node, Object, Scalar
from replication_assets.dms.object_mappings import typed_document
from replication_assets.dms.outcome import TableOutcome
from replication_assets.dms.rules import AttributeMapping, ObjectMapping

_COLUMN = re.compile(r"\$\{([^}]*)\}")
_DOCUMENT_TYPES: dict[str, AttributeType] = {"S": "string", "N": "number", "BOOL": "boolean"}


class _Table:
    """Columns of one table as a mapping may name them."""

    def __init__(self, outcome: TableOutcome, rule: ObjectMapping, findings: Findings) -> None:
        self.outcome, self.rule, self.findings = outcome, rule, findings
        source = outcome.source
        added = [each.target for each in outcome.columns if each.source is None]
        self.names = None
        if source.columns is not None:
            self.names = (*(column.name for column in source.columns), *added)

    def error(self, code: str, what: str, fix: str, place: Place | None = None) -> None:
        self.findings.error(code, what, fix, place or self.rule.place, self.rule.id)

    def column(self, given: str, what: str, place: Place) -> str | None:
        """The column that is meant; None where there is none, which is told."""
        if self.names is None or given in self.names:
            return given
        alike = [name for name in self.names if name.lower() == given.lower()]
        if len(alike) == 1:
            told = f"{what} {given!r} is spelled {alike[0]!r} in {self.outcome.source}; it is taken for that"
            self.findings.note("spelled-otherwise", told, f"write {alike[0]!r}", place, self.rule.id)
            return alike[0]
        fix = f"one of {', '.join(self.names[:8])}"
        self.error("unknown-column", f"{what} {given!r} is no column of {self.outcome.source}", fix, place)
        return None

    def template(self, text: str, place: Place) -> str | None:
        """The template with columns as the source spells them."""
        if "$${" in text:
            self.error("dollar", "a $ before ${...} cannot be declared", "put another sign between", place)
            return None
        ok = True

        def spelled(found: re.Match[str]) -> str:
            nonlocal ok
            # A line break inside of the braces is one of the documentation's own samples.
            name = self.column(found.group(1).strip(), "column", place)
            ok = ok and name is not None
            return f"${{{name}}}"

        result = _COLUMN.sub(spelled, text)
        try:
            Template.parse(result)
        except ValueError as error:
            self.error("bad-template", f"the template {error}", "write ${column}", place)
            return None
        return result if ok else None


def mapped_items(outcome: TableOutcome, source: str, findings: Findings) -> Items | None:
    """The items of a table; `source` is what the catalog calls the database.

    None where the rule is for a stream, or cannot be declared; the findings tell why.
    """
    rule = outcome.object_mapping
    if rule is None or rule.streams:
        return None
    table = _Table(outcome, rule, findings)
    if rule.target_table is None:
        table.error(
            "missing-member", "the object mapping has no target-table-name", "name the DynamoDB table"
        )
        return None
    if rule.condition is not None:
        what = (
            "condition-expression: every write here is on the condition that what stands there is older, and "
            "takes no second one"
        )
        table.error(
            "condition-expression", what, "filter the rows instead, or delete it", rule.condition.place
        )
        return None
    excluded = [table.column(name, "exclude-columns", rule.place) for name in rule.exclude_columns]
    attributes = {each.name: each for each in rule.attributes}
    keys = [_key(table, name, attributes) for name in _key_names(table)]
    declared = [
        _attribute(table, each) for each in rule.attributes if each.name not in _key_names(table, quiet=True)
    ]
    if not keys or None in keys or None in declared or None in excluded:
        return None
    return Items(
        f"{source}.{outcome.source.schema}.{outcome.source.name}",
        rule.target_table,
        partition_key=cast(ItemKey, keys[0]),
        sort_key=keys[1] if len(keys) > 1 else None,
        attributes=[each for each in declared if each is not None],
        exclude=_all_excluded(table, [name for name in excluded if name is not None], keys, declared),
        columns="attributes" if rule.action == "map-record-to-record" else "document",
    )


def _key_names(table: _Table, *, quiet: bool = False) -> Sequence[str]:
    rule, outcome = table.rule, table.outcome
    if rule.partition_key_name is not None:
        return [name for name in (rule.partition_key_name, rule.sort_key_name) if name is not None]
    if len(outcome.key) == 1:
        return [*outcome.key, *([rule.sort_key_name] if rule.sort_key_name else [])]
    if not quiet:
        many = "a key of several columns" if outcome.key else "no key that is known"
        what = f"no partition-key-name, and {outcome.source} has {many}"
        table.error("no-item-key", what, 'add "partition-key-name" to mapping-parameters')
    return []


def _key(table: _Table, name: str, attributes: dict[str, AttributeMapping]) -> ItemKey | None:
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


def _key_type(table: _Table, column: str) -> KeyType:
    found = table.outcome.source.column(column)
    kind = found.type.type if found is not None and found.type is not None else "string"
    if kind in ("bytes", "blob"):
        return "binary"
    return "number" if kind.startswith(("int", "uint", "numeric", "real")) else "string"


def _text(node: Node | None) -> str:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else _truth(node)


def _truth(node: Node | None) -> str:
    return "true" if isinstance(node, Scalar) and node.value is True else "false"


def _attribute(table: _Table, mapping: AttributeMapping) -> Attribute | None:
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


def _scalar(table: _Table, name: str, text: str, kind: AttributeType, place: Place) -> Attribute | None:
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


def _document(table: _Table, name: str, node: Node) -> Attribute | None:
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
    table: _Table, excluded: list[str], keys: list[ItemKey | None], declared: list[Attribute | None]
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
