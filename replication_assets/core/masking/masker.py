"""What every rule is compiled to, and what it is given: the contract between rules and the guard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NoReturn, Protocol, TypeAlias, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.policy import MaskingPolicy
from replication_assets.core.masking.rules import Rule
from replication_assets.core.structure import ColumnStructure
from replication_assets.errors import GuardError

Uniqueness: TypeAlias = Literal["preserved", "not_guaranteed", "lossy"]
"""Whether distinct inputs give distinct outputs: always (80 bits of a keyed hash count as that, a
collision is found by the unique key that it breaks), by chance, or by no means."""


@dataclass(frozen=True, slots=True)
class MaskedColumn:
    """The column that a rule stands at: its structure, and the Arrow type of its values here, which
    the rule's output has too. `longest` is how many characters it takes, None for any number."""

    structure: ColumnStructure
    arrow: pa.DataType
    longest: int | None = None

    @property
    def name(self) -> str:
        return self.structure.name


class Rows:
    """Columns of one raw batch, for the maskers of its table. Never printed or pickled: `RawBatch`
    owns the rows, and hands them to maskers only."""

    __slots__ = ("_batch", "_row_key", "_row_keys")

    def __init__(self, batch: pa.RecordBatch, row_key: Sequence[str]) -> None:
        self._batch = batch
        self._row_key = tuple(row_key)
        self._row_keys: pa.Array | None = None

    def __repr__(self) -> str:
        return f"Rows({self._batch.num_rows} rows)"

    def __reduce__(self) -> NoReturn:
        raise GuardError("rows of a mask do not leave its process", fix="mask them where they are read")

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def column(self, name: str) -> pa.Array:
        """Raises KeyError if it was not read: a masker declares what it `reads`."""
        return self._batch.column(name)

    @property
    def row_keys(self) -> pa.Array:
        """One text per row that no other row of the table has; what `by="row"` is drawn from.

        Each key column as text after its length, so that no two keys run into one another.
        """
        if self._row_keys is None:
            texts = [canonical_text(self._batch.column(name)) for name in self._row_key]
            parts = [
                part
                for text in texts
                for part in (pc.binary_length(text).cast(pa.string()), pa.scalar(":"), text)
            ]
            self._row_keys = pc.binary_join_element_wise(
                *(pc.fill_null(part, "-") if isinstance(part, pa.Array) else part for part in parts), ""
            )
        return self._row_keys


def canonical_text(values: pa.Array) -> pa.Array:
    """Values as texts that do not depend on the width of their type: 7 in an int32 and an int64 is
    one identity. Null stays null."""
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        return values
    return values.cast(pa.string())


class Masker(Protocol):
    """One column's rule, compiled for it: keys derived, lists loaded, lengths known to fit."""

    @property
    def uniqueness(self) -> Uniqueness: ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns whose values `mask` needs; empty where it ignores its input. The row key's
        columns are not among them: see `draws_by_row`."""
        ...

    @property
    def draws_by_row(self) -> bool:
        """Whether `mask` needs `Rows.row_keys`."""
        ...

    def mask(self, rows: Rows) -> pa.Array:
        """One value for each row, of the column's Arrow type. Null stays null unless the rule
        gives a value to every row.

        Raises:
            GuardError: a value that the rule cannot mask. It names the column and how many rows;
                never a value.
        """
        ...

    def fits(self, values: pa.Array) -> pa.Array:
        """For each value that is not null, whether the rule could have made it (a boolean array;
        null for null). What is certified must fit whole: proof without a list of raw values."""
        ...


@dataclass(frozen=True, slots=True)
class RuleContext:
    """What a rule is compiled with: keys, policy, the key of the rows, and the table's columns with
    their rules (those of a group are told by them)."""

    keys: KeyRing
    policy: MaskingPolicy
    row_key: tuple[str, ...]
    columns: Mapping[str, MaskedColumn]
    rules: Mapping[str, Rule] = field(default_factory=dict)


RuleT = TypeVar("RuleT", contravariant=True)


class Builder(Protocol[RuleT]):
    """Compiles one rule for one column.

    Raises:
        PolicyError: the rule does not fit the column, with every reason and its fix, and without the
            column's place, which the caller adds.
    """

    def __call__(self, rule: RuleT, column: MaskedColumn, context: RuleContext, /) -> Masker: ...
