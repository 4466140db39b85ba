"""Bodies of control events: read back as written, and what a load covers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.controls import RangeReplaced, SchemaChanged
from replication_assets.core.id_ranges import ByWidth, IdRange, Key, plan_id_ranges
from replication_assets.core.positions import Position

AT = Position(1, 100)
keys = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]))
dates = st.none() | st.lists(st.none() | st.dates()).map(tuple)


@given(keys, keys, st.integers(0, 2**63), dates)
def test_a_replaced_range_is_read_back_as_written(lo: Key, hi: Key, rows: int, days: tuple) -> None:  # type: ignore[type-arg]
    written = RangeReplaced(AT, "load-1", lo, hi, rows, days)
    assert RangeReplaced.from_body(AT, "load-1", written.body()) == written


@given(st.booleans(), st.text(), st.lists(st.text()).map(tuple), st.lists(st.text()).map(tuple))
def test_a_schema_change_is_read_back_as_written(
    reload: bool, reason: str, added: tuple[str, ...], dropped: tuple[str, ...]
) -> None:
    written = SchemaChanged(AT, reload, reason, added, dropped)
    assert SchemaChanged.from_body(AT, written.body()) == written


bounds = st.none() | st.integers(0, 5)


@given(bounds, bounds, bounds, bounds)
def test_a_load_covers_a_range_when_it_read_every_key_of_it(
    lo: int | None, hi: int | None, range_lo: int | None, range_hi: int | None
) -> None:
    def holds(low: int | None, high: int | None) -> set[int]:
        return {key for key in range(-3, 9) if (low is None or low <= key) and (high is None or key < high)}

    asked = holds(range_lo, range_hi)
    if not asked:
        return
    covers = RangeReplaced(AT, "load-1", lo, hi, 0).covers(IdRange("r000001", 1, range_lo, range_hi))
    assert covers == (asked <= holds(lo, hi))


@pytest.mark.parametrize(("lo", "hi", "covered"), [("B", "a", True), ("a", "b", False), ("", "é", True)])
def test_text_ranges_are_covered_by_the_order_of_their_bytes(lo: str, hi: str, covered: bool) -> None:
    assert RangeReplaced(AT, "load-1", lo, hi, 0).covers(IdRange("r000001", 1, "M", "Z")) is covered


def test_a_load_open_above_covers_ranges_that_are_born_later() -> None:
    ranges = plan_id_ranges(ByWidth(10), "integer", "id", None, None)
    last = ranges.known(25)[-1].open_above()
    load = RangeReplaced(AT, "load-1", last.lo, last.hi, 5)
    assert all(load.covers(ranges.at(index)) for index in (2, 3, 4095))
    assert not load.covers(ranges.at(1))
