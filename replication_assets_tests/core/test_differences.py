"""Rows that two sides do not share are named by their identity, and told apart by why."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.differences import SIDE, Differences
from replication_assets.core.positions import Position

COLUMNS = pa.schema(
    [pa.field("id", pa.int64()), pa.field("name", pa.string()), pa.field("ratio", pa.float64())]
)
ENGINE = duckdb.connect()
Row = tuple[Any, ...]


def side(
    *rows: Row, id_range: str | None = "r1", commit: int = 5, deleted: bool = False
) -> list[pa.RecordBatch]:
    values = [(*row, 1, commit, 0, id_range, deleted) for row in rows]
    schema = pa.schema([*COLUMNS, *SIDE])
    arrays = [pa.array([row[i] for row in values], field.type) for i, field in enumerate(schema)]
    return [pa.RecordBatch.from_arrays(arrays, schema=schema)]


def found(differences: Differences) -> list[tuple[Any, ...]]:
    rows = []
    for each in differences.find():
        for finding, identity in zip(each.findings.to_pylist(), each.identities.to_pylist(), strict=True):
            rows.append((finding["kind"], finding["id_range"], *identity.values(), finding["columns"]))
    return sorted(rows, key=repr)


def keyed() -> Differences:
    return Differences(ENGINE, COLUMNS, ["id"])


def test_missing_extra_and_differing_rows_are_named_with_the_columns_that_differ() -> None:
    differences = keyed()
    differences.expect(side((1, "a", 1.0), (2, "b", math.nan), (3, "c", 0.0), (4, None, None)))
    differences.add(side((1, "a", 1.0), (2, "B", 2.0), (3, "c", -0.0), (5, "e", None)))
    assert found(differences) == [
        ("differing", "r1", 2, ["name", "ratio"]),
        ("differing", "r1", 3, ["ratio"]),
        ("extra", "r1", 5, None),
        ("missing", "r1", 4, None),
    ]


def test_equal_sides_have_no_findings_whatever_their_order() -> None:
    differences = keyed()
    differences.expect(side((1, "a", math.nan), (2, None, None)))
    differences.add(side((2, None, None), (1, "a", -math.nan)))
    assert found(differences) == []


def test_a_second_copy_of_a_row_is_extra() -> None:
    differences = keyed()
    differences.expect(side((1, "a", 1.0)))
    differences.add(side((1, "a", 1.0), (1, "a", 1.0)))
    assert found(differences) == [("extra", "r1", 1, None)]


def test_a_row_in_the_wrong_range_is_missing_in_one_and_extra_in_the_other() -> None:
    differences = keyed()
    differences.expect(side((1, "a", 1.0)))
    differences.add(side((1, "a", 1.0), id_range="r2"))
    assert found(differences) == [("extra", "r2", 1, None), ("missing", "r1", 1, None)]


def test_rows_after_the_checkpoint_are_in_flight() -> None:
    differences = keyed()
    differences.reached({"r1": Position(1, 10)})
    differences.expect(side((1, "old", 1.0), (2, "old", 1.0), (4, "x", 1.0)))
    differences.add(side((1, "new", 1.0), (3, "new", 1.0), commit=11))
    differences.add(side((2, "old", 1.0), commit=12, deleted=True))
    differences.add(side((4, "y", 1.0), commit=10))
    assert found(differences) == [
        ("differing", "r1", 4, ["name"]),
        ("in-flight", "r1", 1, ["name"]),
        ("in-flight", "r1", 3, None),
    ]


def test_a_row_deleted_by_the_checkpoint_is_not_there() -> None:
    differences = keyed()
    differences.reached({"r1": Position(1, 10)})
    differences.expect(side((1, "a", 1.0)))
    differences.add(side((1, "a", 1.0), (2, "b", 1.0), commit=9, deleted=True))
    assert found(differences) == [("missing", "r1", 1, None)]


def test_refused_rows_are_dead_lettered() -> None:
    differences = keyed()
    differences.expect(side((1, "new", 1.0), (2, "x", 1.0)))
    differences.add(side((1, "old", 1.0), (3, "x", 1.0)))
    differences.refused(pa.RecordBatch.from_pydict({"id": pa.array([1, 3], pa.int64())}), "r1")
    assert found(differences) == [
        ("dead-lettered", "r1", 1, ["name"]),
        ("dead-lettered", "r1", 3, None),
        ("missing", "r1", 2, None),
    ]


def test_a_row_that_nobody_wrote_counts_where_its_identity_is_expected() -> None:
    differences = keyed()
    differences.expect(side((1, "a", 1.0)))
    differences.add(side((1, "A", 1.0), (9, "z", 1.0), id_range=None))
    differences.adopt("r1")
    assert found(differences) == [("differing", "r1", 1, ["name"]), ("extra", "", 9, None)]


def test_of_rows_that_are_one_to_the_target_the_newest_counts() -> None:
    differences = keyed()
    differences.expect(side((1, "old", 1.0), commit=5))
    differences.expect(side((1, "new", 1.0), commit=6))
    differences.add(side((1, "new", 1.0), commit=6))
    assert found(differences) == []


def test_of_a_document_the_members_that_differ_are_told() -> None:
    differences = Differences(ENGINE, COLUMNS, ["id"], ["name"])
    left = '{"a":{"S":"1"},"b":{"N":"1"},"c c":{"L":[{"S":"x"}]}}'
    differences.expect(side((1, left, None), (2, left, None), (3, left, 1.0)))
    right = '{"a":{"S":"1"},"b":{"N":"2"},"d":{"S":""}}'
    differences.add(side((1, right, None), (2, "no document", None), (3, left, 2.0)))
    assert found(differences) == [
        ("differing", "r1", 1, ["b", "c c", "d"]),
        ("differing", "r1", 2, ["name"]),
        ("differing", "r1", 3, ["ratio"]),
    ]


@settings(max_examples=40)
@given(*[st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["a", None]), st.none()), max_size=8)] * 2)
def test_without_identity_every_row_counts(left: list[Row], right: list[Row]) -> None:
    differences = Differences(ENGINE, COLUMNS, [])
    differences.expect(side(*left))
    differences.add(side(*right))
    kinds: Counter[Any] = Counter((row[0], *row[2:5]) for row in found(differences))
    expected = Counter({("missing", *row): n for row, n in (Counter(left) - Counter(right)).items()})
    expected.update({("extra", *row): n for row, n in (Counter(right) - Counter(left)).items()})
    assert kinds == expected


@settings(max_examples=40)
@given(*[st.dictionaries(st.integers(0, 5), st.sampled_from(["a", "b", None]), max_size=6)] * 2)
def test_with_identity_every_key_is_named_once(left: dict[int, Any], right: dict[int, Any]) -> None:
    differences = keyed()
    differences.expect(side(*((k, v, None) for k, v in left.items())))
    differences.add(side(*((k, v, None) for k, v in right.items())))
    expected: list[tuple[Any, ...]] = [("missing", "r1", k, None) for k in left.keys() - right.keys()]
    expected += [("extra", "r1", k, None) for k in right.keys() - left.keys()]
    expected += [("differing", "r1", k, ["name"]) for k in left.keys() & right.keys() if left[k] != right[k]]
    assert found(differences) == sorted(expected, key=repr)
