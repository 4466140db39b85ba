"""What a mapping makes of tables: the result of all its rules, each with the rule that decided."""

from __future__ import annotations

from dataclasses import dataclass

from replication_assets.core.expressions.syntax import Expression
from replication_assets.dms.findings import Finding
from replication_assets.dms.rules import (
    DataType,
    Filter,
    LobSettings,
    ObjectMapping,
    ParallelLoad,
    PrimaryKey,
    ValidationOverride,
)
from replication_assets.dms.source_tables import SourceTable


@dataclass(frozen=True, slots=True)
class Mask:
    """`character` is what digits become; empty for other masks."""

    action: str
    character: str = ""


@dataclass(frozen=True, slots=True)
class ColumnOutcome:
    """A column of the target: `source` is None for one that is added.

    `before` marks the value that an update replaced. `masks` are in their order.
    """

    source: str | None
    target: str
    type: DataType | None
    native: str
    rules: tuple[str, ...] = ()
    expression: Expression | None = None
    masks: tuple[Mask, ...] = ()
    before: bool = False
    retyped: bool = False

    @property
    def recomputed(self) -> bool:
        """Whether a column of the source has other values in the target."""
        return self.source is not None and not self.before and bool(self.masks or self.retyped)

    @property
    def revalued(self) -> bool:
        """Whether a mask or an expression makes other values of the source's; another type alone does not."""
        return self.recomputed and (bool(self.masks) or self.expression is not None)


@dataclass(frozen=True, slots=True)
class Removed:
    """A column that the target lacks, and why."""

    source: str
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Overridden:
    """A rule that matched and had to give way: the lower rule-id wins."""

    rule: str
    action: str
    about: str
    by: str


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """A table of the source in its target. Where its columns are not known, `columns` holds the added
    ones alone and `columns_known` is false."""

    source: SourceTable
    selected_by: str
    load_order: int
    target_schema: str
    target_table: str
    naming_rules: tuple[str, ...]
    columns: tuple[ColumnOutcome, ...]
    removed: tuple[Removed, ...]
    columns_known: bool
    key: tuple[str, ...]
    defined_key: PrimaryKey | None
    filters: tuple[Filter, ...]
    filters_rule: str | None
    parallel_load: ParallelLoad | None
    lobs: LobSettings | None
    object_mapping: ObjectMapping | None
    validations: tuple[ValidationOverride, ...]
    tags: tuple[tuple[str, str], ...]
    overridden: tuple[Overridden, ...]
    tablespaces: tuple[tuple[str, str], ...] = ()

    @property
    def target(self) -> str:
        return f"{self.target_schema}.{self.target_table}"

    @property
    def displaced(self) -> tuple[str, ...]:
        """Removed columns of which another column has the name in the target."""
        given = {each.target for each in self.columns}
        return tuple(each.source for each in self.removed if each.source in given)

    def column(self, source: str) -> ColumnOutcome | None:
        return next((each for each in self.columns if each.source == source and not each.before), None)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A table of the source that is not replicated."""

    table: SourceTable
    why: str
    rule: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """`tables` in the order in which their loads start."""

    tables: tuple[TableOutcome, ...]
    left_out: tuple[LeftOut, ...]
    unused: tuple[str, ...]
    findings: tuple[Finding, ...]
