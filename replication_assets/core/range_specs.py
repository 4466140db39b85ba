"""How a user declares that a table is cut into id ranges, and what is wrong with a cut.

A declaration says nothing of the data: `plan_id_ranges` pins it when a table's log is
created, and the pinned ranges never change after.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, cast
from uuid import UUID

from replication_assets.core.declared import Declared
from replication_assets.core.range_keys import INT64_MAX, INT64_MIN, Key, Kind

MAX_RANGES = 1_000_000
"""As many as the name of a range, `r` and six digits, can tell apart."""

GROWTH_LIMIT = 4096
"""Ranges that a table grows to unless declared otherwise; the last stays open above."""


@dataclass(frozen=True, slots=True)
class ByWidth:
    """Integer ranges of `width` keys each, counted from `origin`; new ones appear as keys grow.

    Everything below `origin + width` is in range 0. After `limit` ranges the last one stays
    open above.
    """

    width: int
    origin: int = 0
    limit: int = GROWTH_LIMIT


@dataclass(frozen=True, slots=True)
class ByCount:
    """As many ranges as `count`, cut from what the table holds when its log is created.

    Integers: equal widths between the smallest and the greatest key, and more ranges of the
    same width as keys grow. UUIDs: equal slices of the 128-bit space (good for random
    ones; time-ordered ones (v7) would all fall into one slice: use `ByBounds`). Text: cuts
    at quantiles of the rows. `ByCount(1)` is the whole table as one range for ever.
    """

    count: int


@dataclass(frozen=True, slots=True)
class ByBounds(Declared):
    """Ranges between the given ascending bounds: `n` bounds make `n + 1` ranges."""

    bounds: Sequence[Key]


RangeSpec: TypeAlias = ByWidth | ByCount | ByBounds

WHOLE_TABLE = ByCount(1)


def spec_problems(spec: RangeSpec, kind: Kind | None = None) -> tuple[str, ...]:
    """What is wrong with a declared cut, each with its fix; without `kind`, for any keys."""
    if isinstance(spec, ByWidth):
        return tuple(_width_problems(spec, kind))
    if isinstance(spec, ByCount):
        return tuple(_count_problems(spec))
    return tuple(_bounds_problems(spec.bounds, kind))


def canonical_bounds(bounds: Sequence[Key], kind: Kind | None) -> tuple[Key, ...]:
    """UUIDs as lower-case text with hyphens; other keys as they are. ValueError for no UUID."""
    return tuple(str(UUID(str(bound))) for bound in bounds) if kind == "uuid" else tuple(bounds)


def _width_problems(spec: ByWidth, kind: Kind | None) -> Iterator[str]:
    if not all(type(part) is int for part in (spec.width, spec.origin, spec.limit)):
        yield f"{spec} holds what is not an integer. Fix: width, origin and limit are integers"
        return
    if not 0 < spec.width <= INT64_MAX:
        yield f"width {spec.width} is not between 1 and {INT64_MAX}. Fix: say how many keys a range spans"
    elif not INT64_MIN < spec.origin + spec.width <= INT64_MAX:
        yield f"origin {spec.origin} plus width is outside int64. Fix: an origin near the least key"
    if not 2 <= spec.limit <= MAX_RANGES:
        yield f"limit {spec.limit} is not between 2 and {MAX_RANGES}. Fix: change it, or use ByCount(1)"
    if kind not in (None, "integer"):
        yield f"ByWidth needs integer keys, these are {kind}. Fix: id_ranges=ByCount(...) or ByBounds(...)"


def _count_problems(spec: ByCount) -> Iterator[str]:
    if type(spec.count) is not int or not 1 <= spec.count <= GROWTH_LIMIT:
        yield f"count {spec.count!r} is not between 1 and {GROWTH_LIMIT}. Fix: say how many ranges to cut"


def _bounds_problems(bounds: Sequence[Key], kind: Kind | None) -> Iterator[str]:
    if not 1 <= len(bounds) < MAX_RANGES:
        count = f"{len(bounds)} bounds are not between 1 and {MAX_RANGES - 1}"
        yield f"{count}. Fix: ByBounds((1000, 2000)), or ByCount(1) for none"
        return
    expected = {int} if kind == "integer" else {int, str} if kind is None else {str}
    found = {type(bound) for bound in bounds}
    if len(found) > 1 or not found <= expected:
        names = " or all ".join(sorted(each.__name__ for each in expected))
        yield f"bounds are not all {names}. Fix: bounds of the range column's type"
        return
    try:
        ascending = all(below < above for below, above in pairwise(canonical_bounds(bounds, kind)))  # type: ignore[operator]
    except ValueError:
        yield "a bound is not a UUID. Fix: write bounds as 00000000-0000-0000-0000-000000000000"
        return
    if not ascending:
        yield "bounds do not ascend. Fix: sort them, by their UTF-8 bytes if text, and drop equal ones"
    if found == {str} and any(_is_not_utf8(cast(str, bound)) for bound in bounds):
        yield "a bound is not valid Unicode. Fix: bounds are keys that the column can hold"
    if found == {str} and "" in bounds:
        yield "the empty text is no bound: nothing is below it. Fix: drop it"
    if found == {int} and not all(INT64_MIN < cast(int, bound) <= INT64_MAX for bound in bounds):
        yield "a bound is outside int64. Fix: bounds are keys that the column can hold"


def _is_not_utf8(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)
