"""How rows become items of a DynamoDB table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from replication_assets.declarations.base import Declaration

KeyType: TypeAlias = Literal["string", "number", "binary"]


@dataclass(frozen=True, slots=True)
class ItemKey(Declaration):
    """A key attribute: `ItemKey("pk", "order#${id}")`. `template` is literal text and columns."""

    name: str
    template: str
    _: KW_ONLY
    type: KeyType = "string"


@dataclass(frozen=True, slots=True)
class Items(Declaration):
    """How rows of one source table become items of one DynamoDB table.

    Several may write to the same DynamoDB table, as long as their keys never meet.
    """

    table: str
    into: str
    _: KW_ONLY
    partition_key: ItemKey
    sort_key: ItemKey | None = None
    exclude: Sequence[str] = ()
    columns: Literal["attributes", "document", "none"] = "attributes"


@dataclass(frozen=True, slots=True)
class LoadCapacity(Declaration):
    """Capacity of a table while id ranges are filled: `on-demand`, or warm for this many write
    units a second. Restored afterwards, also after a killed run."""

    mode: Literal["on-demand", "pre-warm"] = "on-demand"
    _: KW_ONLY
    write_units: int | None = None
