"""A declaration of messages, once the columns are known: what `data`, the key and old values have.

A name that is no column is refused, so that nothing that was to be left out is told under another spelling.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.envelopes.json_columns import json_texts
from replication_assets.core.envelopes.layout import Layout, Texts
from replication_assets.core.envelopes.specs import (
    JSON_NUMBER,
    Messages,
    constant_json,
    is_json,
    spec_problems,
)
from replication_assets.core.events import OP
from replication_assets.core.items.spec import Attribute
from replication_assets.core.items.templates import ColumnRef, Template
from replication_assets.core.schema import TableSchema
from replication_assets.errors import CatalogError

_NOTHING = pa.scalar(None, pa.string())


class Mapped:
    """`names` are the columns that messages tell.

    `key_columns` are columns that keys are made of beside the table's own key: deletes are given them
    from earlier events.
    """

    def __init__(self, messages: Messages, schema: TableSchema) -> None:
        """Raises CatalogError with everything in which the declaration does not fit the columns."""
        problems = list(spec_problems(messages)) or list(_misfits(messages, schema))
        if problems:
            raise CatalogError(problems, where=f"messages of {messages.table}")
        self.messages, self.schema = messages, schema
        self.names = told_names(messages, schema.names)
        self._key = Template.parse(messages.key) if messages.key is not None else None
        columns = self._key.columns if self._key is not None else ()
        self.key_columns = tuple(name for name in columns if name not in schema.key)

    @property
    def key_kind(self) -> str | None:
        """What keys are made of, as messages say it; None: by the partition key."""
        if self._key is None:
            return None
        return "attribute-name" if self._key.columns else "constant"

    def data(self, layout: Layout, rows: pa.Table, values: Sequence[Texts], *, nulls: bool) -> Texts:
        """`data` of each row; of a delete what its event has. Without `nulls` what is NULL is left out."""
        columns = dict(zip(self.schema.names, values, strict=True))
        absent = pc.equal(rows[OP], "D").combine_chunks()
        told = _Told(layout, columns, absent if nulls else pa.array([True] * len(rows), pa.bool_()))
        nested = self.messages.columns == "document"
        key = self.schema.key
        members = [
            layout.member(name, columns[name] if name in key else told.present(columns[name]))
            for name in self.names
        ]
        if nested:
            members = [layout.member(self.messages.document_name, layout.object(members, 2))]
        members += [
            layout.member(each.name, told.present(told.value(each, 2))) for each in self.messages.attributes
        ]
        return layout.object(members, 1) if members else pa.array(["{}"] * len(rows), pa.string())

    def keys(self, values: Sequence[Texts], table_key: bytes) -> list[bytes] | None:
        """The declared key of each row; None where none is declared. `table_key` stands for NULL."""
        if self._key is None:
            return None
        columns = dict(zip(self.schema.names, values, strict=True))
        texts = filled(self._key, columns, len(values[0]))
        return [table_key if each is None else each.encode() for each in texts.to_pylist()]

    def old(self, was: Mapping[str, str]) -> dict[str, str]:
        """Old values of columns that messages tell."""
        return {name: value for name, value in was.items() if name in self.names}


def told_names(messages: Messages, columns: Iterable[str]) -> tuple[str, ...]:
    """Columns that messages tell."""
    if messages.columns == "none":
        return ()
    beside = {each.name for each in messages.attributes} if messages.columns == "attributes" else set()
    return tuple(name for name in columns if name not in messages.exclude and name not in beside)


def filled(template: Template, columns: Mapping[str, Texts], count: int) -> Texts:
    """The template of each row; null where one of its columns is."""
    parts = [
        _plain(columns[part.name]) if isinstance(part, ColumnRef) else pa.repeat(part, count)
        for part in template.parts
    ]
    return pc.binary_join_element_wise(*parts, "") if parts else pa.repeat("", count)


def _plain(values: Texts) -> Texts:
    """JSON values as bare texts."""
    in_quotes = pc.starts_with(values, '"')
    bare = pc.if_else(in_quotes, pc.utf8_slice_codeunits(values, 1, -1), values)
    escaped = pc.fill_null(pc.and_(in_quotes, pc.match_substring(values, "\\")), False)
    if not pc.any(escaped, min_count=0).as_py():
        return bare
    texts = [json.loads(each) for each in values.filter(escaped).to_pylist()]
    return pc.replace_with_mask(bare, escaped, pa.array(texts, pa.string()))


class _Told:
    """Values of attributes; `absent` says in which rows NULL is left out."""

    def __init__(self, layout: Layout, columns: Mapping[str, Texts], absent: pa.BooleanArray) -> None:
        self._layout, self._columns, self._absent = layout, columns, absent

    def present(self, values: Texts) -> Texts:
        return pc.if_else(self._absent, values, pc.coalesce(values, "null"))

    def value(self, attribute: Attribute, depth: int) -> Texts:
        """JSON of an attribute, null for NULL."""
        count = len(self._absent)
        if attribute.template is not None:
            return self._scalar(attribute, Template.parse(attribute.template))
        if attribute.fields is not None:
            return self._object(attribute.fields, depth)
        if attribute.elements is not None:
            parts = [pc.coalesce(self.value(each, depth + 1), "null") for each in attribute.elements]
            joined = pc.binary_join_element_wise(*parts, ",") if parts else pa.repeat("", count)
            return pc.binary_join_element_wise("[", joined, "]", "")
        return pa.repeat(constant_json(attribute), count)

    def _object(self, fields: Sequence[Attribute], depth: int) -> Texts:
        """NULL where nothing is left in it."""
        values = [self.present(self.value(each, depth + 1)) for each in fields]
        if not values:
            return pa.repeat("{}", len(self._absent))
        members = [self._layout.member(each.name, value) for each, value in zip(fields, values, strict=True)]
        some = reduce(pc.or_, (value.is_valid() for value in values))
        return pc.if_else(some, self._layout.object(members, depth), _NOTHING)

    def _scalar(self, attribute: Attribute, template: Template) -> Texts:
        """A text that is no number, boolean or document as its type says is told as text."""
        if attribute.type is None and template.single_column is not None:
            return self._columns[template.single_column]
        texts = filled(template, self._columns, len(self._absent))
        if attribute.type in (None, "string"):
            return json_texts(texts)
        if attribute.type == "number":
            fits = pc.match_substring_regex(texts, f"^{JSON_NUMBER.pattern}$")
        elif attribute.type == "boolean":
            texts = pc.if_else(pc.equal(texts, "1"), "true", pc.if_else(pc.equal(texts, "0"), "false", texts))
            fits = pc.is_in(texts, pa.array(["true", "false"]))
        else:
            fits = pa.array([each is not None and is_json(each) for each in texts.to_pylist()], pa.bool_())
        return pc.if_else(pc.fill_null(fits, False), texts, json_texts(texts))


def _misfits(messages: Messages, schema: TableSchema) -> Iterator[str]:
    known = set(schema.names)
    used = [("exclude", name) for name in messages.exclude]
    templates = [("key", messages.key)] if messages.key is not None else []
    for attribute in messages.attributes:
        templates += [(f"attribute {attribute.name!r}", each) for each in _templates(attribute)]
    used += [(what, name) for what, text in templates for name in Template.parse(text).columns]
    for what, name in dict.fromkeys(used):
        if name not in known:
            alike = [each for each in schema.names if each.lower() == name.lower()]
            fix = f"did you mean {alike[0]}?" if alike else f"one of {', '.join(schema.names[:8])}"
            yield f"{what}: {name[:60]!r} is no column of the table. Fix: {fix}"


def _templates(attribute: Attribute) -> Iterator[str]:
    if attribute.template is not None:
        yield attribute.template
    for each in (*(attribute.fields or ()), *(attribute.elements or ())):
        yield from _templates(each)
