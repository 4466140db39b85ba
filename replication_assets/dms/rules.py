"""The rules of a table mapping, as they were written: nothing here is applied or resolved.

Names of fields follow the documentation of AWS DMS, "Table mapping rules using JSON".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from replication_assets.core.expressions.syntax import Expression
from replication_assets.dms.findings import Place
from replication_assets.dms.json_source import Node
from replication_assets.dms.patterns import Pattern

TableKind: TypeAlias = Literal["table", "view"]


@dataclass(frozen=True, slots=True)
class Locator:
    """What a rule is about. `table_type` is None where the rule says none and takes any."""

    schema: Pattern
    table: Pattern | None
    table_type: str | None
    column: Pattern | None
    data_type: str | None
    table_tablespace: str | None
    index_tablespace: str | None
    place: Place

    def takes(self, schema: str, table: str, kind: TableKind) -> bool:
        of_kind = self.table_type in (None, "all", kind)
        return of_kind and self.schema.matches(schema) and (self.table is None or self.table.matches(table))

    def __str__(self) -> str:
        parts = [self.schema.text, self.table.text if self.table else "%"]
        return ".".join([*parts, self.column.text] if self.column else parts)


@dataclass(frozen=True, slots=True)
class Condition:
    """`operator` is one of `filters.OPERATORS`; `values` as many as it takes."""

    operator: str
    values: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Filter:
    """Rows for which one of the conditions holds on the column."""

    column: str
    conditions: tuple[Condition, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Rule:
    """`order` is the place among the rules of its file: what stands first wins between equal ids."""

    id: str
    name: str
    locator: Locator
    place: Place
    order: int

    @property
    def precedence(self) -> tuple[int, int, str, int]:
        """The lower wins: numbers by their value, and before what is no number."""
        numeric = self.id.strip().isdigit()
        return (0 if numeric else 1, int(self.id) if numeric else 0, self.id, self.order)


@dataclass(frozen=True, slots=True)
class Selection(Rule):
    action: str
    load_order: int
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class DataType:
    """A DMS type with its figures: `string(50)`, `numeric(20, 5)`, `datetime(6)`."""

    type: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None

    def __str__(self) -> str:
        figures = [str(each) for each in (self.length, self.precision, self.scale) if each is not None]
        return f"{self.type}({', '.join(figures)})" if figures else self.type


@dataclass(frozen=True, slots=True)
class PrimaryKey:
    name: str
    origin: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BeforeImage:
    """Names of the added columns are prefix + name + suffix; `only` is pk-only, non-lob or all."""

    prefix: str
    suffix: str
    only: str


@dataclass(frozen=True, slots=True)
class Transformation(Rule):
    target: str
    action: str
    value: str | None
    old_value: str | None
    expression: Expression | None
    data_type: DataType | None
    primary_key: PrimaryKey | None
    before_image: BeforeImage | None


@dataclass(frozen=True, slots=True)
class ParallelLoad:
    """`boundaries` are exclusive upper bounds, one value for each of `columns`."""

    type: str
    columns: tuple[str, ...]
    boundaries: tuple[tuple[str, ...], ...]
    partitions: tuple[str, ...]
    subpartitions: tuple[str, ...]
    number_of_partitions: int | None
    place: Place


@dataclass(frozen=True, slots=True)
class LobSettings:
    mode: str
    bulk_max_size: int | None


@dataclass(frozen=True, slots=True)
class TableSettings(Rule):
    parallel_load: ParallelLoad | None
    lobs: LobSettings | None


@dataclass(frozen=True, slots=True)
class AttributeMapping:
    """`value` is a template, or the JSON of a document in DynamoDB's own notation."""

    name: str
    type: str
    sub_type: str | None
    value: Node | None
    place: Place


@dataclass(frozen=True, slots=True)
class ConditionExpression:
    expression: str
    attribute_values: tuple[tuple[str, Node], ...]
    attribute_names: tuple[tuple[str, str], ...]
    during_full_load: bool
    during_cdc: bool
    place: Place


@dataclass(frozen=True, slots=True)
class ObjectMapping(Rule):
    """For DynamoDB with attribute mappings, for Kafka and Kinesis with keys and a topic. `streams`: it is
    for one of the latter two."""

    action: str
    target_table: str | None
    topic: str | None
    partition_key_name: str | None
    sort_key_name: str | None
    exclude_columns: tuple[str, ...]
    attributes: tuple[AttributeMapping, ...]
    condition: ConditionExpression | None
    partition_key_type: str | None
    partition_key_constant: str | None
    streams: bool

    @property
    def implied(self) -> bool:
        """Whether no rule of the file says it: what DMS does of itself."""
        return self.order < 0


@dataclass(frozen=True, slots=True)
class ValidationOverride(Rule):
    """Validation compares the results of these functions instead of the column itself."""

    source_function: str | None
    target_function: str | None


@dataclass(frozen=True, slots=True)
class PostProcessing(Rule):
    """Tags of the objects that are written to S3."""

    tags: tuple[tuple[str, str], ...]


AnyRule: TypeAlias = (
    Selection | Transformation | TableSettings | ObjectMapping | ValidationOverride | PostProcessing
)
