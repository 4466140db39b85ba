"""Several mappings that cut one table by a filter each: one table with id ranges, and what they miss.

DMS takes exactly what the filters say: rows between two of them, above the last bound, and with NULL in
the column are lost without a word. Here adjacent filters become the bounds of id ranges, which tile
the whole key space, so that nothing is; what that adds to the filters is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from replication_assets.dms.findings import Findings, Place
from replication_assets.dms.rules import Filter


@dataclass(frozen=True, slots=True)
class Interval:
    """Keys from `low` to `high`, both included; None is unbounded."""

    low: int | None
    high: int | None
    place: Place

    def __str__(self) -> str:
        return f"{'..' if self.low is None else self.low} to {'..' if self.high is None else self.high}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Ranges of one column in ascending order. `gaps` and `overlaps` are inclusive intervals."""

    column: str
    intervals: tuple[Interval, ...]
    gaps: tuple[tuple[int, int], ...]
    overlaps: tuple[tuple[int, int], ...]

    @property
    def bounds(self) -> tuple[int, ...]:
        """First keys of all ranges but the first: `n` ranges that tile the key space."""
        return tuple(each.low for each in self.intervals[1:] if each.low is not None)

    @property
    def below(self) -> int | None:
        """Keys under this one are in no interval; None if there are none such."""
        return self.intervals[0].low

    @property
    def above(self) -> int | None:
        """Keys over this one are in no interval; None if there are none such."""
        highs = [each.high for each in self.intervals]
        return None if None in highs else max(high for high in highs if high is not None)


def interval_of(filters: Sequence[Filter]) -> tuple[str, Interval] | None:
    """The column and the interval, if the filters are nothing but one interval of whole numbers."""
    columns = {each.column for each in filters}
    if len(columns) != 1 or any(len(each.conditions) != 1 for each in filters):
        return None
    low: int | None = None
    high: int | None = None
    for each in filters:
        condition = each.conditions[0]
        try:
            values = [int(value) for value in condition.values]
        except ValueError:
            return None
        if condition.operator == "between":
            low, high = _most(low, values[0]), _least(high, values[1])
        elif condition.operator == "gte":
            low = _most(low, values[0])
        elif condition.operator in ("lte", "ste"):
            high = _least(high, values[0])
        elif condition.operator == "eq":
            low, high = _most(low, values[0]), _least(high, values[0])
        else:
            return None
    return columns.pop(), Interval(low, high, filters[0].place)


def _most(one: int | None, other: int) -> int:
    return other if one is None else max(one, other)


def _least(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)


def divided(filters: Sequence[Sequence[Filter]]) -> tuple[Coverage | None, tuple[Filter, ...]]:
    """Filters of one table, by mapping: the coverage of what each has for itself, and the filters that every
    mapping has, which are of all rows. Of one mapping these are all that it has, and nothing is covered."""
    if len(filters) == 1:
        return None, tuple(filters[0])
    said = [{_said(each): each for each in one} for one in filters]
    common = set.intersection(*(set(one) for one in said))
    own = [[each for text, each in one.items() if text not in common] for one in said]
    return coverage_of(own), tuple(each for text, each in said[0].items() if text in common)


def _said(each: Filter) -> tuple[str, frozenset[tuple[str, tuple[str, ...]]]]:
    return each.column, frozenset((condition.operator, condition.values) for condition in each.conditions)


def coverage_of(filters: Sequence[Sequence[Filter]]) -> Coverage | None:
    """None where one of them is no interval, or they are of several columns."""
    found = [interval_of(each) for each in filters]
    columns = {each[0] for each in found if each is not None}
    if None in found or len(columns) != 1:
        return None
    intervals = sorted(
        (each[1] for each in found if each is not None),
        key=lambda each: (each.low is not None, each.low or 0, each.high is None, each.high or 0),
    )
    gaps: list[tuple[int, int]] = []
    overlaps: list[tuple[int, int]] = []
    reached = intervals[0].high
    for each in intervals[1:]:
        low, high = each.low, each.high
        if reached is None or low is None or low <= reached:
            start = low if low is not None else intervals[0].low or 0
            ends = [end for end in (reached, high) if end is not None]
            overlaps.append((start, min(ends) if ends else start))
        elif low > reached + 1:
            gaps.append((reached + 1, low - 1))
        reached = None if reached is None or high is None else max(reached, high)
    return Coverage(columns.pop(), tuple(intervals), tuple(gaps), tuple(overlaps))


def tell(coverage: Coverage, table: str, findings: Findings, *, nullable: bool = True) -> None:
    """Everything that the intervals leave out or take twice, with the fix."""
    place, column = coverage.intervals[0].place, coverage.column
    for each in coverage.intervals:
        if each.low is not None and each.high is not None and each.low > each.high:
            what = f"{column} between {each.low} and {each.high} is empty: the bounds are swapped"
            findings.error("empty-range", what, f"between {each.high} and {each.low}", each.place)
    for low, high in coverage.gaps:
        what = f"no filter takes {table} with {column} from {low} to {high}: DMS loses these rows"
        fix = f"begin the next range at {low}"
        findings.error("range-gap", what, fix, _at(coverage, high + 1))
    for low, high in coverage.overlaps:
        what = f"two filters take {table} with {column} from {low} to {high}: these rows are read twice"
        findings.error("range-overlap", what, f"begin the second range at {high + 1}", _at(coverage, low))
    if coverage.above is not None:
        what = f"no filter takes {table} with {column} above {coverage.above}: DMS never copies newer rows"
        fix = "write gte in the last range; here the last id range is open above"
        findings.warn("range-above", what, fix, coverage.intervals[-1].place)
    if coverage.below is not None:
        what = f"no filter takes {table} with {column} below {coverage.below}: DMS leaves such rows out"
        fix = "write lte in the first range; here the first id range is open below"
        findings.warn("range-below", what, fix, place)
    if nullable:
        what = f"rows of {table} with NULL in {column} pass no filter: DMS leaves them out"
        findings.warn(
            "range-null", what, "declare the column NOT NULL; here they are in the first id range", place
        )


def _at(coverage: Coverage, low: int) -> Place:
    return next((each.place for each in coverage.intervals if each.low == low), coverage.intervals[0].place)


def segments_sql(columns: Sequence[str], boundaries: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Conditions of the segments of a parallel load by ranges, one more than there are boundaries.

    A boundary is an exclusive upper bound by the order of all columns together, the first the most
    significant. Rows with NULL in one of the columns are in no segment.
    """
    uppers = [_below(columns, each) for each in boundaries]
    segments = [uppers[0]] if uppers else ["TRUE"]
    segments += [f"NOT {before} AND {upper}" for before, upper in pairwise(uppers)]
    return (*segments, f"NOT {uppers[-1]}") if uppers else tuple(segments)


def _below(columns: Sequence[str], values: Sequence[str]) -> str:
    if len(columns) == 1:
        return f"({columns[0]} < {_shown(values[0])})"
    parts = []
    for at, (column, value) in enumerate(zip(columns, values, strict=True)):
        equal = [f"({c} = {_shown(v)})" for c, v in zip(columns[:at], values[:at], strict=True)]
        below = " AND ".join([*equal, f"({column} < {_shown(value)})"])
        parts.append(f"({below})" if equal else below)
    return "(" + " OR ".join(parts) + ")"


def _shown(value: str) -> str:
    try:
        return str(int(value))
    except ValueError:
        return "'" + value.replace("'", "''") + "'"
