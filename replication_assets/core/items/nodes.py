"""What a declaration becomes once the columns are known: a tree that converts batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring as quoted_json
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from replication_assets.core.items.documents import number_size
from replication_assets.core.items.fragments import (
    NULL_VALUE,
    Fragment,
    Piece,
    constant,
    joined,
    members_size,
    object_pieces,
    replaced,
)
from replication_assets.core.items.numbers import canonical_number
from replication_assets.core.items.rows import Rows
from replication_assets.core.items.selected import SELECTABLE
from replication_assets.core.items.spec import Attribute, AttributeType, Items
from replication_assets.core.items.templates import Template
from replication_assets.core.items.texts import is_binary, is_number
from replication_assets.core.items.values import Nan, ttl_value, value_of, with_nulls
from replication_assets.core.schema import Column, TableSchema


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value in every row, as DynamoDB's JSON."""

    text: str
    size: int

    def convert(self, rows: Rows, attribute: str, depth: int) -> Fragment:  # noqa: ARG002
        return constant(self.text, self.size, len(rows))


@dataclass(frozen=True, slots=True)
class Scalar:
    """A template as one value."""

    template: Template
    type: AttributeType
    nan: Nan
    nulls: bool
    select: tuple[str, ...] = ()

    def convert(self, rows: Rows, attribute: str, depth: int) -> Fragment:
        value = value_of(
            rows, self.template, self.type, attribute, nan=self.nan, depth=depth, select=self.select
        )
        return with_nulls(rows, self.template, value) if self.nulls else value


@dataclass(frozen=True, slots=True)
class Expiry:
    """A date or timestamp plus some days, in epoch seconds."""

    column: str
    days: int

    def convert(self, rows: Rows, attribute: str, depth: int) -> Fragment:  # noqa: ARG002
        return ttl_value(rows, self.column, self.days, attribute)


@dataclass(frozen=True, slots=True)
class MapOf:
    """Members by name, those absent left out."""

    members: tuple[tuple[str, Node], ...]

    def convert(self, rows: Rows, attribute: str, depth: int) -> Fragment:
        members = [(n, node.convert(rows, f"{attribute}.{n}", depth + 1)) for n, node in self.members]
        body = joined(object_pieces(members), rows=len(rows), absent="")
        size = members_size(members, overhead=1) if members else np.zeros(len(rows), dtype=np.int64)
        return Fragment(('{"M":{', body, "}}"), size + 3)


@dataclass(frozen=True, slots=True)
class ListOf:
    """Elements in order; an absent one is of type NULL, so that the others keep their places."""

    elements: tuple[Node, ...]

    def convert(self, rows: Rows, attribute: str, depth: int) -> Fragment:
        size = np.full(len(rows), 3 + len(self.elements), dtype=np.int64)
        pieces: list[Piece] = ['{"L":[']
        for at, node in enumerate(self.elements):
            value = node.convert(rows, f"{attribute}[{at}]", depth + 1)
            if value.present is not None:
                value = replaced(value, ~value.present, NULL_VALUE, 1)
            pieces += [","] if at else []
            pieces += value.pieces
            size += value.size
        return Fragment((*pieces, "]}"), size)


Node: TypeAlias = "Constant | Scalar | Expiry | MapOf | ListOf"


def own_type(column: Column) -> AttributeType:
    """The type that a column's values have unless declared otherwise."""
    if is_binary(column.arrow):
        return "binary"
    if is_number(column.arrow):
        return "number"
    if pa.types.is_boolean(column.arrow):
        return "boolean"
    return _BY_SOURCE_TYPE.get(column.source_type.partition("(")[0], "string")


_BY_SOURCE_TYPE: Mapping[str, AttributeType] = {
    "json": "json",
    "jsonb": "json",
    "xml": "xml",
    # Stored as text, because it has more than 38 digits or no limit.
    "numeric": "number",
}


def node_of(attribute: Attribute, items: Items, schema: TableSchema) -> Node:
    """A declared attribute, whose declaration and columns were found sound."""
    if attribute.constant is not None:
        return constant_node(attribute)
    if attribute.fields is not None:
        return MapOf(tuple((each.name, node_of(each, items, schema)) for each in attribute.fields))
    if attribute.elements is not None:
        return ListOf(tuple(node_of(each, items, schema) for each in attribute.elements))
    assert attribute.template is not None
    template = Template.parse(attribute.template)
    kind = attribute.type or template_type(template, items.types, schema)
    return Scalar(template, kind, items.nan, items.nulls == "null", _selected(template, kind, items))


def _selected(template: Template, kind: AttributeType, items: Items) -> tuple[str, ...]:
    """The parts of a document that are kept; of what is no document, nothing is said."""
    column = template.single_column
    return tuple(items.select.get(column, ())) if column is not None and kind in SELECTABLE else ()


def columns_of(attribute: Attribute) -> set[str]:
    """All columns that a declared attribute is made of."""
    found = set(Template.parse(attribute.template).columns) if attribute.template is not None else set()
    for each in (*(attribute.fields or ()), *(attribute.elements or ())):
        found |= columns_of(each)
    return found


def template_type(
    template: Template, types: Mapping[str, AttributeType], schema: TableSchema
) -> AttributeType:
    column = template.single_column
    return "string" if column is None else types.get(column) or own_type(schema.column(column))


def constant_node(attribute: Attribute) -> Constant:
    """Raises NotStorable where the constant is not of the declared type."""
    value = attribute.constant
    if isinstance(value, bool) and attribute.type in (None, "boolean"):
        return Constant('{"BOOL":true}' if value else '{"BOOL":false}', 1)
    text = str(value)
    if attribute.type == "number" or (attribute.type is None and isinstance(value, int)):
        number = canonical_number(text)
        return Constant(f'{{"N":"{number}"}}', number_size(number))
    return Constant(f'{{"S":{quoted_json(text)}}}', len(text.encode()))


def column_node(column: Column, items: Items) -> Scalar:
    kind = items.types.get(column.name) or own_type(column)
    template = Template.of(column.name)
    return Scalar(template, kind, items.nan, items.nulls == "null", _selected(template, kind, items))


def attribute_nodes(items: Items, schema: TableSchema, names: Sequence[str]) -> dict[str, Node]:
    """Every attribute but the keys, by name; `names` are the columns that become attributes."""
    nodes: dict[str, Node] = {}
    own = {name: column_node(schema.column(name), items) for name in names}
    if items.columns == "document":
        nodes[items.document_name] = MapOf(tuple(own.items()))
    elif items.columns == "attributes":
        nodes |= own
    nodes |= {each.name: node_of(each, items, schema) for each in items.attributes}
    if items.ttl is not None:
        nodes[items.ttl.name] = Expiry(items.ttl.column, items.ttl.days)
    return nodes
