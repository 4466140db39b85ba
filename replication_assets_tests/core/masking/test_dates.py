"""Dates move, all of one entity by the same number of days, and never stay."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.families.dates import BUILDERS
from replication_assets.core.masking.rules import DateShift
from replication_assets.errors import GuardError, PolicyError
from replication_assets_tests.core.masking.single_columns import column_of, compiled, masked, rows_of

DATE, MOMENT, UTC_MOMENT = pa.date32(), pa.timestamp("us"), pa.timestamp("us", tz="UTC")
DATES = st.dates() | st.sampled_from([date.min, date.max])
MOMENTS = st.datetimes() | st.sampled_from([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)])
OF_TYPE: dict[pa.DataType, st.SearchStrategy[Any]] = {
    DATE: DATES,
    MOMENT: MOMENTS,
    UTC_MOMENT: MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC)),
}


@pytest.mark.parametrize("arrow", list(OF_TYPE), ids=str)
@settings(max_examples=40)
@given(data=st.data(), days=st.sampled_from([1, 2, 180, 5000]))
def test_a_date_moves_by_whole_days_at_most_so_many_and_at_least_one(
    arrow: pa.DataType, data: st.DataObject, days: int
) -> None:
    values = pa.array(data.draw(st.lists(st.none() | OF_TYPE[arrow], max_size=40)), arrow)
    result = masked(compiled(BUILDERS, DateShift(days), column_of(arrow)), values)
    for value, moved in zip(values.to_pylist(), result.to_pylist(), strict=True):
        if value is not None:
            assert (moved - value) % timedelta(days=1) == timedelta(0)
            assert timedelta(days=1) <= abs(moved - value) <= timedelta(days=days)


def test_every_number_of_days_occurs_but_none() -> None:
    values = pa.array([date(2000, 1, 1)] * 2000)
    result = masked(compiled(BUILDERS, DateShift(3), column_of(DATE)), values)
    moved = {(each - date(2000, 1, 1)).days for each in result.to_pylist()}
    assert moved == {-3, -2, -1, 1, 2, 3}


@given(st.lists(st.tuples(st.integers(0, 5), DATES, DATES), min_size=1, max_size=40))
@settings(max_examples=40)
def test_all_dates_of_an_entity_move_alike_in_every_column_and_type(
    events: list[tuple[int, date, date]],
) -> None:
    """Dates far enough from the ends of time that none moves the other way."""
    near = [(who, *(min(max(each, date(1, 7, 1)), date(9999, 6, 1)) for each in two)) for who, *two in events]
    who, first, second = (pa.array(each) for each in zip(*near, strict=True))
    columns = [column_of(pa.int64(), "who"), column_of(DATE, "first"), column_of(MOMENT, "second")]
    rule = DateShift(100, entity="who")
    rows = rows_of(who=who, first=first, second=second.cast(MOMENT))
    moved = [compiled(BUILDERS, rule, column, *columns).mask(rows).cast(DATE) for column in columns[1:]]
    found: dict[int, set[int]] = {}
    for at, (entity, *dates) in enumerate(near):
        for before, after in zip(dates, moved, strict=True):
            found.setdefault(entity, set()).add((after[at].as_py() - before).days)
    assert all(len(days) == 1 for days in found.values())


def test_without_an_entity_the_dates_of_a_row_keep_their_intervals() -> None:
    rows = rows_of(born=pa.array([date(1990, 1, 1)] * 50), died=pa.array([date(2020, 1, 1)] * 50))
    masks = [compiled(BUILDERS, DateShift(), column_of(DATE, name)) for name in ("born", "died")]
    born, died = (mask.mask(rows).to_pylist() for mask in masks)
    assert len({*born}) > 30
    assert {later - sooner for sooner, later in zip(born, died, strict=True)} == {timedelta(days=10957)}
    assert masks[0].reads == ("born",)
    assert masks[0].draws_by_row


def test_a_date_beyond_the_years_that_databases_know_stops_the_mask() -> None:
    values = pa.array([10_000_000, 0, None], pa.int32()).cast(DATE)
    masker = compiled(BUILDERS, DateShift(), column_of(DATE))
    with pytest.raises(GuardError, match="1 dates lie beyond the years 1 to 9999"):
        masker.mask(rows_of(it=values))
    assert masker.fits(values).to_pylist() == [False, True, None]


@pytest.mark.parametrize(
    ("rule", "arrow"),
    [
        (DateShift(0), DATE),
        (DateShift(-5), DATE),
        (DateShift(4_000_000), DATE),
        (DateShift(entity="nobody"), DATE),
        (DateShift(), pa.string()),
        (DateShift(), pa.time64("us")),
        (DateShift(), pa.timestamp("ns")),
    ],
    ids=repr,
)
def test_a_shift_that_does_not_fit_its_column_is_refused(rule: DateShift, arrow: pa.DataType) -> None:
    with pytest.raises(PolicyError, match="Fix:"):
        compiled(BUILDERS, rule, column_of(arrow))


def test_a_slice_of_a_longer_column_is_masked_like_the_rows_that_it_is() -> None:
    values = pa.array([date(2000, 1, day) if day % 3 else None for day in range(1, 31)])
    masker = compiled(BUILDERS, DateShift(entity="it"), column_of(DATE))
    whole = masker.mask(rows_of(it=values))
    assert masker.mask(rows_of(it=values[7:19])).equals(whole[7:19])
    assert not pc.any(pc.equal(whole, values)).as_py()
