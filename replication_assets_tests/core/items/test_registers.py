"""What a projection keeps in its items beside the rows' attributes."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.items.canonical import item_size
from replication_assets.core.items.registers import (
    parse_position,
    position_text,
    position_texts,
    register_bytes,
    with_registers,
)
from replication_assets.core.positions import INT32_MAX, INT64_MAX, Position

POSITIONS = st.builds(
    Position, st.integers(0, INT32_MAX), st.integers(0, INT64_MAX), st.integers(0, INT64_MAX)
)


def table_of(positions: list[Position], **columns: list[str]) -> pa.Table:
    return pa.table(
        {
            "_epoch": pa.array([each.epoch for each in positions], pa.int32()),
            "_commit_position": pa.array([each.commit for each in positions], pa.int64()),
            "_sequence": pa.array([each.sequence for each in positions], pa.int64()),
            **columns,
        }
    )


@given(st.lists(POSITIONS, min_size=1))
def test_texts_of_positions_sort_as_positions_do_and_read_back(positions: list[Position]) -> None:
    texts = position_texts(table_of(positions)).to_pylist()
    assert texts == [position_text(each) for each in positions]
    assert [parse_position(text) for text in texts] == positions
    assert sorted(texts) == [position_text(each) for each in sorted(positions)]


@pytest.mark.parametrize("text", ["", "1-2-3", "0000000001-00000000000000000002-0000000000000000000x"])
def test_another_text_is_no_position(text: str) -> None:
    with pytest.raises(ValueError):
        parse_position(text)


def test_registers_are_added_to_items_and_to_the_keys_of_tombstones() -> None:
    rows = table_of([Position(1, 2, 3)], item=['{"pk":{"S":"}"},"a":{"N":"1"}}'], key=['{"pk":{"S":"}"}}'])
    origin = 'shop.public."orders"#r000001'
    position = {"S": "0000000001-00000000000000000002-00000000000000000003"}
    (item,) = map(json.loads, with_registers(rows, "item", origin).to_pylist())
    assert item == {"pk": {"S": "}"}, "a": {"N": "1"}, "_position": position, "_origin": {"S": origin}}
    (tombstone,) = map(json.loads, with_registers(rows, "key", origin, deleted=True).to_pylist())
    assert tombstone == {
        "pk": {"S": "}"},
        "_position": position,
        "_origin": {"S": origin},
        "_deleted": {"BOOL": True},
    }
    del tombstone["pk"]
    assert item_size(tombstone) == register_bytes(origin)
