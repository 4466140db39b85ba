"""Row images of the change log to events: what a statement did to each row, wherever batches are cut."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.schema import Column, TableSchema
from replication_assets.core.trigger_log import Shape, ShapeChange
from replication_assets.errors import DecodeError
from replication_assets.sources.sqlserver.books import Captured
from replication_assets.sources.sqlserver.triggers.decoding import Decoder
from replication_assets_tests.sources.sqlserver.recorded import T, batch

AT = dt.datetime(2026, 3, 4, 5, 6, 7)
SCHEMA = TableSchema((Column("id", "int", pa.int32()), Column("v", "int", pa.int32())), ("id",))
WORDS = TableSchema((Column("id", "nvarchar(9)", pa.string()), Column("v", "int", pa.int32())), ("id",))
Logged = tuple[int, int, str, int, str, int, Any, int | None]
"""Commit, run, operation, images, side, stays, key, value."""


def captured(schema: TableSchema = SCHEMA, *, number: int = 1, change: ShapeChange | None = None) -> Captured:
    columns = tuple((column.name, column.source_type) for column in schema.columns)
    shape = Shape(number, "dbo.orders", columns, schema.key)
    return Captured(number, "dbo", "orders", 9, None, 5, None, shape, change, True, True)


def images(rows: Sequence[Logged], schema: TableSchema = SCHEMA) -> pa.RecordBatch:
    """As the driver gives the answer to `ChangeLog.changes`."""
    commits, runs, ops, counts, sides, stays, keys, values = zip(*rows, strict=True)
    return batch(
        pa.array(commits, pa.int64()),
        pa.array(runs, pa.int64()),
        pa.array(ops, pa.large_string()),
        pa.array(counts, pa.int64()),
        pa.array(sides, pa.large_string()),
        pa.array([bool(each) for each in stays], pa.bool_()),
        pa.array([77] * len(rows), pa.int64()),
        pa.array([AT] * len(rows), pa.timestamp("us")),
        pa.array(keys, schema.column("id").arrow),
        pa.array(values, pa.int32()),
    )


def decoded(batches: Sequence[pa.RecordBatch], schema: TableSchema = SCHEMA) -> list[dict[str, Any]]:
    decoder = Decoder([(T, schema)], 3)
    found = decoder.decode(captured(schema), ("id",), batches)
    return [row for each, _, _ in found for row in each.rows.to_pylist()]


def told(rows: Sequence[Logged]) -> list[tuple[Any, ...]]:
    names = ("_op", "id", "v", "_commit_position", "_sequence", "_before")
    return [tuple(row[name] for name in names) for row in decoded([images(rows)])]


def test_an_old_and_a_new_image_of_a_key_are_one_update() -> None:
    assert told([(9, 8, "U", 2, "O", 1, 1, 10), (9, 8, "U", 2, "N", 0, 1, 11)]) == [
        ("U", 1, 11, 9, 8, '{"v":"10"}')
    ]


def test_a_key_that_changed_alone_is_the_same_row() -> None:
    """The server orders images by their keys: the new one may come first."""
    assert told([(9, 8, "U", 1, "N", 0, 2, 10), (9, 8, "U", 1, "O", 0, 5, 10)]) == [
        ("D", 5, 10, 9, 8, None),
        ("U", 2, 10, 9, 8, None),
    ]


def test_keys_that_changed_together_are_deletes_and_inserts() -> None:
    """What keeps a key is an update of it; nobody tells that row 1 became row 2."""
    shifted: list[Logged] = [
        (9, 8, "U", 2, "O", 0, 1, 10),
        (9, 8, "U", 2, "O", 1, 2, 20),
        (9, 8, "U", 2, "N", 0, 2, 10),
        (9, 8, "U", 2, "N", 0, 3, 20),
    ]
    assert [row[:3] for row in told(shifted)] == [("D", 1, 10), ("U", 2, 10), ("I", 3, 20)]


def test_a_merge_that_deletes_and_inserts_a_key_leaves_the_new_row_whichever_trigger_fires_first() -> None:
    insert: Logged = (9, 7, "I", 1, "N", 0, 1, 11)
    delete: Logged = (9, 8, "D", 1, "O", 1, 1, 10)
    assert [row[:3] for row in told([insert, delete])] == [("I", 1, 11)]
    moved: list[Logged] = [(9, 8, "U", 1, "O", 1, 1, 10), (9, 8, "U", 1, "N", 0, 2, 10)]
    assert [row[:3] for row in told([insert, *moved])] == [("I", 1, 11), ("I", 2, 10)]
    assert told([delete]) == []


def test_a_key_of_other_letters_is_another_key() -> None:
    rows: list[Logged] = [
        (9, 8, "U", 2, "O", 0, "a", 1),
        (9, 8, "U", 2, "N", 0, "A", 1),
        (9, 8, "U", 2, "O", 0, "b", 2),
        (9, 8, "U", 2, "N", 0, "b", 3),
    ]
    found = decoded([images(rows, WORDS)], WORDS)
    assert [(row["_op"], row["id"]) for row in found] == [("D", "a"), ("I", "A"), ("U", "b")]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([(9, 8, "X", 1, "N", 0, 1, 1)], "unknown operation"),
        ([(9, 8, "U", 1, "X", 0, 1, 1)], "neither an old nor a new"),
        (
            [(9, 8, "U", 3, "O", 0, 1, 1), (9, 8, "U", 3, "N", 0, 1, 2), (9, 8, "U", 3, "O", 0, 1, 3)],
            "more than two images",
        ),
    ],
)
def test_what_no_trigger_writes_is_refused(rows: list[Logged], problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        told(rows)


def test_changes_of_columns_that_the_store_lacks_are_told_with_theirs() -> None:
    narrow = TableSchema(SCHEMA.columns[:1], ("id",))
    decoder = Decoder([(T, narrow)], 3)
    given = [images([(9, 8, "I", 1, "N", 0, 1, 10)])]
    ((events, changes, at),) = decoder.decode(captured(), ("id",), given)
    ((_, schema, change),) = changes
    assert (schema.names, change.reload, change.added) == (("id", "v"), True, ("v",))
    assert events.rows.to_pylist()[0]["v"] == 10
    assert at == AT.replace(tzinfo=dt.UTC)


def test_a_column_that_a_shape_lacks_is_null() -> None:
    wide = TableSchema((*SCHEMA.columns, Column("extra", "int", pa.int32())), ("id",))
    decoder = Decoder([(T, wide)], 3)
    given = [images([(9, 8, "I", 1, "N", 0, 1, 10)])]
    ((events, changes, _),) = decoder.decode(captured(), ("id",), given)
    assert [(row["v"], row["extra"]) for row in events.rows.to_pylist()] == [(10, None)]
    assert changes == []


def test_a_later_shape_is_told_where_it_begins() -> None:
    wide = TableSchema((*SCHEMA.columns, Column("extra", "int", pa.int32())), ("id",))
    decoder = Decoder([(T, SCHEMA)], 3)
    change = ShapeChange(False, "column extra was added, null in all rows", ("extra",))
    ((table, schema, found),) = decoder.shaped(captured(wide, number=2, change=change))
    assert (table, schema.names, found.position.commit) == (T, ("id", "v", "extra"), 5)
    assert decoder.shaped(captured()) == []


# --- any statements, cut anywhere ----------------------------------------------------------------


@dataclass
class Server:
    """A table, and what triggers on it write for the statements of one transaction each."""

    rows: dict[int, int] = field(default_factory=dict)
    log: list[Logged] = field(default_factory=list)
    number: int = 10

    def statement(self, old: dict[int, int], new: dict[int, int], *, merged: bool, first: bool) -> None:
        """`old` rows became `new` ones. Merged, it is a delete and an insert, in either order."""
        for key in old:
            del self.rows[key]
        self.rows |= new
        if merged:
            runs = [("D", old, {}), ("I", {}, new)]
            runs = runs if first else runs[::-1]
        else:
            runs = [("U" if old and new else "D" if old else "I", old, new)]
        written = []
        for op, gone, came in runs:
            if gone or came:
                self.number += 3
                count = len(gone) or len(came)
                sides = [(key, "O", value) for key, value in gone.items()]
                sides += [(key, "N", value) for key, value in came.items()]
                ordered = sorted(sides, key=lambda each: (each[0], each[1] != "O"))
                written += [
                    (self.number, op, count, side, int(side == "O" and key in self.rows), key, value)
                    for key, side, value in ordered
                ]
        self.log += [(self.number, *each) for each in written]


statements = st.tuples(
    st.lists(st.integers(0, 5), unique=True, max_size=4),
    st.permutations(range(6)),
    st.integers(0, 99),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(statements, min_size=1, max_size=12), st.lists(st.integers(0, 60), max_size=8))
@settings(max_examples=60)
def test_events_make_the_table_whatever_statements_did(
    done: list[tuple[list[int], list[int], int, bool, bool]], cuts: list[int]
) -> None:
    server = Server()
    for keys, targets, value, merged, first in done:
        old = {key: server.rows[key] for key in keys if key in server.rows}
        if old:
            free = [key for key in targets if key not in server.rows or key in old]
            new = {key: value + i for i, key in enumerate(free[: len(old)])}
            # An update has as many rows after it as before; a value of 0 stands for a delete.
            new = new if len(new) == len(old) and value else {}
        else:
            new = dict.fromkeys(keys, value)
        server.statement(old, new, merged=merged, first=first)
    if not server.log:
        return
    edges = sorted({0, len(server.log), *(min(cut, len(server.log)) for cut in cuts)})
    whole = images(server.log)
    found = decoded([whole.slice(a, b - a) for a, b in pairwise(edges)])
    rows: dict[int, int] = {}
    places = [(row["_commit_position"], row["_sequence"], row["id"]) for row in found]
    assert len(set(places)) == len(places)
    for row in found:
        if row["_op"] == "D":
            rows.pop(row["id"], None)
        else:
            rows[row["id"]] = row["v"]
    assert rows == server.rows
