"""Range filters of several files: gaps, overlaps, ends and NULL are proven or told."""

import itertools

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.dms.coverage import coverage_of, segments_sql, tell
from replication_assets.dms.findings import Findings, Place
from replication_assets.dms.rules import Condition, Filter

NOWHERE = Place("f", 1, 1)


def between(low: int, high: int, column: str = "Id") -> tuple[Filter, ...]:
    return (Filter(column, (Condition("between", (str(low), str(high)), NOWHERE),), NOWHERE),)


def test_adjacent_ranges_become_bounds() -> None:
    found = coverage_of([between(101, 200), between(1, 100), between(201, 300)])
    assert found is not None
    assert (found.bounds, found.gaps, found.overlaps, found.below, found.above) == (
        (101, 201),
        (),
        (),
        1,
        300,
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), min_size=2, max_size=5))
def test_gaps_and_overlaps_are_those_that_counting_finds(drawn: list[tuple[int, int]]) -> None:
    ranges = [(low, low + width) for low, width in drawn]
    found = coverage_of([between(*each) for each in ranges])
    assert found is not None
    counts = {key: sum(low <= key <= high for low, high in ranges) for key in range(45)}
    inside = range(min(low for low, _ in ranges), max(high for _, high in ranges) + 1)
    assert [key for key in inside if counts[key] == 0] == sorted(
        itertools.chain.from_iterable(range(low, high + 1) for low, high in found.gaps)
    )
    assert bool(found.overlaps) == any(count > 1 for count in counts.values())
    assert all(counts[key] > 1 for low, high in found.overlaps for key in range(low, high + 1))


def test_filters_that_are_no_ranges_of_one_column_are_none() -> None:
    assert coverage_of([between(1, 2), between(3, 4, "Other")]) is None
    text = (Filter("Id", (Condition("between", ("a", "b"), NOWHERE),), NOWHERE),)
    assert coverage_of([text, between(1, 2)]) is None


def test_open_ends_are_covered_and_closed_ones_told() -> None:
    low = (Filter("Id", (Condition("lte", ("9",), NOWHERE),), NOWHERE),)
    high = (Filter("Id", (Condition("gte", ("10",), NOWHERE),), NOWHERE),)
    found = coverage_of([high, low])
    assert found is not None
    findings = Findings()
    tell(found, "t", findings, nullable=False)
    assert list(findings) == []
    told = Findings()
    closed = coverage_of([between(1, 9), between(11, 20)])
    assert closed is not None
    tell(closed, "t", told)
    assert {each.code for each in told} == {"range-gap", "range-above", "range-below", "range-null"}


def test_segments_are_those_of_the_documentation() -> None:
    segments = segments_sql(["COL1", "COL2", "COL3"], [["10", "30", "105"], ["20", "20", "120"]])
    first = "((COL1 < 10) OR ((COL1 = 10) AND (COL2 < 30)) OR ((COL1 = 10) AND (COL2 = 30) AND (COL3 < 105)))"
    second = (
        "((COL1 < 20) OR ((COL1 = 20) AND (COL2 < 20)) OR ((COL1 = 20) AND (COL2 = 20) AND (COL3 < 120)))"
    )
    assert [*segments] == [first, f"NOT {first} AND {second}", f"NOT {second}"]


def test_every_row_without_null_is_in_exactly_one_segment() -> None:
    segments = segments_sql(["a", "b"], [["2", "1"], ["2", "3"], ["4", "0"]])
    sums = " + ".join(f"CAST(({each}) AS INTEGER)" for each in segments)
    rows = "range(6) AS x(a), range(6) AS y(b)"
    found = duckdb.sql(f"SELECT min({sums}), max({sums}) FROM {rows}")
    assert found is not None
    assert found.fetchall() == [(1, 1)]
