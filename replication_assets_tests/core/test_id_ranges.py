"""Id ranges tile the key space: every key, seen or unseen, is in exactly one range."""

from __future__ import annotations

import decimal
import uuid
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.id_ranges import (
    ByBounds,
    ByCount,
    ByWidth,
    IdRange,
    IdRanges,
    Key,
    RangeSpec,
    kind_of,
    plan_id_ranges,
)
from replication_assets.core.range_keys import INT64_MAX, INT64_MIN
from replication_assets.errors import CatalogError, StoreError

int64s = st.integers(INT64_MIN, INT64_MAX) | st.integers(-50, 50)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
uuids = st.uuids().map(str)


@st.composite
def integer_ranges(draw: st.DrawFn) -> IdRanges:
    spec: RangeSpec = draw(
        st.builds(
            ByWidth,
            width=st.integers(1, 20) | st.integers(1, 2**40),
            origin=st.integers(-100, 100) | st.integers(INT64_MIN, INT64_MAX - 2**41),
            limit=st.integers(2, 40),
        )
        | st.builds(ByCount, st.integers(1, 40))
        | st.builds(
            ByBounds,
            st.lists(st.integers(INT64_MIN + 1, INT64_MAX), min_size=1, max_size=9, unique=True).map(
                lambda bounds: tuple(sorted(bounds))
            ),
        )
    )
    low, high = sorted((draw(int64s), draw(int64s)))
    found = draw(st.booleans())
    return plan_id_ranges(spec, "integer", "id", low if found else None, high if found else None)


@st.composite
def text_ranges(draw: st.DrawFn) -> IdRanges:
    bounds = draw(st.lists(texts.filter(bool), min_size=1, max_size=9, unique=True))
    ordered = tuple(sorted(bounds, key=lambda bound: bound.encode()))
    return plan_id_ranges(ByBounds(ordered), "text", "code", None, None)


def holders(ranges: IdRanges, key: Key | None) -> list[str]:
    """Every range that holds the key, by the definition and nothing else."""
    every = map(ranges.at, range(ranges.size))
    return [each.key for each in every if (each.includes_null if key is None else within(each, key))]


def within(id_range: IdRange, key: Key) -> bool:
    def order(value: Key) -> int | bytes:
        return value.encode() if isinstance(value, str) else value

    above = id_range.lo is None or order(id_range.lo) <= order(key)  # type: ignore[operator]
    return above and (id_range.hi is None or order(key) < order(id_range.hi))  # type: ignore[operator]


@st.composite
def ranges_and_integers(draw: st.DrawFn) -> tuple[IdRanges, list[int | None]]:
    ranges = draw(integer_ranges())
    spots = [
        spot for each in map(ranges.at, range(min(ranges.size, 50))) for spot in (each.lo, each.hi) if spot
    ]
    edges = [spot + step for spot in spots if isinstance(spot, int) for step in (-1, 0, 1)]
    keys = int64s | st.sampled_from([key for key in edges if INT64_MIN <= key <= INT64_MAX] or [0])
    return ranges, draw(st.lists(st.none() | keys, max_size=12))


@given(ranges_and_integers())
def test_every_integer_key_is_in_exactly_the_range_it_is_assigned_to(
    case: tuple[IdRanges, list[int | None]],
) -> None:
    ranges, keys = case
    assigned = ranges.assign(pa.array(keys, pa.int64())).to_pylist()
    looked_up = [ranges.at(ranges.index_of(key)) for key in keys]
    assert assigned == [each.key for each in looked_up]
    for key, found in zip(keys, looked_up, strict=True):
        assert found.includes_null if key is None else within(found, key)
    if ranges.size <= 50:
        assert [holders(ranges, key) for key in keys] == [[name] for name in assigned]


@given(text_ranges(), st.lists(st.none() | texts, max_size=12), st.booleans())
def test_every_text_key_is_in_exactly_one_range_by_the_order_of_its_bytes(
    ranges: IdRanges, keys: list[str | None], large: bool
) -> None:
    around = [*keys, *(bound for bound in ranges.bounds if isinstance(bound, str))]
    assigned = ranges.assign(pa.array(around, pa.large_string() if large else pa.string())).to_pylist()
    assert [holders(ranges, key) for key in around] == [[name] for name in assigned]
    assert [ranges.at(ranges.index_of(key)).key for key in around] == assigned


@given(st.integers(1, 40), st.lists(st.none() | uuids, max_size=12))
def test_every_uuid_is_in_exactly_one_of_equal_slices(count: int, keys: list[str | None]) -> None:
    ranges = plan_id_ranges(ByCount(count), "uuid", "id", None, None)
    assert ranges.size == count
    expected = [0 if key is None else uuid.UUID(key).int * count >> 128 for key in keys]
    assert ranges.indexes(pa.array(keys, pa.string())).tolist() == expected


@given(integer_ranges() | text_ranges())
def test_ranges_tile_without_gap_or_overlap(ranges: IdRanges) -> None:
    tiles = [ranges.at(index) for index in range(min(ranges.size, 200))]
    assert tiles[0].lo is None
    assert all(below.hi == above.lo and below.hi is not None for below, above in pairwise(tiles))
    assert ranges.at(ranges.size - 1).hi is None
    assert len({tile.key for tile in tiles}) == len(tiles)
    assert all(len(tile.key) <= 16 and ranges.by_key(tile.key) == tile for tile in tiles)


@given(integer_ranges(), int64s, int64s)
def test_known_ranges_only_grow_at_the_end(ranges: IdRanges, one: int, other: int) -> None:
    before, after = ranges.known(min(one, other)), ranges.known(max(one, other))
    assert after[: len(before)] == before
    assert within(after[-1], max(one, other)) or ranges.width is None
    assert ranges.known(None) == (after if ranges.width is None else after[:1])


@given(integer_ranges() | text_ranges())
def test_ranges_survive_their_json(ranges: IdRanges) -> None:
    assert IdRanges.from_json(ranges.to_json()) == ranges
    assert IdRanges.from_json(ranges.to_json()).to_json() == ranges.to_json()


@given(integer_ranges(), st.lists(st.none() | st.integers(-(10**37), 10**37) | int64s, max_size=9))
def test_decimal_keys_are_placed_by_value_even_outside_int64(
    ranges: IdRanges, keys: list[int | None]
) -> None:
    exact = [None if key is None else decimal.Decimal(key) for key in keys]
    assigned = ranges.assign(pa.array(exact, pa.decimal128(38, 0)))
    assert assigned.to_pylist() == [ranges.at(ranges.index_of(key)).key for key in keys]
    for key, index in zip(keys, ranges.indexes(pa.array(exact, pa.decimal128(38, 0))).tolist(), strict=True):
        assert key is None or within(ranges.at(index), key)


@pytest.mark.parametrize(
    "kind", [pa.int16(), pa.int32(), pa.uint64(), pa.decimal128(18, 0), pa.decimal64(9, 0)]
)
def test_integer_keys_of_every_width_are_assigned_alike(kind: pa.DataType) -> None:
    ranges = plan_id_ranges(ByWidth(10), "integer", "id", None, None)
    keys = pa.array([0, 9, 10, None, 999], pa.int16()).cast(kind)
    assert ranges.indexes(keys).tolist() == [0, 0, 1, 0, 99]


def test_unsigned_keys_above_int64_are_in_the_last_range() -> None:
    ranges = plan_id_ranges(ByWidth(10, limit=5), "integer", "id", None, None)
    assert ranges.indexes(pa.array([2**64 - 1], pa.uint64())).tolist() == [4]


def test_keys_at_both_ends_of_int64_do_not_overflow() -> None:
    ranges = plan_id_ranges(ByWidth(1, origin=INT64_MIN, limit=3), "integer", "id", None, None)
    keys = pa.array([INT64_MIN, INT64_MIN + 1, INT64_MIN + 2, 0, INT64_MAX], pa.int64())
    assert ranges.indexes(keys).tolist() == [0, 1, 2, 2, 2]


def test_no_range_begins_beyond_int64() -> None:
    ranges = plan_id_ranges(ByWidth(2**62), "integer", "id", None, None)
    assert [(each.lo, each.hi) for each in ranges.known(INT64_MAX)] == [(None, 2**62), (2**62, None)]


def test_negative_keys_are_below_the_first_bound() -> None:
    ranges = plan_id_ranges(ByWidth(1000), "integer", "id", None, None)
    assert ranges.at(0) == IdRange("r000000", 0, None, 1000)
    assert ranges.at(1) == IdRange("r000001", 1, 1000, 2000)
    assert ranges.assign(pa.array([-5, 999, 1000])).to_pylist() == ["r000000", "r000000", "r000001"]


@given(int64s, int64s, st.integers(2, 40))
def test_a_count_cuts_integers_into_exactly_as_many_filled_ranges(one: int, other: int, count: int) -> None:
    low, high = min(one, other), max(one, other)
    ranges = plan_id_ranges(ByCount(count), "integer", "id", low, high)
    if high - low + 1 >= count:
        assert len(ranges.known(high)) == count
        assert ranges.index_of(low) == 0
        spans = [b.lo - a.lo for a, b in pairwise(ranges.known(high)[1:])]  # type: ignore[operator]
        assert max(spans, default=0) - min(spans, default=0) <= 1


def test_a_count_of_integers_goes_on_growing_at_the_same_width() -> None:
    ranges = plan_id_ranges(ByCount(4), "integer", "id", 1, 1000)
    assert [each.lo for each in ranges.known(1500)] == [None, 251, 501, 751, 1001, 1251, 1501][:6]


@pytest.mark.parametrize(("low", "high"), [(None, None), (5, 6)])
def test_a_table_with_fewer_keys_than_ranges_gets_wide_ranges(low: int | None, high: int | None) -> None:
    ranges = plan_id_ranges(ByCount(4), "integer", "id", low, high)
    assert len(ranges.known(high)) == 1
    assert len(ranges.known(3_500_000)) == 4


def test_a_count_cuts_text_at_distinct_quantiles() -> None:
    ranges = plan_id_ranges(ByCount(4), "text", "code", "a", "z", ("a", "m", "m"))
    assert [(each.lo, each.hi) for each in ranges.known("z")] == [(None, "m"), ("m", None)]


def test_text_of_an_empty_table_is_refused_with_the_way_out() -> None:
    with pytest.raises(CatalogError, match="ByBounds"):
        plan_id_ranges(ByCount(4), "text", "code", None, None)


def test_a_single_range_holds_rows_of_a_table_without_range_column() -> None:
    rows = pa.table({"note": ["a", None]})
    assert IdRanges.whole().assign_rows(rows).to_pylist() == ["r000000", "r000000"]
    assert IdRanges.whole().known(None) == (IdRange("r000000", 0, None, None),)


def test_rows_are_assigned_by_the_range_column_of_tables_and_batches() -> None:
    ranges = plan_id_ranges(ByWidth(10), "integer", "id", None, None)
    rows = pa.table({"note": ["a", "b"], "id": pa.chunked_array([[5], [25]])})
    assert ranges.assign_rows(rows).to_pylist() == ["r000000", "r000002"]
    assert ranges.assign_rows(rows.to_batches()[1]).to_pylist() == ["r000002"]
    assert ranges.assign(pa.chunked_array([], pa.int64())).to_pylist() == []


def test_bounds_of_uuids_are_made_canonical() -> None:
    bound = "8F000000-0000-4000-8000-000000000000"
    assert plan_id_ranges(ByBounds((bound,)), "uuid", "id", None, None).bounds == (bound.lower(),)


def test_the_last_known_range_opens_above_for_its_load() -> None:
    last = plan_id_ranges(ByWidth(10), "integer", "id", None, None).known(25)[-1]
    assert last.open_above() == replace(last, hi=None)
    assert (last.lo, last.hi) == (20, 30)


@pytest.mark.parametrize("name", ["r000009", "all", "r00001", "r0000001", "", "x000001", "r00000²"])
def test_an_unknown_range_is_refused(name: str) -> None:
    ranges = plan_id_ranges(ByBounds((10,)), "integer", "id", None, None)
    with pytest.raises(StoreError, match="r000000 to r000001"):
        ranges.by_key(name)


@pytest.mark.parametrize(
    ("spec", "kind", "complaint"),
    [
        (ByWidth(0), "integer", "width 0"),
        (ByWidth(10, limit=1), "integer", "limit 1"),
        (ByWidth(10, limit=10**7), "integer", "limit"),
        (ByWidth(10, origin=2**63), "integer", "origin"),
        (ByWidth(10), "uuid", "needs integer keys"),
        (ByCount(0), "integer", "count 0"),
        (ByCount(True), "integer", "count True"),
        (ByBounds(()), "integer", "0 bounds"),
        (ByBounds((2, 1)), "integer", "ascend"),
        (ByBounds((1, 1)), "integer", "ascend"),
        (ByBounds((1, "a")), "integer", "not all int"),
        (ByBounds(("a",)), "integer", "not all int"),
        (ByBounds((2**63,)), "integer", "int64"),
        (ByBounds(("not-a-uuid",)), "uuid", "not a UUID"),
        (ByBounds(("", "a")), "text", "empty text"),
        (ByBounds(("\ud800",)), "text", "valid Unicode"),
    ],
)
def test_a_nonsensical_cut_is_refused_with_its_fix(spec: RangeSpec, kind: str, complaint: str) -> None:
    with pytest.raises(CatalogError, match=complaint) as refused:
        plan_id_ranges(spec, kind, "id", 0, 100)  # type: ignore[arg-type]
    assert all("Fix: " in problem for problem in refused.value.problems)


def test_everything_wrong_with_a_cut_is_listed_together() -> None:
    with pytest.raises(CatalogError) as refused:
        plan_id_ranges(ByWidth(0, limit=0), "text", "id", None, None)
    assert len(refused.value.problems) == 3


@pytest.mark.parametrize(
    ("arrow", "source_type", "kind"),
    [
        (pa.int16(), "smallint", "integer"),
        (pa.int64(), "bigint", "integer"),
        (pa.decimal128(18, 0), "numeric(18,0)", "integer"),
        (pa.string(), "uuid", "uuid"),
        (pa.string(), "text", "text"),
        (pa.string(), "character varying(20)", "text"),
    ],
)
def test_a_column_whose_order_is_known_has_a_kind(arrow: pa.DataType, source_type: str, kind: str) -> None:
    assert kind_of(arrow, source_type) == kind


@pytest.mark.parametrize(
    ("arrow", "source_type"),
    [
        (pa.float64(), "double precision"),
        (pa.timestamp("us"), "timestamp without time zone"),
        (pa.date32(), "date"),
        (pa.bool_(), "boolean"),
        (pa.decimal128(18, 2), "numeric(18,2)"),
        (pa.string(), "numeric"),
        (pa.string(), "citext"),
        (pa.string(), "character(10)"),
        (pa.string(), "interval"),
    ],
)
def test_a_column_whose_order_is_not_known_is_refused(arrow: pa.DataType, source_type: str) -> None:
    with pytest.raises(CatalogError, match="range_column"):
        kind_of(arrow, source_type)


@pytest.mark.parametrize(
    ("ranges", "keys"),
    [
        (plan_id_ranges(ByWidth(10), "integer", "id", None, None), pa.array([1.5])),
        (plan_id_ranges(ByBounds(("m",)), "text", "id", None, None), pa.array([1])),
    ],
)
def test_keys_of_another_type_are_never_coerced(ranges: IdRanges, keys: pa.Array) -> None:
    with pytest.raises(StoreError, match="changed its type"):
        ranges.assign(keys)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"kind":"integer","column":"id","bounds":[2,1],"width":null,"limit":3}',
        '{"kind":"float","column":"id","bounds":[],"width":null,"limit":1}',
        '{"kind":"integer","column":null,"bounds":[1],"width":null,"limit":2}',
        '{"kind":"integer","column":"id","bounds":[1],"width":0,"limit":9}',
        '{"kind":"integer","column":"id","bounds":[1],"width":null,"limit":9}',
        '{"kind":"text","column":"id","bounds":[1],"width":null,"limit":2}',
    ],
)
def test_json_that_contradicts_itself_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        IdRanges.from_json(text)
