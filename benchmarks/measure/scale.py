"""How much is measured: enough to say something, or just enough to see that it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """`short` runs every path once over few rows: its figures say nothing."""

    short: bool = False

    @property
    def rounds(self) -> int:
        """How often each path is run; medians are told."""
        return 1 if self.short else 3

    def of(self, full: int, short: int) -> int:
        return short if self.short else full
