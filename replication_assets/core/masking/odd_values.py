"""Odd values: texts beside a row of what its typed columns cannot hold (`infinity`, `NaN`, years before
1). Those of columns that are kept may leave; those of masked columns never do.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from replication_assets.errors import GuardError


@dataclass(frozen=True, slots=True)
class OddValues:
    """`kept` are the objects that may leave, one for each row; `held` and `dropped` count entries by
    column: of kept columns, and of masked ones."""

    kept: pa.Array
    held: Mapping[str, int] = field(hash=False)
    dropped: Mapping[str, int] = field(hash=False)


def odd_values(
    texts: pa.Array, kept_columns: Collection[str], columns: Sequence[str], *, where: str
) -> OddValues:
    """Entries of kept columns in the spelling they had, in the order of `columns`.

    Raises:
        GuardError: a text is no such object, or speaks of a column that the table has not.
    """
    if texts.null_count == len(texts):
        return OddValues(pa.nulls(len(texts), pa.string()), {}, {})
    held: dict[str, int] = {}
    dropped: dict[str, int] = {}
    left: list[str | None] = []
    for text in texts.to_pylist():
        entries = {} if text is None else _entries(text)
        if entries is None or not entries.keys() <= {*columns}:
            raise GuardError(
                "the odd values of a row cannot be read",
                where=where,
                fix="load the table anew; nothing of the batch was let through",
            )
        for name in entries:
            tally = held if name in kept_columns else dropped
            tally[name] = tally.get(name, 0) + 1
        staying = {name: entries[name] for name in columns if name in entries and name in kept_columns}
        left.append(json.dumps(staying, ensure_ascii=False, separators=(",", ":")) if staying else None)
    return OddValues(pa.array(left, pa.string()), held, dropped)


def allowed_entries(texts: pa.Array, kept_columns: Collection[str]) -> tuple[int, int]:
    """How many entries are of kept columns, and how many texts or entries are anything else."""
    allowed = other = 0
    for text in texts.drop_null().to_pylist():
        entries = _entries(text)
        if entries is None:
            other += 1
            continue
        allowed += sum(name in kept_columns for name in entries)
        other += sum(name not in kept_columns for name in entries)
    return allowed, other


def _entries(text: str) -> dict[str, str] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        return None
    return found
