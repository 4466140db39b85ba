"""What is wrong with a declaration of items: on its own, and against a table's columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import get_args

import pyarrow as pa

from replication_assets.core.documents.selection import path_problems
from replication_assets.core.items.documents import MAX_DEPTH
from replication_assets.core.items.guards import condition_problems
from replication_assets.core.items.nodes import columns_of, constant_node, template_type
from replication_assets.core.items.numbers import NotStorable
from replication_assets.core.items.registers import REGISTERS
from replication_assets.core.items.selected import SELECTABLE
from replication_assets.core.items.spec import Attribute, AttributeType, Items, S3Pointer, Split
from replication_assets.core.items.templates import Template
from replication_assets.core.items.values import fits
from replication_assets.core.schema import TableSchema

TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_TYPES: tuple[AttributeType, ...] = get_args(AttributeType)


def spec_problems(items: Items) -> Iterator[str]:
    """What is wrong whatever the columns are, each with its fix."""
    if not TABLE_NAME.fullmatch(items.into):
        yield f"into {items.into[:60]!r} is no DynamoDB table. Fix: 3 to 255 letters, digits, _ . -"
    for key in items.keys:
        yield from _name_problems("key", key.name, limit=255)
        yield from _template_problems(f"key {key.name!r}", key.template, is_key=True)
    if not any("${" in key.template.replace("$${", "") for key in items.keys):
        yield "the key names no column: all rows would be one item. Fix: a ${column} in its template"
    for attribute in items.attributes:
        yield from _name_problems("attribute", attribute.name, limit=65_535)
        yield from _attribute_problems(attribute, f"attribute {attribute.name!r}", depth=0)
    if items.columns == "document":
        yield from _name_problems("document_name", items.document_name, limit=65_535)
    if items.ttl is not None:
        yield from _name_problems("ttl", items.ttl.name, limit=255)
        if not -1_000_000 <= items.ttl.days <= 1_000_000:
            yield "ttl days is beyond a million. Fix: days after the column's date"
    yield from _twice(items)
    for column, kind in items.types.items():
        if kind not in _TYPES:
            yield f"types {column!r} is {str(kind)[:30]!r}. Fix: one of {', '.join(_TYPES)}"
    yield from _oversize_problems(items)
    if items.condition is not None:
        for value in items.condition.values:
            yield from _attribute_problems(value, f"condition value {value.name!r}", depth=0)
        yield from condition_problems(items.condition)


def _name_problems(what: str, name: str, *, limit: int) -> Iterator[str]:
    if not 1 <= len(name.encode()) <= limit:
        yield f"{what} name {name[:40]!r} is empty or too long. Fix: 1 to {limit} bytes"
    if name in REGISTERS:
        yield f"{what} name {name!r} is what projections keep their books in. Fix: another name"


def _template_problems(label: str, text: str, *, is_key: bool) -> Iterator[str]:
    try:
        template = Template.parse(text)
    except ValueError as error:
        yield f"{label}: the template {error}. Fix: ${{column}}, or $${{ for the two characters"
        return
    if template.repeated_prefix() is not None:
        prefix = template.repeated_prefix()
        yield f"{label}: the template starts with {prefix!r} twice. Fix: write it once"
    if is_key and template.touching_columns():
        yield (
            f"{label}: two columns stand side by side: 1 and 23 would be the key of 12 and 3. "
            "Fix: a text between them that their values do not have"
        )


def _attribute_problems(attribute: Attribute, label: str, *, depth: int) -> Iterator[str]:
    given = [
        name
        for name in ("template", "constant", "fields", "elements")
        if getattr(attribute, name) is not None
    ]
    if len(given) != 1:
        has = " and ".join(given) or "nothing to hold"
        yield f"{label} has {has}. Fix: a template, a constant, fields or elements"
        return
    if attribute.type is not None and given[0] in ("fields", "elements"):
        yield f"{label} has a type beside {given[0]}. Fix: drop the type"
    if attribute.template is not None:
        yield from _template_problems(label, attribute.template, is_key=False)
    elif attribute.constant is not None:
        yield from _constant_problems(attribute, label)
    elif depth >= MAX_DEPTH:
        yield f"{label} is more than {MAX_DEPTH} levels deep. Fix: fewer"
    else:
        inner = attribute.fields if attribute.fields is not None else attribute.elements or ()
        names = [each.name for each in inner]
        if attribute.fields is not None and len(set(names)) < len(names):
            yield f"{label} names a field twice. Fix: name each once"
        for at, each in enumerate(inner):
            name = f"{label} field {each.name!r}" if attribute.fields is not None else f"{label} element {at}"
            if attribute.fields is not None:
                yield from _name_problems(f"{label} field", each.name, limit=65_535)
            yield from _attribute_problems(each, name, depth=depth + 1)


def _constant_problems(attribute: Attribute, label: str) -> Iterator[str]:
    if attribute.type not in (None, "string", "number", "boolean"):
        yield f"{label}: a constant cannot be {attribute.type!r}. Fix: string, number or boolean"
    elif (attribute.type == "boolean") and not isinstance(attribute.constant, bool):
        yield f"{label}: the constant is no boolean. Fix: True or False"
    elif isinstance(attribute.constant, bool) and attribute.type not in (None, "boolean"):
        yield f"{label}: the constant is a boolean. Fix: drop the type"
    else:
        try:
            constant_node(attribute)
        except NotStorable as error:
            yield f"{label}: the constant is no number that DynamoDB holds ({error.reason}). Fix: another"


def _twice(items: Items) -> Iterator[str]:
    declared = [key.name for key in items.keys] + [each.name for each in items.attributes]
    declared += [items.document_name] if items.columns == "document" else []
    declared += [items.ttl.name] if items.ttl is not None else []
    for name in dict.fromkeys(name for name in declared if declared.count(name) > 1):
        yield f"attribute {name!r} is declared {declared.count(name)} times. Fix: a name each"


def _oversize_problems(items: Items) -> Iterator[str]:
    if isinstance(items.oversize, S3Pointer):
        if not _BUCKET.fullmatch(items.oversize.bucket):
            yield f"oversize bucket {items.oversize.bucket[:63]!r} is no S3 bucket. Fix: its name alone"
        for name in items.oversize.attributes:
            if name in [key.name for key in items.keys]:
                yield f"oversize attribute {name!r} is a key. Fix: one that is not"
    if isinstance(items.oversize, Split):
        last = items.keys[-1]
        if last.type != "string":
            yield f"oversize Split tells parts apart by {last.name!r}, a {last.type}. Fix: a string"
        if not 10_000 <= items.oversize.part_bytes <= 380_000:
            yield "oversize part_bytes is not between 10,000 and 380,000. Fix: 350,000 leaves room"


# --- against the columns ---------------------------------------------------------------


def schema_problems(items: Items, schema: TableSchema) -> Iterator[str]:
    """What does not fit the table's columns. `spec_problems` must have found nothing."""
    types = {column.name: column.arrow for column in schema.columns}
    known = {*types, *schema.not_replicated}
    for what, names in (("exclude", items.exclude), ("types", items.types), ("select", items.select)):
        for name in names:
            if name not in known:
                yield f"{what} {name!r} is no column of the table. Fix: {_nearest(name, types)}"
    for name, paths in items.select.items():
        if name in types:
            yield from _select_problems(name, paths, items, schema)
    for key in items.keys:
        template = Template.parse(key.template)
        yield from _fit_problems(f"key {key.name!r}", template, key.type, types)
    values = items.condition.values if items.condition is not None else ()
    for what, attribute in (
        *(("attribute", each) for each in items.attributes),
        *(("condition value", each) for each in values),
    ):
        yield from _schema_problems(attribute, f"{what} {attribute.name!r}", items, schema, types)
    if items.columns != "none":
        for name in own_columns(items, schema):
            kind = items.types.get(name)
            if kind is not None:
                yield from _fit_problems(f"column {name!r}", Template.of(name), kind, types)
    if items.ttl is not None:
        yield from _ttl_problems(items.ttl.column, types)
    yield from _hidden_columns(items, schema)


def _select_problems(name: str, paths: Sequence[str], items: Items, schema: TableSchema) -> Iterator[str]:
    kind = items.types.get(name) or template_type(Template.of(name), items.types, schema)
    declared = (each for each in items.attributes if each.template is not None and each.type in SELECTABLE)
    kinds = {each.type for each in declared if Template.parse(each.template or "").single_column == name}
    kinds |= {kind} if kind in SELECTABLE else set()
    if not kinds:
        yield f"select {name!r} is of a column that is no document. Fix: types={{{name!r}: 'json'}} or 'xml'"
    for each in sorted(str(kind) for kind in kinds):
        yield from path_problems(tuple(paths), each)


def _schema_problems(
    attribute: Attribute, label: str, items: Items, schema: TableSchema, types: Mapping[str, pa.DataType]
) -> Iterator[str]:
    for each in (*(attribute.fields or ()), *(attribute.elements or ())):
        yield from _schema_problems(each, f"{label} {each.name!r}", items, schema, types)
    if attribute.template is None:
        return
    template = Template.parse(attribute.template)
    kind = attribute.type
    if kind is None and set(template.columns) <= set(types):
        kind = template_type(template, items.types, schema)
    yield from _fit_problems(label, template, kind or "string", types)


def _fit_problems(
    label: str, template: Template, kind: AttributeType, types: Mapping[str, pa.DataType]
) -> Iterator[str]:
    unknown = [name for name in template.columns if name not in types]
    for name in unknown:
        yield f"{label}: {name!r} is no column of the table. Fix: {_nearest(name, types)}"
    if unknown or not template.columns:
        return
    misfit = fits(kind, template, types)
    if misfit is not None:
        yield f"{label} cannot be {kind}: {misfit}. Fix: another type, or another column"


def _ttl_problems(column: str, types: Mapping[str, pa.DataType]) -> Iterator[str]:
    if column not in types:
        yield f"ttl column {column!r} is no column of the table. Fix: {_nearest(column, types)}"
    elif not (pa.types.is_date(types[column]) or pa.types.is_timestamp(types[column])):
        yield f"ttl column {column!r} ({types[column]}) is no date or timestamp. Fix: one that is"


def _hidden_columns(items: Items, schema: TableSchema) -> Iterator[str]:
    """Columns whose value would be lost because something else has their name."""
    if items.columns != "attributes":
        return
    sources = {key.name: set(Template.parse(key.template).columns) for key in items.keys}
    sources |= {each.name: columns_of(each) for each in items.attributes}
    if items.ttl is not None:
        sources[items.ttl.name] = {items.ttl.column}
    for name in schema.names:
        if name in items.exclude:
            continue
        if name in sources and name not in sources[name]:
            yield f"column {name!r} would be hidden by an attribute of its name. Fix: exclude or rename it"
        if name in REGISTERS:
            yield f"column {name!r} has a name that projections keep their books in. Fix: exclude it"


def own_columns(items: Items, schema: TableSchema) -> tuple[str, ...]:
    """Columns that become attributes by themselves, or members of the document."""
    if items.columns == "none":
        return ()
    taken = set(items.exclude)
    if items.columns == "attributes":
        taken |= {key.name for key in items.keys} | {each.name for each in items.attributes}
        taken |= {items.ttl.name} if items.ttl is not None else set()
    return tuple(name for name in schema.names if name not in taken)


def _nearest(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    lower = [each for each in known if each.lower() == name.lower()]
    if lower or close:
        return f"did you mean {' or '.join(lower or close)}?"
    return f"one of {', '.join(list(known)[:8])}"
