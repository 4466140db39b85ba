"""How a user declares what the messages of one table look like, and what AWS DMS's envelope has.

A declaration says nothing of the table's columns; `spec_problems` tells what is wrong with it on its own,
`mapped.Mapped` what does not fit the columns. Templates are those of items: text and `${column}`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from replication_assets.core.declared import Declared
from replication_assets.core.items.spec import Attribute
from replication_assets.core.items.templates import Template

PartitionKey: TypeAlias = Literal["primary-key", "schema-table"]
ATTRIBUTE_TYPES = (None, "string", "number", "boolean", "json")
JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Messages(Declared):
    """How the events of one table become messages in DMS's envelope.

    `topic` and `partition_key` are those of the projection unless told. `key` is a template that keys are
    made of instead, such as `${last_name}, ${first_name}`, or a text that all messages share; where a column
    of it is NULL, the key is the table's name. Columns that `exclude` does not name become members of
    `data` (`columns` "attributes"), of one object in it called `document_name` ("document"), or nothing
    ("none"). `attributes` are members of their own, made of any columns; one that has the name of a column
    is told in its place. Columns are called as the shape of the table calls them, if it has one.
    `schema_name` and `table_name` are what messages call the table, if not as the source does.
    """

    table: str
    _: KW_ONLY
    topic: str | None = None
    partition_key: PartitionKey | None = None
    key: str | None = None
    attributes: Sequence[Attribute] = ()
    exclude: Sequence[str] = ()
    columns: Literal["attributes", "document", "none"] = "attributes"
    document_name: str = "_doc"
    schema_name: str | None = None
    table_name: str | None = None

    @property
    def is_shaped(self) -> bool:
        """Whether it says more than where messages go."""
        return self != Messages(self.table, topic=self.topic, partition_key=self.partition_key)


@dataclass(frozen=True, slots=True)
class DmsEnvelope(Declared):
    """What DMS's envelope has, by the settings of its Kafka endpoint.

    Without `nulls` members that are NULL are left out; empty texts stay. `transaction_details` are the
    time of the commit, the position and the number within the transaction. `alter_operations` are control
    records of columns that came or went, `control_details` tell these columns. `partition_value` tells
    each message's key in its metadata. `table_in_key` puts schema and table before each key, unless told
    where a topic can have several tables. `hex_prefix` is the `0x` before binary values. Old values stand
    in `before_field`; with `before_columns` "key" those of the key alone.
    """

    _: KW_ONLY
    nulls: bool = True
    transaction_details: bool = True
    alter_operations: bool = True
    control_details: bool = True
    partition_value: bool = False
    table_in_key: bool | None = None
    hex_prefix: bool = True
    before_field: str = "before-image"
    before_columns: Literal["all", "key"] = "all"


def envelope_problems(envelope: DmsEnvelope) -> Iterator[str]:
    if envelope.before_field in ("", "data", "metadata", "control"):
        yield f"before_field {envelope.before_field!r} is taken. Fix: before-image"


def spec_problems(messages: Messages) -> Iterator[str]:
    """What is wrong whatever the columns are, each with its fix."""
    if messages.key is not None and messages.partition_key is not None:
        yield "has a key and a partition_key. Fix: one of them"
    if messages.key is not None:
        yield from _template_problems("key", messages.key)
        if not messages.key:
            yield "key is empty. Fix: a text, or columns"
    for attribute in messages.attributes:
        yield from _attribute_problems(attribute, f"attribute {attribute.name!r}", 0)
    names = [each.name for each in messages.attributes]
    names += [messages.document_name] if messages.columns == "document" else []
    for name, times in Counter(names).items():
        if times > 1:
            yield f"{times} attributes are called {name!r}. Fix: a name each"
    for what in ("document_name", "schema_name", "table_name"):
        if getattr(messages, what) == "":
            yield f"{what} is empty. Fix: a name"


def _template_problems(label: str, text: str) -> Iterator[str]:
    try:
        Template.parse(text)
    except ValueError as error:
        yield f"{label}: the template {error}. Fix: ${{column}}, or $${{ for the two characters"


def _attribute_problems(attribute: Attribute, label: str, depth: int) -> Iterator[str]:
    kinds = ("template", "constant", "fields", "elements")
    given = [name for name in kinds if getattr(attribute, name) is not None]
    if len(given) != 1:
        yield f"{label} has {' and '.join(given) or 'nothing'}. Fix: template, constant, fields or elements"
    elif attribute.type not in ATTRIBUTE_TYPES:
        yield f"{label} cannot be {attribute.type!r} in JSON. Fix: string, number, boolean or json"
    elif attribute.template is not None:
        yield from _template_problems(label, attribute.template)
    elif attribute.constant is not None:
        yield from _constant_problems(attribute, label)
    elif depth >= MAX_DEPTH:
        yield f"{label} is more than {MAX_DEPTH} levels deep. Fix: fewer"
    else:
        inner = attribute.fields if attribute.fields is not None else attribute.elements or ()
        named = Counter(each.name for each in attribute.fields or ())
        for name in (name for name, times in named.items() if times > 1):
            yield f"{label} names field {name!r} twice. Fix: name each once"
        for each in inner:
            yield from _attribute_problems(each, f"{label} {each.name!r}", depth + 1)


def _constant_problems(attribute: Attribute, label: str) -> Iterator[str]:
    try:
        constant_json(attribute)
    except ValueError:
        yield f"{label}: the constant is no {attribute.type}. Fix: another constant, or another type"


def constant_json(attribute: Attribute) -> str:
    """A constant as JSON of its type, every digit kept. Raises ValueError."""
    value, kind = attribute.constant, attribute.type
    bare = str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "string" or (kind is None and isinstance(value, str)):
        return json.dumps(bare, ensure_ascii=False)
    if kind == "boolean" and bare.lower() in ("true", "false"):
        return bare.lower()
    if kind == "number" and JSON_NUMBER.fullmatch(bare):
        return bare
    if kind in (None, "json") and is_json(bare):
        return bare
    raise ValueError(kind)


def is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(constant: str) -> None:
    """`NaN` and the like, which Python reads and JSON has not."""
    raise ValueError(constant)
