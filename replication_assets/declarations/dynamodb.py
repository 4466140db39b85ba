"""How rows become items of DynamoDB tables, and what their tables are given for loads.

The mapping itself is declared in `core/items/spec.py`, because the conversion reads it.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from replication_assets.core.items.spec import (
    Attribute,
    ItemKey,
    Items,
    S3Pointer,
    Split,
    Ttl,
    WriteCondition,
)
from replication_assets.declarations.base import Declaration

__all__ = ["Attribute", "ItemKey", "Items", "LoadCapacity", "S3Pointer", "Split", "Ttl", "WriteCondition"]


@dataclass(frozen=True, slots=True)
class LoadCapacity(Declaration):
    """Capacity of a table while id ranges are filled: `on-demand`, or warm for this many write
    units a second. Restored afterwards, also after a killed run."""

    mode: Literal["on-demand", "pre-warm"] = "on-demand"
    _: KW_ONLY
    write_units: int | None = None
