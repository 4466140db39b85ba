"""Integer identifiers: a keyed bijection of a namespace's interval onto itself.

The interval is declared, not read from the data: a value outside of it is refused, so that masks do not
change when the data grows, and equal integers map alike whatever the width of their columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.column_bytes import Flags, known
from replication_assets.core.masking.families.limbs import WORD, Limbs, integers_of, limbs_of, limits
from replication_assets.core.masking.families.reading import OfValue
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.permutation import Permutation
from replication_assets.core.masking.policy import Namespace
from replication_assets.core.masking.rules import IntegerId
from replication_assets.errors import GuardError, PolicyError


@dataclass(frozen=True, slots=True)
class IntegerMasker(OfValue):
    column: str
    arrow: pa.DataType
    low: int
    high: int
    permutation: Permutation

    @property
    def uniqueness(self) -> Uniqueness:
        return "preserved"

    def mask(self, rows: Rows) -> pa.Array:
        values = rows.column(self.column)
        limbs = limbs_of(values)
        flags = known(values)
        ranks = self._ranks(limbs, flags)
        masked = np.empty_like(limbs)
        masked[:, 0] = self.permutation.permute(ranks) + np.uint64(self.low % WORD)
        carry = masked[:, 0] < np.uint64(self.low % WORD)
        masked[:, 1] = np.uint64((self.low >> 64) % WORD) + carry
        return integers_of(masked, flags, self.arrow)

    def fits(self, values: pa.Array) -> pa.Array:
        low, high = self._scalar(self.low), self._scalar(self.high)
        return pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))

    def _scalar(self, number: int) -> pa.Scalar:
        is_decimal = pa.types.is_decimal(self.arrow)
        return pa.scalar(Decimal(number) if is_decimal else number, self.arrow)

    def _ranks(self, limbs: Limbs, flags: Flags) -> npt.NDArray[np.uint64]:
        """Distances from `low`, all of them below the interval's width, and 0 for a null."""
        lower = np.uint64(self.low % WORD)
        ranks = limbs[:, 0] - lower
        upper = limbs[:, 1] - np.uint64((self.low >> 64) % WORD) - (limbs[:, 0] < lower)
        outside = flags & ((upper != 0) | (ranks > np.uint64(self.high - self.low)))
        if outside.any():
            raise GuardError(
                f"{int(np.count_nonzero(outside))} rows are not between the namespace's low and high",
                where=f"column {self.column}",
                fix="widen the namespace to every identifier there can be; its masks change with it",
            )
        ranks[~flags] = 0
        return ranks


def _integer_id(rule: IntegerId, column: MaskedColumn, context: RuleContext) -> IntegerMasker:
    namespace = context.policy.namespace(rule.namespace)
    held = limits(column.arrow)
    if held is None or (pa.types.is_decimal(column.arrow) and column.arrow.scale != 0):
        raise PolicyError(
            [f"IntegerId is for integers, not for {column.structure.type}: use DigitsId or Token"]
        )
    low, high = _interval(namespace)
    if low < held[0] or high > held[1]:
        beyond = f"beyond what {column.structure.type} holds: narrow it, or widen the column"
        raise PolicyError([f"namespace {namespace.name} goes from {low} to {high}, {beyond}"])
    permutation = Permutation(context.keys.mask_key("integer id", rule.namespace), high - low + 1)
    return IntegerMasker(column.name, column.arrow, low, high, permutation)


def _interval(namespace: Namespace) -> tuple[int, int]:
    low, high = namespace.low, namespace.high
    if low is None or high is None:
        declared = f"Namespace({namespace.name!r}, low=1, high=...)"
        raise PolicyError([f"namespace {namespace.name} has no low and high: {declared}"])
    if not 2 <= high - low + 1 <= WORD:
        raise PolicyError([f"namespace {namespace.name} has to be of 2 to 2**64 integers from low to high"])
    return low, high


INTEGER_BUILDERS: Mapping[type, Builder[Any]] = {IntegerId: _integer_id}
