"""Rules that look at no value: keep it, or put the same in every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.families.typed_values import typed_values
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.rules import ColumnDefault, Constant, Keep, Null
from replication_assets.errors import GuardError, PolicyError


@dataclass(frozen=True, slots=True)
class KeepMasker:
    """The values as they are. What may be kept is the environment's to say, not the rule's."""

    column: MaskedColumn
    uniqueness: ClassVar[Uniqueness] = "preserved"
    draws_by_row: ClassVar[bool] = False

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column.name,)

    def mask(self, rows: Rows) -> pa.Array:
        return rows.column(self.column.name)

    def fits(self, values: pa.Array) -> pa.Array:
        return _true_or_null(values)


@dataclass(frozen=True, slots=True)
class NullMasker:
    column: MaskedColumn
    uniqueness: ClassVar[Uniqueness] = "lossy"
    reads: ClassVar[tuple[str, ...]] = ()
    draws_by_row: ClassVar[bool] = False

    def mask(self, rows: Rows) -> pa.Array:
        return pa.nulls(len(rows), self.column.arrow)

    def fits(self, values: pa.Array) -> pa.Array:
        return pc.invert(_true_or_null(values))


@dataclass(frozen=True, slots=True)
class ConstantMasker:
    column: MaskedColumn
    value: pa.Scalar
    uniqueness: ClassVar[Uniqueness] = "lossy"
    reads: ClassVar[tuple[str, ...]] = ()
    draws_by_row: ClassVar[bool] = False

    def mask(self, rows: Rows) -> pa.Array:
        return pa.repeat(self.value, len(rows))

    def fits(self, values: pa.Array) -> pa.Array:
        return pc.equal(values, self.value)


@dataclass(frozen=True, slots=True)
class DefaultMasker:
    """The column is left out of the staged rows, so that the copy fills it in: `mask` is never called.
    What the copy makes of its own default is not the guard's; every value fits."""

    column: MaskedColumn
    uniqueness: Uniqueness
    leaves_out: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ()
    draws_by_row: ClassVar[bool] = False

    def mask(self, rows: Rows) -> pa.Array:
        raise GuardError(
            f"a column of {len(rows)} rows is filled in by the copy, and was asked of the mask",
            where=f"column {self.column.name}",
            fix="leave it out of what is staged",
        )

    def fits(self, values: pa.Array) -> pa.Array:
        return _true_or_null(values)


def _true_or_null(values: pa.Array) -> pa.Array:
    return pc.if_else(values.is_valid(), pa.scalar(True), pa.scalar(None, pa.bool_()))


def keep(_rule: Keep, column: MaskedColumn, _context: RuleContext) -> KeepMasker:
    return KeepMasker(column)


def null(_rule: Null, column: MaskedColumn, _context: RuleContext) -> NullMasker:
    if not column.structure.nullable:
        raise PolicyError(["Null stands at a column that is NOT NULL. Fix: Constant, or another rule"])
    return NullMasker(column)


def constant(rule: Constant, column: MaskedColumn, _context: RuleContext) -> ConstantMasker:
    return ConstantMasker(column, typed_values([rule.value], column)[0])


def column_default(_rule: ColumnDefault, column: MaskedColumn, _context: RuleContext) -> DefaultMasker:
    """Identity columns and those that draw from a sequence stay unique by what fills them in."""
    found = column.structure
    drawn = found.identity is not None or "nextval" in (found.default or "").lower()
    filled = drawn or found.generated is not None or found.default is not None
    if not filled and not found.nullable:
        raise PolicyError(["ColumnDefault stands at a column that is NOT NULL and has none. Fix: Constant"])
    return DefaultMasker(column, "preserved" if drawn else "lossy")


BUILDERS: Mapping[type, Builder[Any]] = {
    Keep: keep,
    Null: null,
    Constant: constant,
    ColumnDefault: column_default,
}
