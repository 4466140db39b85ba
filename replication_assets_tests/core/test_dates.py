"""Buckets of event dates: each usable date is in one, and nothing else is moved into it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.dates import GRANULARITIES, USABLE_BEFORE, EventDates, Granularity
from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import CatalogError, SchemaConflict

START = dt.date(2024, 5, 17)
granularities = st.sampled_from(GRANULARITIES)
usable = st.dates(max_value=USABLE_BEFORE - dt.timedelta(days=1))
EPOCH = dt.datetime(1970, 1, 1)


@given(granularities, st.lists(st.none() | usable, max_size=9))
def test_a_date_is_inside_the_interval_of_its_bucket(
    granularity: Granularity, dates: list[dt.date | None]
) -> None:
    event_dates = EventDates(None, granularity, START)
    buckets = event_dates.bucket(pa.array(dates, pa.date32()))
    assert buckets.type == pa.date32()
    for date, bucket in zip(dates, buckets.to_pylist(), strict=True):
        if date is None:
            assert bucket is None
            continue
        first, end = event_dates.interval(bucket)
        assert first == bucket == event_dates.bucket_of(date)
        assert first <= date < end
        assert event_dates.bucket_of(end) == end


@given(granularities, st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=9), st.booleans())
def test_a_timestamp_is_in_the_bucket_of_its_utc_day_or_in_none(
    granularity: Granularity, microseconds: list[int | None], zoned: bool
) -> None:
    event_dates = EventDates(None, granularity, START)
    values = pa.array(microseconds, pa.timestamp("us", "UTC" if zoned else None))
    expected = [None if each is None else bucket_by_hand(event_dates, each) for each in microseconds]
    assert event_dates.bucket(values).to_pylist() == expected


def bucket_by_hand(event_dates: EventDates, microseconds: int) -> dt.date | None:
    try:
        date = (EPOCH + dt.timedelta(microseconds=microseconds)).date()
    except OverflowError:
        return None
    return event_dates.bucket_of(date) if date < USABLE_BEFORE else None


def test_the_last_microsecond_of_a_month_stays_in_it() -> None:
    event_dates = EventDates(None, "month", START)
    last = dt.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=dt.UTC)
    values = pa.array([last, last + dt.timedelta(microseconds=1)], pa.timestamp("us", "UTC"))
    assert event_dates.bucket(values).to_pylist() == [dt.date(2024, 2, 1), dt.date(2024, 3, 1)]


def test_a_timestamp_of_another_zone_is_bucketed_by_its_utc_day() -> None:
    event_dates = EventDates(None, "day", START)
    value = pa.array([dt.datetime(2024, 5, 17, 22, 30, tzinfo=dt.UTC)], pa.timestamp("us", "Europe/Berlin"))
    assert event_dates.bucket(value).to_pylist() == [dt.date(2024, 5, 17)]


@pytest.mark.parametrize("days", [100_000_000, -100_000_000, 2_932_532])
def test_dates_that_cannot_be_written_have_no_bucket(days: int) -> None:
    values = pa.array([days], pa.int32()).cast(pa.date32())
    for granularity in GRANULARITIES:
        assert EventDates("at", granularity, START).bucket(values).to_pylist() == [None]


def test_rows_are_dated_by_the_declared_column_and_a_key_only_delete_has_no_date() -> None:
    rows = pa.table(
        {
            "_op": ["I", "D"],
            "_committed_at": pa.array(
                [dt.datetime(2024, 6, 1, tzinfo=dt.UTC)] * 2, pa.timestamp("us", "UTC")
            ),
            "created": pa.array([dt.date(2023, 2, 3), None]),
        }
    )
    assert EventDates("created", "month", START).event_date(rows).to_pylist() == [dt.date(2023, 2, 1), None]
    by_commit = EventDates(None, "month", START).event_date(rows.to_batches()[0]).to_pylist()
    assert by_commit == [dt.date(2024, 6, 1)] * 2


@pytest.mark.parametrize(
    "values", [pa.array(["2024-01-01"]), pa.array([1]), pa.array([1], pa.timestamp("s"))]
)
def test_values_without_a_date_are_never_coerced(values: pa.Array) -> None:
    with pytest.raises(SchemaConflict, match="has no date"):
        EventDates("created", "day", START).bucket(values)


@given(granularities, usable)
def test_partition_keys_are_first_days_and_parse_back(granularity: Granularity, date: dt.date) -> None:
    event_dates = EventDates(None, granularity, START)
    bucket = event_dates.bucket_of(date)
    key = event_dates.partition_key(bucket)
    assert key == f"{bucket.year:04d}-{bucket.month:02d}-{bucket.day:02d}"
    assert event_dates.from_partition_key(key) == bucket


@pytest.mark.parametrize("key", ["2024-05-17", "20240501", "2024-05", "not a date", ""])
def test_a_partition_key_of_another_form_is_refused(key: str) -> None:
    with pytest.raises(ValueError):
        EventDates(None, "month", START).from_partition_key(key)


def test_buckets_run_from_the_one_that_holds_the_start() -> None:
    event_dates = EventDates(None, "month", START)
    assert event_dates.buckets(dt.date(2024, 7, 1)) == tuple(dt.date(2024, month, 1) for month in (5, 6, 7))
    assert event_dates.buckets(dt.date(2024, 4, 30)) == ()


def test_dagster_lists_no_undated_rows_and_none_before_the_start() -> None:
    event_dates = EventDates(None, "year", START)
    assert event_dates.has_partition(dt.date(2024, 1, 1))
    assert not event_dates.has_partition(dt.date(2023, 1, 1))
    assert not event_dates.has_partition(None)


@given(st.none() | st.text(), granularities, st.dates())
def test_event_dates_survive_their_json(column: str | None, granularity: Granularity, start: dt.date) -> None:
    event_dates = EventDates(column, granularity, start)
    assert EventDates.from_json(event_dates.to_json()) == event_dates


@pytest.mark.parametrize("text", ["{}", "1", '{"column":null,"granularity":"week","start":"2024-01-01"}'])
def test_json_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        EventDates.from_json(text)


def test_a_date_column_that_is_missing_or_no_date_is_refused_with_those_that_are() -> None:
    schema = TableSchema(
        (Column("id", "bigint", pa.int64()), Column("born", "date", pa.date32())),
        key=("id",),
    )
    EventDates("born", "day", START).check(schema, "shop.public.people")
    assert EventDates("born", "day", START).problems(schema) == ()
    assert EventDates(None, "day", START).problems(schema) == ()
    for column in ("id", "nope"):
        (problem,) = EventDates(column, "day", START).problems(schema)
        assert problem.endswith("Fix: one of born")
        with pytest.raises(CatalogError, match="born"):
            EventDates(column, "day", START).check(schema, "shop.public.people")


@given(granularities, st.sets(usable, max_size=9), st.booleans())
def test_intervals_of_buckets_hold_their_days_and_no_others(
    granularity: Granularity, dates: set[dt.date], undated: bool
) -> None:
    event_dates = EventDates(None, granularity, START)
    buckets = {event_dates.bucket_of(date) for date in dates}
    found = event_dates.intervals([*buckets, None] if undated else buckets)
    assert _days(found) == _days([event_dates.interval(bucket) for bucket in buckets])
    assert all(any(low <= date < high for low, high in found) for date in dates)
    # Ascending, and with something between two of them.
    assert all(one[1] < other[0] for one, other in pairwise(found))


def _days(intervals: Sequence[tuple[dt.date, dt.date]]) -> int:
    return sum((high - low).days for low, high in intervals)
