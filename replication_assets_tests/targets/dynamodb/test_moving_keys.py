"""Items whose key is not the table's: any history, in any pieces, ranges at any pace, repeated."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.changes import RangeChanges
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.spec import ItemKey
from replication_assets.core.schema import Column, TableSchema
from replication_assets.targets.dynamodb.conversion import together
from replication_assets.targets.dynamodb.range_writer import OLDER, RangeWriter
from replication_assets_tests.contracts.projection_target import (
    A,
    B,
    Row,
    apply,
    at,
    changes,
    fill,
    holds,
    row,
    table,
)
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.targets.dynamodb.places import BY_ID, DynamoDbPlace

BY_EMAIL = dataclasses.replace(BY_ID, partition_key=ItemKey("pk", "mail#${email}"))
PEOPLE = TableSchema((Column("id", "bigint", pa.int64()), Column("email", "text", pa.string())), ("id",))
EMAILS = ("a", "b", "c", "d")
RANGES = (A, B)


@dataclass
class Source:
    """A table with unique e-mail addresses, and the events of each range that were not applied."""

    rows: dict[int, Row] = field(default_factory=dict)
    pending: dict[str, list[tuple[str, Row]]] = field(default_factory=lambda: {A: [], B: []})
    known: dict[str, dict[int, Row]] = field(default_factory=lambda: {A: {}, B: {}})
    commit: int = 5

    def step(self, number: int, email: str, deletes: bool) -> None:
        self.commit += 1
        position = at(self.commit, 1)
        taken = any(each["email"] == email for key, each in self.rows.items() if key != number)
        if number in self.rows and (deletes or taken):
            del self.rows[number]
            self.pending[RANGES[number % 2]].append(("D", row(position, id=number)))
        elif not taken:
            self.rows[number] = row(position, id=number, email=email)
            self.pending[RANGES[number % 2]].append(("U", self.rows[number]))

    def changes(self, id_range: str) -> RangeChanges:
        """The net effect of what is pending, and every other row that the touched keys had."""
        held, former = self.known[id_range], []
        newest: dict[int, tuple[str, Row]] = {}
        for operation, each in self.pending[id_range]:
            key = each["id"]
            if key in newest and newest[key][0] == "U":
                former.append(newest[key][1])
            elif key not in newest and key in held:
                former.append(held[key])
            newest[key] = (operation, each)
        for key, (operation, each) in newest.items():
            held.pop(key, None)
            if operation == "U":
                held[key] = each
        self.pending[id_range] = []
        upserts = [each for operation, each in newest.values() if operation == "U"]
        deletes = [each for operation, each in newest.values() if operation == "D"]
        return dataclasses.replace(changes(upserts, deletes, PEOPLE), former=table(former, PEOPLE))


def again(place: DynamoDbPlace, id_range: str, these: RangeChanges) -> None:
    """The same writes once more, much too late."""
    conversion = place.target._conversion(ItemMapping(place.items, PEOPLE), id_range)
    prepared = conversion.rows(these.upserts)
    writes = together(prepared, conversion.graves(these, prepared, at(99), id_range), distinct=False)
    RangeWriter(place.target._data, conversion).put(prepared, writes, writes["register"], OLDER)


STEPS = st.lists(st.tuples(st.integers(1, 6), st.sampled_from(EMAILS), st.booleans()), max_size=30)
PACE = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(RANGES), st.integers(0, 20)), max_size=12)


def test_items_equal_the_rows_whatever_moves_where(dynamodb: DynamoDbServer) -> None:
    @settings(max_examples=20)
    @given(STEPS, PACE)
    def run(steps: Sequence[tuple[int, str, bool]], pace: Sequence[tuple[int, str, int]]) -> None:
        place, source = DynamoDbPlace(dynamodb, BY_EMAIL), Source()
        for id_range in RANGES:
            fill(place.target, [], at(5), id_range, PEOPLE)
        left, sent = list(steps), []
        for count, id_range, late in (*pace, (len(steps), A, 0), (0, B, 1)):
            for step in left[:count]:
                source.step(*step)
            left = left[count:]
            sent.append((id_range, source.changes(id_range)))
            apply(place.target, sent[-1][1], at(source.commit, 1), id_range, PEOPLE)
            again(place, *sent[late % len(sent)])
        for id_range in RANGES:
            expected = [each for key, each in source.rows.items() if RANGES[key % 2] == id_range]
            holds(place, expected, id_range, PEOPLE)
            checkpoint = place.target.checkpoint(id_range)
            assert checkpoint is not None
            assert checkpoint.rows == len(expected)

    run()
