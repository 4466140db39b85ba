"""What keeps any table of a source from being replicated, whichever engine it is of.

Names that the event store or Delta cannot take, keys that name no column, columns that cut no ranges, and
one error for everything that stands in the way of a source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from replication_assets.core.events import RESERVED_COLUMNS
from replication_assets.core.schema import Column
from replication_assets.errors import SourceNotReady


def not_ready(problems: Sequence[str], where: str) -> SourceNotReady:
    """One error for all problems; each says what mends it."""
    if len(problems) == 1:
        return SourceNotReady(problems[0], where=where)
    listed = "\n".join(f"  - {problem}" for problem in problems)
    return SourceNotReady(f"{len(problems)} problems:\n{listed}", where=where)


def name_problems(names: Sequence[str]) -> list[str]:
    problems = []
    if not names:
        problems.append("it has no columns that could be replicated")
    reserved = sorted({name for name in names if name.lower() in RESERVED_COLUMNS})
    if reserved:
        problems.append(f"columns {reserved} have names that the event store uses: read a view instead")
    counts = Counter(name.lower() for name in names)
    colliding = sorted(name for name in names if counts[name.lower()] > 1)
    if colliding:
        # Delta tells columns apart by their letters alone.
        problems.append(f"columns {colliding} differ in upper and lower case only: rename one of them")
    return problems


def key_problems(key: Sequence[str], names: Sequence[str], left_out: Sequence[str], why: str) -> list[str]:
    """`names` are the replicated columns; `why` says of one of `left_out` that it can be no key."""
    problems = []
    if len(set(key)) < len(key):
        problems.append(f"key {list(key)} names a column twice")
    for name in key:
        if name in left_out:
            problems.append(f"key column {name!r} {why}")
        elif name not in names:
            problems.append(f"key column {name!r} does not exist; the table has {', '.join(names)}")
    return problems


def range_column(
    columns: Sequence[Column], name: str, can_cut: Callable[[Column], bool], where: str
) -> Column:
    """The column of this name. Raises SourceNotReady, with those that can, if it cannot cut id ranges."""
    usable = {column.name: column for column in columns if can_cut(column)}
    if name not in usable:
        raise SourceNotReady(
            f"column {name!r} cannot cut id ranges",
            where=where,
            fix=f"use one of {', '.join(usable) or 'no range column'}",
        )
    return usable[name]
