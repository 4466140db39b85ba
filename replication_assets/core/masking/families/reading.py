"""What maskers read: their own column, and for some the key of the row that they draw from.

Each of these says it for the maskers that derive from it; they bring the attribute that it names.
"""

from __future__ import annotations

from replication_assets.core.masking.families.draws import Draw
from replication_assets.core.masking.masker import MaskedColumn


class OfValue:
    """A masker that makes each value of the value alone. `column` is the column's name."""

    __slots__ = ()
    column: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def draws_by_row(self) -> bool:
        return False


class OfDraw:
    """A masker that makes each value of drawn words."""

    __slots__ = ()
    draw: Draw

    @property
    def reads(self) -> tuple[str, ...]:
        return self.draw.reads

    @property
    def draws_by_row(self) -> bool:
        return self.draw.draws_by_row


class OfValueAndDraw:
    """A masker that makes each value of the value and of drawn words."""

    __slots__ = ()
    column: MaskedColumn
    draw: Draw

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column.name,)

    @property
    def draws_by_row(self) -> bool:
        return self.draw.draws_by_row
