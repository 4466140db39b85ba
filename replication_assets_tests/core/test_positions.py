"""Positions: a total order that their text keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.positions import INT32_MAX, INT64_MAX, Position

positions = st.builds(
    Position,
    st.integers(0, INT32_MAX) | st.integers(0, 2),
    st.integers(0, INT64_MAX) | st.integers(0, 2),
    st.integers(0, INT64_MAX) | st.integers(0, 2),
)


@given(positions, positions)
def test_text_sorts_as_positions_do(one: Position, other: Position) -> None:
    assert (one < other) == (str(one) < str(other))
    assert (one == other) == (str(one) == str(other))


@given(positions)
def test_parse_is_the_inverse_of_text(position: Position) -> None:
    assert Position.parse(str(position)) == position


@given(positions, positions)
def test_the_end_of_a_commit_is_at_or_after_everything_in_it_and_before_the_next(
    one: Position, other: Position
) -> None:
    if (one.epoch, one.commit) == (other.epoch, other.commit):
        assert other <= one.end_of_commit()
    else:
        assert (other < one) == (other < one.end_of_commit())


def test_rows_of_a_load_sort_before_the_changes_of_the_same_commit_position() -> None:
    assert Position(1, 7) < Position(1, 7, 1) < Position(1, 8) < Position(2, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1-2-3",
        "00000001-0000000000000001",
        "00000001-0000000000000001-0000000000000001 ",
        "00000001-0000000000000001-0000000000000001\n",
        "00000001-000000000000000A-0000000000000001",
        "ffffffff-0000000000000001-0000000000000001",
        "00000001-ffffffffffffffff-0000000000000001",
    ],
)
def test_text_that_no_position_writes_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Position.parse(text)


@pytest.mark.parametrize(
    "parts", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (2**31, 0, 0), (0, 2**63, 0), (0, 0, 2**63)]
)
def test_parts_outside_their_width_are_refused(parts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="outside"):
        Position(*parts)
