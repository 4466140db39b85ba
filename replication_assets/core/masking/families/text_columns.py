"""What a column must be for a rule that writes texts of its own into it."""

from __future__ import annotations

import pyarrow as pa

from replication_assets.core.masking.column_kinds import kind_of
from replication_assets.core.masking.masker import MaskedColumn
from replication_assets.errors import PolicyError


def require_text(rule: str, column: MaskedColumn) -> None:
    """Raises PolicyError unless the column takes any text: an Arrow text is not enough, since types
    that Arrow has not (UUID, enumerations, JSON ...) are read as texts too."""
    if column.structure.labels:
        raise PolicyError([f"{rule} writes texts that are no labels of an enumeration. Fix: Choice"])
    if not pa.types.is_string(column.arrow) or kind_of(column.structure) not in ("text", "other"):
        raise PolicyError([f"{rule} is for texts, not for {column.structure.type}. Fix: another rule"])
