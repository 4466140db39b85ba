"""One of the values that the policy names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.families.draws import Draw, draw_for
from replication_assets.core.masking.families.numbers import fractions
from replication_assets.core.masking.families.reading import OfValueAndDraw
from replication_assets.core.masking.families.typed_values import typed_values
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.rules import Choice
from replication_assets.errors import PolicyError


@dataclass(frozen=True)
class ChoiceMasker(OfValueAndDraw):
    """`shares[i]` is how much of all is chosen up to value i. The column is read for its nulls alone."""

    column: MaskedColumn
    draw: Draw
    values: pa.Array
    shares: npt.NDArray[np.float64]
    uniqueness: ClassVar[Uniqueness] = "lossy"

    def mask(self, rows: Rows) -> pa.Array:
        inputs = rows.column(self.column.name)
        chosen = np.searchsorted(self.shares, fractions(self.draw.words(rows)), side="right")
        chosen = np.minimum(chosen, len(self.values) - 1)
        nulls = inputs.is_null().to_numpy(zero_copy_only=False) if inputs.null_count else None
        return self.values.take(pa.array(chosen, mask=nulls))

    def fits(self, values: pa.Array) -> pa.Array:
        found = pc.is_in(values, value_set=self.values)
        return pc.if_else(values.is_valid(), found, pa.scalar(None, pa.bool_()))


def choice(rule: Choice, column: MaskedColumn, context: RuleContext) -> ChoiceMasker:
    """A value whose weight is 0 is as if it were not named."""
    weights = list(rule.weights) or [1.0] * len(rule.values)
    problems = []
    if not rule.values:
        problems.append("Choice has no values. Fix: name one at least")
    elif len(weights) != len(rule.values):
        problems.append("Choice has not as many weights as values. Fix: one for each, or none")
    elif not all(math.isfinite(each) and each >= 0 for each in weights) or not sum(weights) > 0:
        problems.append("Choice has weights below 0, or none above. Fix: weights of 0 or more")
    if problems:
        raise PolicyError(problems)
    values = typed_values(rule.values, column)
    kept = np.array(weights) > 0
    shares = np.cumsum(np.array(weights, np.float64)[kept]) / math.fsum(weights)
    draw = draw_for("choice", rule.namespace, column, context, by=rule.by)
    return ChoiceMasker(column, draw, values.filter(pa.array(kept)), shares)


BUILDERS: Mapping[type, Builder[Any]] = {Choice: choice}
