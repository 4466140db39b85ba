"""Changes become events: one for each, in their order, with every value or its text."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.envelopes.messages import RowChange
from replication_assets.core.envelopes.rows import PlacedChange, late_columns, row_events
from replication_assets.core.envelopes.types import ValueFormat, late_column, spelled_column
from replication_assets.core.events import event_schema
from replication_assets.core.schema import TableSchema

DMS = ValueFormat("hex")
SCHEMA = TableSchema((spelled_column("id bigint"), spelled_column("v text")), ("id",))
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: name[0] != "_"
)
VALUES = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]))


def change(op: Any, row: dict[str, Any], before: dict[str, Any] | None = None, unsent: Any = ()) -> RowChange:
    return RowChange(op, "public", "orders", row, before, 7, None, unsent)


def events(*changes: RowChange, schema: TableSchema = SCHEMA) -> tuple[list[dict[str, Any]], frozenset[int]]:
    placed = [PlacedChange(number, number + 1, 5, each) for number, each in enumerate(changes)]
    batch, refused = row_events(placed, schema, DMS, epoch=2, commit=9)
    assert batch.schema == event_schema(schema)
    return batch.to_pylist(), refused


def test_positions_and_times_are_those_of_the_changes() -> None:
    found, refused = events(
        change("I", {"id": 1}), RowChange("U", "public", "orders", {"id": 1}, None, None, 4)
    )
    assert [(row["_epoch"], row["_commit_position"], row["_sequence"]) for row in found] == [
        (2, 9, 1),
        (2, 9, 2),
    ]
    assert [row["_committed_at"].microsecond for row in found] == [7, 5]
    assert [row["_transaction_id"] for row in found] == [None, 4]
    assert refused == frozenset()


def test_a_before_image_tells_old_values_and_changed_keys() -> None:
    found, _ = events(
        change("U", {"id": 1, "v": "new"}, {"id": 1, "v": "old"}),
        change("U", {"id": 1, "v": "new"}, {"v": "old"}),
        change("U", {"id": 1, "v": "x"}, {"id": 1, "v": "x"}),
        change("U", {"id": 2, "v": "x"}, {"id": 1}),
    )
    told = [(row["_op"], row["id"], row["v"], row["_before"]) for row in found]
    assert told == [
        ("U", 1, "new", '{"v":"old"}'),
        ("U", 1, "new", '{"v":"old"}'),
        ("U", 1, "x", None),
        ("D", 1, None, None),
        ("U", 2, "x", None),
    ]
    assert found[3]["_sequence"] == found[4]["_sequence"]


def test_what_was_not_sent_is_null_and_named() -> None:
    found, _ = events(
        change("U", {"id": 1, "v": "placeholder"}, None, ("v",)), change("U", {"id": 2, "v": "placeholder"})
    )
    assert [(row["v"], row["_unchanged"]) for row in found] == [(None, ["v"]), ("placeholder", None)]


def test_a_change_without_its_key_is_refused_with_all_of_its_events() -> None:
    found, refused = events(
        change("I", {"v": "x"}),
        change("I", {"id": "text"}),
        change("U", {"id": None}, {"id": 3}),
        change("D", {"id": 4}),
    )
    assert refused == {0, 1, 2}
    assert [(row["_op"], row["id"]) for row in found] == [("D", 4)]


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=5), min_size=1, max_size=5))
def test_rows_with_any_columns_come_through_whole(rows: list[dict[str, Any]]) -> None:
    changes = [change("I", row | {"id": number}) for number, row in enumerate(rows)]
    placed = [PlacedChange(number, number, 0, each) for number, each in enumerate(changes)]
    late = late_columns(placed, SCHEMA)
    schema = TableSchema((*SCHEMA.columns, *map(late_column, late)), ("id",))
    found, refused = events(*changes, schema=schema)
    assert refused == frozenset()
    for number, row in enumerate(rows):
        overflow = json.loads(found[number]["_overflow"] or "{}")
        for name, value in row.items():
            if name == "id":
                continue
            stored = found[number][name] if name not in overflow else overflow[name]
            if value is None:
                assert stored is None
            elif name == "v" and isinstance(value, str):
                assert stored == value
            else:
                assert json.loads(stored) == value
