"""What turned the columns of a table into others, and whether its loaded rows still tell the truth.

For engines that number columns by their place, so that a column which was renamed looks like one that was
dropped and another that was added: where both happened, a reload is asked for. A needless load costs time,
a missing one leaves wrong rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from replication_assets.core.schema import Column, TableSchema


@dataclass(frozen=True, slots=True)
class Difference:
    """The new shape of a table, and what is to be told of it (`core.controls.SchemaChanged`)."""

    schema: TableSchema
    reload: bool
    reason: str
    added: tuple[str, ...]
    dropped: tuple[str, ...]


def compare_columns(
    known: TableSchema, now: Sequence[Column], filled: Set[str], holds_all: Callable[[str, str], bool]
) -> Difference | None:
    """What turned the columns of `known` into `now`; None if nothing did.

    `filled` names columns that rows older than the column hold a value in; `holds_all` says of two source
    types whether every value of the first is one of the second, with the same text. The order of columns,
    and whether they may be null, make no difference. A dropped column alone needs no reload (it is null
    from here on), nor does an added one that is null in all rows, nor a type that only became wider.
    """
    before = {column.name: column for column in known.columns}
    after = {column.name: column for column in now}
    added = tuple(name for name in after if name not in before)
    dropped = tuple(name for name in before if name not in after)
    widened, retyped = _retyped(before, after, holds_all)
    reasons = [*_renamed(added, dropped), *retyped, *_filled(known, added, filled)]
    reasons += [f"key column {name} was dropped" for name in dropped if name in known.key]
    if not (added or dropped or widened or reasons):
        return None
    key = known.key if set(known.key) <= after.keys() else ()
    told = [f"column {name} was added, null in all rows" for name in added]
    told += [f"column {name} was dropped" for name in dropped]
    reason = "; ".join(reasons or [*told, *widened])
    return Difference(replace(known, columns=tuple(now), key=key), bool(reasons), reason, added, dropped)


def _renamed(added: Sequence[str], dropped: Sequence[str]) -> list[str]:
    if not (added and dropped):
        return []
    return [f"columns {', '.join(dropped)} were dropped or renamed, to {', '.join(added)} if so"]


def _retyped(
    before: Mapping[str, Column], after: Mapping[str, Column], holds_all: Callable[[str, str], bool]
) -> tuple[list[str], list[str]]:
    """What became wider, and what became something else."""
    widened, retyped = [], []
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        if old.source_type == new.source_type and old.arrow == new.arrow:
            continue
        change = f"column {name} changed from {old.source_type} to {new.source_type}"
        if old.arrow == new.arrow and holds_all(old.source_type, new.source_type):
            widened.append(f"{change}, which changes no value")
        else:
            stored = "" if old.arrow == new.arrow else f" (stored as {new.arrow} instead of {old.arrow})"
            retyped.append(change + stored)
    return widened, retyped


def _filled(known: TableSchema, added: Sequence[str], filled: Set[str]) -> list[str]:
    reasons = []
    for name in added:
        if name in filled:
            reasons.append(f"column {name} was added with a value for the rows that were there")
        elif name in known.not_replicated:
            reasons.append(f"column {name} existed before and is replicated from here on")
    return reasons
