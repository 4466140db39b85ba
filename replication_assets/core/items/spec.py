"""How a user declares that rows of one source table become items of one DynamoDB table.

A declaration says nothing of the table's columns. `rules.spec_problems` tells what is wrong
with it on its own, `ItemMapping` what does not fit the columns.

Templates are literal text and `${column}`; `$${` is a literal `${`. They render numbers without
exponent and without trailing zeros, times as ISO 8601 in UTC with six digits of a second
(which sort as the times do), dates as ISO, booleans as `true` and `false`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, TypeAlias

from replication_assets.core.declared import Declared

KeyType: TypeAlias = Literal["string", "number", "binary"]
AttributeType: TypeAlias = Literal[
    "string",
    "number",
    "boolean",
    "binary",
    "json",
    "xml",
    "string-list",
    "number-list",
    "string-set",
    "number-set",
]


@dataclass(frozen=True, slots=True)
class ItemKey:
    """A key attribute: `ItemKey("pk", "order#${id}")`.

    A row in which one of the columns is NULL or empty has no key and is refused.
    """

    name: str
    template: str
    _: KW_ONLY
    type: KeyType = "string"


@dataclass(frozen=True, slots=True)
class Attribute(Declared):
    """An attribute of its own: exactly one of a template, a constant, fields or elements.

    `Attribute("total", "${total}", type="number")`, `Attribute("kind", constant="order")`,
    `Attribute("address", fields=[Attribute("city", "${city}")])` for a map; `elements` are
    attributes without names, for a list. Without a `type` a template that is one column has the
    column's own, any other is a string. It is absent where one of its columns is NULL.
    """

    name: str
    template: str | None = None
    _: KW_ONLY
    type: AttributeType | None = None
    constant: str | int | bool | None = None
    fields: Sequence[Attribute] | None = None
    elements: Sequence[Attribute] | None = None


@dataclass(frozen=True, slots=True)
class Ttl:
    """When DynamoDB may delete the item: `column` plus `days`, as epoch seconds.

    The column is a date or a timestamp; one without time zone is read as UTC. NULL and
    `infinity` mean never: no attribute.
    """

    name: str
    _: KW_ONLY
    column: str
    days: int = 0


@dataclass(frozen=True, slots=True)
class S3Pointer:
    """Too large items keep their largest attributes in S3, and a map that points there.

    `attributes` are the ones that may go, in this order; empty: the largest first.
    """

    bucket: str
    prefix: str = ""
    attributes: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", tuple(self.attributes))


@dataclass(frozen=True, slots=True)
class Split:
    """Too large items keep their largest attributes in items beside them, `part_bytes` each."""

    part_bytes: int = 350_000


@dataclass(frozen=True, slots=True)
class WriteCondition(Declared):
    """What must hold of the item that a row's item would replace: `expression`, in DynamoDB's notation.

    `WriteCondition("attribute_not_exists(v) OR v <= :v", values=[Attribute(":v", "${version}")])`.
    `values` are what `:name` stands for, with columns of the row; `names` what `#name` stands
    for, though attributes may be written as they are, reserved words too. Of a deleted row it holds if
    it holds where nothing stands. It counts `on_load`, when a range is filled, and `on_change`, when
    changes are applied. A row of which it does not hold becomes a dead letter, and the item stays.
    """

    expression: str
    _: KW_ONLY
    values: Sequence[Attribute] = ()
    names: Mapping[str, str] = field(default_factory=dict, hash=False)
    on_load: bool = True
    on_change: bool = False


Oversize: TypeAlias = Literal["dead-letter"] | S3Pointer | Split


@dataclass(frozen=True, slots=True)
class Items(Declared):
    """How rows of one source table become items of one DynamoDB table.

    Several may write to the same DynamoDB table, as long as their keys never meet.

    Columns that `exclude` does not name become attributes of the same names (`attributes`), one
    map called `document_name` (`document`), or nothing (`none`). A column whose name is that of
    a key or of a declared attribute does not become another one. `types` gives single
    columns another type than their own: json and xml columns are maps and lists unless told
    `string`, arrays are strings unless told to be a list or a set. `select` names, by column, the parts
    of json and xml documents that are kept, as paths: `/order/line/@widget`, `$.emails[*].to`.

    `nulls`: SQL NULL is no attribute, or one of type NULL. `nan`: NaN and the infinities of a
    number become strings, or the value goes to the dead letters and the rest of the row stays.
    `oversize`: what becomes of items over 400 KB. `condition`: what must hold, beside being older, of
    what stands where an item is written.
    """

    table: str
    into: str
    _: KW_ONLY
    partition_key: ItemKey
    sort_key: ItemKey | None = None
    attributes: Sequence[Attribute] = ()
    exclude: Sequence[str] = ()
    columns: Literal["attributes", "document", "none"] = "attributes"
    document_name: str = "_doc"
    types: Mapping[str, AttributeType] = field(default_factory=dict, hash=False)
    select: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    ttl: Ttl | None = None
    nulls: Literal["omit", "null"] = "omit"
    nan: Literal["string", "dead-letter"] = "string"
    oversize: Oversize = "dead-letter"
    condition: WriteCondition | None = None

    @property
    def keys(self) -> tuple[ItemKey, ...]:
        return (self.partition_key,) if self.sort_key is None else (self.partition_key, self.sort_key)
