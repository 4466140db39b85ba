"""A granularity is priced, and refused where it cannot work."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.dates import GRANULARITIES, EventDates, Granularity
from replication_assets.core.id_ranges import ByCount, ByWidth, IdRanges, plan_id_ranges
from replication_assets.core.plan import GranularityPlan, plan_granularity
from replication_assets.errors import CatalogError

START = dt.date(2020, 1, 1)


def plan(
    ranges: IdRanges, granularity: Granularity = "month", rows: int = 100_000_000, years: int = 1
) -> GranularityPlan:
    dates = EventDates("created_at", granularity, START)
    last = dt.date(START.year + years - 1, 12, 31)
    return plan_granularity(ranges, dates, high=1_000_000, rows=rows, first=START, last=last)


def by_count(count: int) -> IdRanges:
    return plan_id_ranges(ByCount(count), "integer", "id", 1, 1_000_000)


def test_cells_files_and_costs_are_told() -> None:
    found = plan(by_count(4))
    assert (found.ranges, found.dates, found.cells, found.files) == (4, 12, 48, 48)
    assert found.rows_per_file == 2_083_333
    assert found.event_seconds == pytest.approx((0.96, 3.36))
    assert not found.problems
    assert not found.warnings
    assert "48 cells: 4 id ranges x 12 dates" in str(found)


def test_a_small_table_has_no_more_files_than_rows() -> None:
    assert plan(by_count(4), rows=3).files == 3
    assert plan(by_count(4), rows=0).files == 1


def test_more_cells_than_dagster_shows_are_refused() -> None:
    found = plan(by_count(40), "day", years=10)
    assert found.cells == 40 * 3653
    with pytest.raises(CatalogError, match=r"146,120 cells.*Fix: event dates by month"):
        found.require("shop.public.orders")


def test_a_limit_of_absurdly_many_ranges_is_refused() -> None:
    ranges = plan_id_ranges(ByWidth(1_000, limit=1_000_000), "integer", "id", None, None)
    assert any("1,000,000 id ranges" in problem for problem in plan(ranges, "year").problems)


def test_many_active_files_and_small_files_are_warned_of() -> None:
    found = plan(by_count(8), "day", rows=1_000_000)
    assert len(found.warnings) == 2
    found.require("shop.public.orders")
    assert "warning: 2,928 active files" in str(found)


@given(
    st.sampled_from(GRANULARITIES), st.dates(dt.date(2000, 1, 1), dt.date(2030, 1, 1)), st.integers(0, 900)
)
def test_dates_are_counted_as_they_are_listed(granularity: Granularity, first: dt.date, days: int) -> None:
    dates = EventDates(None, granularity, first)
    last = first + dt.timedelta(days=days)
    found = plan_granularity(IdRanges.whole(), dates, high=None, rows=1, first=first, last=last)
    assert found.dates == len(dates.buckets(last))
