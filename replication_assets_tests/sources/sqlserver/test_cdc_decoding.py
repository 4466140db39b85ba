"""Rows of change tables become events: pairs, order, keys that change, large values."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.change_rows import row_events
from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import DecodeError
from replication_assets.sources.sqlserver.cdc.decoding import Instance, change_rows, split_last
from replication_assets.sources.sqlserver.cdc.positions import (
    MOST_RANK,
    commit_of,
    last_of,
    sequences,
    slot_of,
)

AT = dt.datetime(2026, 3, 4, 5, 6, 7, 123000)
ID = Column("id", "int", pa.int32())
V = Column("v", "int", pa.int32())
DOC = Column("doc", "nvarchar(max)", pa.string())
OLD_DOC = Column("old_doc", "ntext", pa.string())
PLAIN = TableSchema((ID, V), ("id",))
PLAIN_INSTANCE = Instance("i", (ID, V), ())
Change = tuple[int, int, int, int, int, Any]
"""Commit, slot, rank, operation, seqval, values."""


def changed(*changes: Change) -> pa.RecordBatch:
    """As the driver gives the answer to `statements.cdc.changes` of columns `id` and `v`."""
    fixed = list(zip(*(change[:5] for change in changes), strict=True))
    values = list(zip(*(change[5] for change in changes), strict=True))
    arrays = [
        pa.array(fixed[0], pa.int64()),
        pa.array(fixed[1], pa.int32()),
        pa.array(fixed[2], pa.int64()),
        pa.array(fixed[3], pa.int32()),
        pa.array([each.to_bytes(10, "big") for each in fixed[4]], pa.large_binary()),
        pa.array([1] * len(changes), pa.int32()),
        pa.array([AT] * len(changes), pa.timestamp("us")),
        pa.array([77] * len(changes), pa.int64()),
        *(pa.array(each) if isinstance(each, list) else pa.array(list(each)) for each in values),
    ]
    arrays[8:] = [
        each.cast(pa.int32())
        if pa.types.is_integer(each.type)
        else each.cast(pa.large_string())
        if pa.types.is_string(each.type)
        else pa.nulls(len(each), pa.large_string())
        for each in arrays[8:]
    ]
    return pa.RecordBatch.from_arrays(arrays, [f"c{i}" for i in range(len(arrays))])


def told(
    batch: pa.RecordBatch, schema: TableSchema = PLAIN, instance: Instance = PLAIN_INSTANCE
) -> list[Any]:
    found = row_events(change_rows(instance, schema, batch), schema, 3)
    found.validate(full=True)
    return [tuple(row[name] for name in ("_op", *schema.names, "_before")) for row in found.to_pylist()]


def test_each_change_is_an_event_with_both_images() -> None:
    batch = changed(
        (9, 1, 1, 2, 10, (1, 10)),
        (9, 1, 2, 3, 11, (1, 10)),
        (9, 1, 3, 4, 11, (1, 11)),
        (9, 1, 4, 1, 12, (1, 11)),
    )
    assert told(batch) == [
        ("I", 1, 10, None),
        ("U", 1, 11, '{"v":"10"}'),
        ("D", 1, 11, None),
    ]


def test_an_update_of_a_key_is_a_delete_and_an_insert_with_one_place_in_the_log() -> None:
    batch = changed((9, 1, 1, 1, 10, (2, 20)), (9, 1, 2, 2, 10, (5, 20)))
    rows = row_events(change_rows(PLAIN_INSTANCE, PLAIN, batch), PLAIN, 3).to_pylist()
    assert [(row["_op"], row["id"], row["_commit_position"], row["_sequence"]) for row in rows] == [
        ("D", 2, 9, (1 << 47) | 2),
        ("U", 5, 9, (1 << 47) | 2),
    ]


def test_a_delete_and_an_insert_of_different_places_stay_two_changes() -> None:
    assert told(changed((9, 1, 1, 1, 10, (2, 20)), (9, 1, 2, 2, 11, (2, 21)))) == [
        ("D", 2, 20, None),
        ("I", 2, 21, None),
    ]
    assert told(changed((9, 1, 1, 1, 10, (2, 20)), (9, 2, 1, 2, 10, (2, 21)))) == [
        ("D", 2, 20, None),
        ("I", 2, 21, None),
    ]


def test_rows_without_a_key_are_told_whole() -> None:
    schema = TableSchema((ID, V))
    assert told(changed((9, 1, 1, 3, 10, (1, 1)), (9, 1, 2, 4, 10, (1, 2))), schema) == [
        ("D", 1, 1, None),
        ("I", 1, 2, None),
    ]


def test_half_of_an_update_waits_for_the_next_batch_and_is_never_guessed() -> None:
    whole = changed((9, 1, 1, 2, 10, (1, 10)), (9, 1, 2, 3, 11, (1, 10)))
    ready, waiting = split_last(whole)
    assert (ready.num_rows, waiting.num_rows) == (1, 1)
    for torn in (waiting, changed((9, 1, 1, 4, 11, (1, 10))), changed((9, 1, 1, 5, 11, (1, 10)))):
        with pytest.raises(DecodeError, match="half of an update"):
            told(torn)


def test_a_large_value_that_was_not_sent_is_not_null() -> None:
    schema = TableSchema((ID, DOC), ("id",))
    instance = Instance("i", (ID, DOC), (1,))
    rows = [
        # Untouched, and not sent.
        (9, 1, 1, 3, 10, (1, None, 0)),
        (9, 1, 2, 4, 10, (1, None, 0)),
        # Untouched, and sent all the same.
        (9, 1, 3, 3, 11, (2, None, 0)),
        (9, 1, 4, 4, 11, (2, "same", 0)),
        # Changed.
        (9, 1, 5, 3, 12, (3, "old", 1)),
        (9, 1, 6, 4, 12, (3, "new", 1)),
        # Set to NULL.
        (9, 1, 7, 3, 13, (4, "old", 1)),
        (9, 1, 8, 4, 13, (4, None, 1)),
    ]
    found = row_events(change_rows(instance, schema, changed(*rows)), schema, 3).to_pylist()
    assert [(row["doc"], row["_unchanged"], row["_before"]) for row in found] == [
        (None, ["doc"], "{}"),
        ("same", None, "{}"),
        ("new", None, '{"doc":"old"}'),
        (None, None, '{"doc":"old"}'),
    ]


def test_old_values_of_ntext_are_never_made_up() -> None:
    schema = TableSchema((ID, OLD_DOC), ("id",))
    instance = Instance("i", (ID, OLD_DOC), (1,))
    rows = ((9, 1, 1, 3, 10, (1, None, 1)), (9, 1, 2, 4, 10, (1, "new", 1)))
    (row,) = row_events(change_rows(instance, schema, changed(*rows)), schema, 3).to_pylist()
    assert (row["old_doc"], row["_unchanged"], row["_before"]) == ("new", None, "{}")


def test_a_column_that_the_instance_lacks_is_null() -> None:
    schema = TableSchema((ID, V, DOC), ("id",))
    assert told(changed((9, 1, 1, 2, 10, (1, 10))), schema) == [("I", 1, 10, None, None)]


@given(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_positions_order_as_log_sequence_numbers_do(one: bytes, other: bytes) -> None:
    both = [bytes([each[0] & 0x7F]) + each[1:] for each in (one, other)]
    places = [(commit_of(each), int(sequences(np.array([slot_of(each)]), np.array([1]))[0])) for each in both]
    assert (places[0] < places[1]) == (both[0] < both[1])
    assert bytes.fromhex(last_of(places[0][0])[2:]) >= both[0]
    assert commit_of(bytes.fromhex(last_of(places[0][0])[2:])) == places[0][0]


def test_what_cannot_be_numbered_is_refused() -> None:
    with pytest.raises(DecodeError, match="more changes than can be numbered"):
        sequences(np.array([1]), np.array([MOST_RANK + 1]))
    for wrong in (b"\x80" + bytes(9), bytes(9)):
        with pytest.raises(DecodeError):
            commit_of(wrong)
    assert int(sequences(np.array([0xFFFF]), np.array([MOST_RANK]))[0]) == 2**63 - 1


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), min_size=1, max_size=25), st.integers(1, 9))
def test_batches_cut_anywhere_make_the_same_events(changes: list[tuple[int, int]], size: int) -> None:
    rows: list[Change] = []
    for seqval, (key, kind) in enumerate(changes):
        pairs = {0: [(2, key)], 1: [(1, key)], 2: [(3, key), (4, key)], 3: [(1, key), (2, key + 9)]}[kind]
        rows += [(9, 1, len(rows) + 1 + i, op, seqval, (each, 1)) for i, (op, each) in enumerate(pairs)]
    batch, found, waiting = changed(*rows), list[Any](), None
    for start in range(0, len(rows), size):
        piece = batch.slice(start, size)
        if waiting is not None and waiting.num_rows:
            table = pa.Table.from_batches([waiting, piece]).combine_chunks()
            piece = table.to_batches()[0]
        ready, waiting = split_last(piece)
        found += told(ready) if ready.num_rows else []
    found += told(waiting) if waiting is not None and waiting.num_rows else []
    assert found == told(batch)
