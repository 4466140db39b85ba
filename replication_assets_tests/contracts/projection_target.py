"""What every projection target promises, as tests that each adapter runs.

A subclass provides the fixture `place`: a fresh target, a way to read what it stores, and a
way to empty it behind its back. Rows are compared as values, never as calls.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.changes import RangeChanges
from replication_assets.core.events import COMMIT_POSITION, COMMITTED_AT, EPOCH, OVERFLOW, SEQUENCE, UNCHANGED
from replication_assets.core.fold import row_schema
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import CommitConflict, NeedsReload, TargetError
from replication_assets.ports import ProjectionTarget, RangeCheckpoint

Row = Mapping[str, Any]
A, B = "r0001", "r0002"
BASELINE = 2**63 - 1
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

KEYED = TableSchema(
    (
        Column("id", "bigint", pa.int64()),
        Column("name", "text", pa.string()),
        Column("big", "text", pa.string()),
        Column("amount", "numeric(38,4)", pa.decimal128(38, 4)),
        Column("at", "timestamp", pa.timestamp("us")),
        Column("seen", "timestamptz", pa.timestamp("us", tz="UTC")),
        Column("raw", "bytea", pa.binary()),
        Column("day", "date", pa.date32()),
        Column("small", "smallint", pa.int16()),
        Column("ratio", "double precision", pa.float64()),
        Column("real", "real", pa.float32()),
        Column("flag", "boolean", pa.bool_()),
    ),
    key=("id",),
)
KEYLESS = TableSchema(
    (Column("name", "text", pa.string()), Column("ratio", "double precision", pa.float64()))
)

ODD_VALUES: tuple[Row, ...] = (
    {"amount": decimal.Decimal("9" * 34 + ".9999"), "small": -32768, "ratio": math.nan, "real": -0.0},
    {
        "amount": decimal.Decimal("-0.0001"),
        "ratio": -0.0,
        "real": math.inf,
        "raw": b"\x00\xff",
        "name": "nul \x00 é😀",
    },
    {
        "at": dt.datetime(1, 1, 1),
        "seen": dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
    },
    {"day": dt.date(1, 1, 1), "flag": False, "raw": b"", "name": ""},
    {"ratio": 5e-324, "real": -math.inf, "name": None},
)


class Place(Protocol):
    """A fresh target and the ways around it."""

    @property
    def target(self) -> ProjectionTarget: ...

    def stored(self, id_range: str) -> pa.Table:
        """Rows of a range, whatever the target calls them, with `row_schema` columns."""
        ...

    def empty(self) -> None:
        """Delete all rows as somebody would who knows nothing of us."""
        ...


def at(commit: int, sequence: int = 0, epoch: int = 1) -> Position:
    return Position(epoch, commit, sequence)


def row(position: Position, **values: Any) -> dict[str, Any]:
    envelope = {EPOCH: position.epoch, COMMIT_POSITION: position.commit, SEQUENCE: position.sequence}
    return {**values, **envelope, COMMITTED_AT: NOON}


def table(rows: Iterable[Row], schema: TableSchema = KEYED, *, unchanged: bool = False) -> pa.Table:
    columns = row_schema(schema)
    if unchanged:
        columns = columns.append(pa.field(UNCHANGED, pa.list_(pa.string())))
    return pa.Table.from_pylist(list(rows), schema=columns)


def changes(
    upserts: Sequence[Row] = (),
    deletes: Sequence[Row] = (),
    schema: TableSchema = KEYED,
    *,
    insert_only: bool = False,
) -> RangeChanges:
    return RangeChanges(table(upserts, schema, unchanged=True), table(deletes, schema), insert_only)


def fill(
    target: ProjectionTarget,
    rows: Sequence[Row],
    position: Position,
    id_range: str = A,
    schema: TableSchema = KEYED,
) -> RangeCheckpoint:
    return target.replace(id_range, schema, table(rows, schema).to_batches(), BASELINE, position)


def apply(
    target: ProjectionTarget,
    these: RangeChanges,
    position: Position,
    id_range: str = A,
    schema: TableSchema = KEYED,
) -> RangeCheckpoint:
    return target.apply(id_range, schema, these, BASELINE, position)


def exact(rows: pa.Table) -> list[str]:
    """Rows as sorted texts that tell NaN, -0.0, NULL and types apart."""
    return sorted(repr(sorted(one.items())) for one in rows.to_pylist())


class MappedPlace(Place, Protocol):
    """Of a target that does not hold rows but what it makes of them."""

    def holds(self, rows: Sequence[Row], id_range: str, schema: TableSchema) -> None:
        """Fail unless the target holds what these rows become, and nothing else."""
        ...


def holds(
    place: Place | MappedPlace, rows: Sequence[Row], id_range: str = A, schema: TableSchema = KEYED
) -> None:
    if hasattr(place, "holds"):
        place.holds(rows, id_range, schema)
        return
    wanted = table(rows, schema)
    found = place.stored(id_range).select(wanted.column_names)
    assert [field.type for field in found.schema] == [field.type for field in wanted.schema]
    assert exact(found) == exact(wanted)


class ProjectionTargetContract:
    """Run by each adapter; see the module."""

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    def test_a_range_that_was_never_filled_has_no_checkpoint(self, place: Place) -> None:
        assert place.target.checkpoint(A) is None
        fill(place.target, [row(at(5), id=1)], at(5))
        assert place.target.checkpoint(B) is None

    def test_a_filled_range_holds_exactly_the_rows_and_the_checkpoint(self, place: Place) -> None:
        rows = [row(at(5), id=i, **values) for i, values in enumerate(ODD_VALUES)]
        assert fill(place.target, rows, at(9, 3)) == RangeCheckpoint(BASELINE, at(9, 3), len(rows))
        holds(place, rows)
        assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(9, 3), len(rows))

    def test_a_range_filled_with_nothing_is_filled(self, place: Place) -> None:
        fill(place.target, [], at(5))
        assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 0)

    def test_replacing_a_range_leaves_nothing_of_its_old_rows(self, place: Place) -> None:
        fill(place.target, [row(at(5), id=1, name="old"), row(at(5), id=2)], at(5))
        fill(place.target, [row(at(7), id=1, name="new")], at(7))
        holds(place, [row(at(7), id=1, name="new")])
        fill(place.target, [row(at(7), id=1, name="new")], at(7))
        holds(place, [row(at(7), id=1, name="new")])

    def test_replacing_a_range_leaves_the_others_alone(self, place: Place) -> None:
        fill(place.target, [row(at(5), id=1)], at(5), A)
        fill(place.target, [row(at(6), id=900)], at(6), B)
        fill(place.target, [row(at(7), id=2)], at(7), A)
        holds(place, [row(at(7), id=2)], A)
        holds(place, [row(at(6), id=900)], B)
        assert place.target.checkpoint(B) == RangeCheckpoint(BASELINE, at(6), 1)

    def test_inserts_updates_deletes_and_key_moves_reach_the_rows(self, place: Place) -> None:
        rows = [
            row(at(5), id=i, name="old", **values)
            for i, values in enumerate(ODD_VALUES[2:4], 1)
            if "name" not in values
        ]
        fill(place.target, [*rows, row(at(5), id=2, name="gone"), row(at(5), id=3, name="moved")], at(5))
        new = [row(at(6, 1), id=4, **ODD_VALUES[0]), row(at(6, 4), id=30, name="moved")]
        gone = [row(at(6, 2), id=2), row(at(6, 4), id=3), row(at(6, 5), id=77)]
        reached = apply(place.target, changes(new, gone), at(6, 5))
        assert reached == place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(6, 5), 3)
        holds(place, [*rows, *new])
        apply(place.target, changes([row(at(7, 1), id=4, **ODD_VALUES[1])]), at(7, 1))
        holds(place, [*rows, row(at(7, 1), id=4, **ODD_VALUES[1]), new[1]])

    def test_odd_values_of_untouched_rows_survive_a_change_beside_them(self, place: Place) -> None:
        rows = [row(at(5), id=i, **values) for i, values in enumerate(ODD_VALUES)]
        fill(place.target, [*rows, row(at(5), id=99)], at(5))
        apply(place.target, changes(deletes=[row(at(6, 1), id=99)]), at(6, 1))
        holds(place, rows)

    def test_the_same_changes_twice_change_nothing_the_second_time(self, place: Place) -> None:
        fill(place.target, [row(at(5), id=1)], at(5))
        these = changes([row(at(6, 1), id=2)], insert_only=True)
        first = apply(place.target, these, at(6, 1))
        before = place.stored(A)
        assert apply(place.target, these, at(6, 1)) == first
        assert exact(place.stored(A)) == exact(before)

    def test_changes_that_reach_back_before_the_checkpoint_apply_only_what_is_new(self, place: Place) -> None:
        fill(place.target, [row(at(5), id=1)], at(5))
        first, second = row(at(6, 1), id=2, name="x"), row(at(7, 1), id=3)
        apply(place.target, changes([first], insert_only=True), at(6, 1))
        apply(place.target, changes([first, second], insert_only=True), at(7, 1))
        holds(place, [row(at(5), id=1), first, second])

    def test_older_rows_never_replace_or_remove_newer_ones(self, place: Place) -> None:
        newer = [row(at(50), id=1, name="newer"), row(at(50), id=2, name="newer"), row(at(9, 9, 2), id=3)]
        fill(place.target, newer, at(40))
        older = [row(at(45, 1), id=1, name="older"), row(at(60), id=3, name="older epoch")]
        apply(place.target, changes(older, [row(at(50), id=2)]), at(60))
        holds(place, newer)
        assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(60), 3)

    def test_an_insert_older_than_the_stored_row_is_dropped_also_among_inserts_alone(
        self, place: Place
    ) -> None:
        fill(place.target, [row(at(50), id=1, name="loaded")], at(40))
        apply(place.target, changes([row(at(45, 1), id=1, name="older")], insert_only=True), at(45, 1))
        holds(place, [row(at(50), id=1, name="loaded")])

    def test_unchanged_columns_keep_the_stored_value(self, place: Place) -> None:
        stored = row(at(5), id=1, name="a", big="B" * 5000, ratio=math.nan, raw=b"\x00")
        other = row(at(5), id=2, name="z", big="other")
        fill(place.target, [stored, other], at(5))
        update = row(at(6, 1), id=1, name="b", flag=True)
        apply(place.target, changes([{**update, UNCHANGED: ["big", "raw", "ratio"]}]), at(6, 1))
        holds(place, [{**update, "big": "B" * 5000, "raw": b"\x00", "ratio": math.nan}, other])

    def test_unchanged_columns_keep_their_odd_value_and_no_other(self, place: Place) -> None:
        odd = '{"at":"infinity","seen":"-infinity","day":"infinity"}'
        fill(place.target, [row(at(5), id=1, **{OVERFLOW: odd}), row(at(5), id=2)], at(5))
        first = row(at(6, 1), id=1, **{OVERFLOW: '{"amount":"NaN"}', UNCHANGED: ["seen"]})
        second = row(at(6, 2), id=2, **{OVERFLOW: '{"at":"infinity"}', UNCHANGED: ["big"]})
        apply(place.target, changes([first, second]), at(6, 2))
        holds(
            place,
            [
                row(at(6, 1), id=1, **{OVERFLOW: '{"amount":"NaN","seen":"-infinity"}'}),
                row(at(6, 2), id=2, **{OVERFLOW: '{"at":"infinity"}'}),
            ],
        )

    def test_unchanged_columns_without_a_stored_row_are_refused_by_name(self, place: Place) -> None:
        fill(place.target, [row(at(5), id=1)], at(5))
        update = row(at(6, 1), id=2, name="secret value", **{UNCHANGED: ["big"]})
        with pytest.raises(NeedsReload, match="big") as refused:
            apply(place.target, changes([update]), at(6, 1))
        assert "secret value" not in str(refused.value)
        assert A in str(refused.value)
        holds(place, [row(at(5), id=1)])
        assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 1)

    def test_an_emptied_target_is_noticed_and_can_be_filled_again(self, place: Place) -> None:
        rows = [row(at(5), id=1), row(at(5), id=2)]
        fill(place.target, rows, at(5))
        place.empty()
        assert place.target.checkpoint(A) is None
        with pytest.raises(TargetError):
            apply(place.target, changes([row(at(6, 1), id=3)]), at(6, 1))
        fill(place.target, rows, at(5))
        holds(place, rows)
        assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 2)

    def test_changes_of_another_baseline_are_refused(self, place: Place) -> None:
        fill(place.target, [row(at(5), id=1)], at(5))
        with pytest.raises(TargetError, match="other loads"):
            place.target.apply(A, KEYED, changes([row(at(6, 1), id=3)]), 7, at(6, 1))

    def test_changes_beyond_the_stated_position_are_refused(self, place: Place) -> None:
        fill(place.target, [row(at(5), id=1)], at(5))
        with pytest.raises(TargetError, match="reach beyond"):
            apply(place.target, changes([row(at(7, 1), id=3)]), at(6))

    def test_a_range_without_changes_still_moves_its_checkpoint(self, place: Place) -> None:
        fill(place.target, [row(at(5), id=1)], at(5))
        apply(place.target, changes(insert_only=True), at(8))
        assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(8), 1)

    def test_a_new_column_is_null_in_old_rows_and_a_dropped_one_in_new_rows(self, place: Place) -> None:
        old = TableSchema((Column("id", "bigint", pa.int64()), Column("was", "text", pa.string())), ("id",))
        new = TableSchema((Column("id", "bigint", pa.int64()), Column("now", "text", pa.string())), ("id",))
        first, second = row(at(5), id=1, was="x"), row(at(5), id=2, was="y")
        fill(place.target, [first, second], at(5), schema=old)
        update = row(at(6, 1), id=2, now="z")
        apply(place.target, changes([update], schema=new), at(6, 1), schema=new)
        stored = {one["id"]: (one["was"], one["now"]) for one in place.stored(A).to_pylist()}
        assert stored == {1: ("x", None), 2: (None, "z")}

    def test_equal_rows_without_key_are_counted_and_deleted_one_by_one(self, place: Place) -> None:
        rows = [
            row(at(5), name=n, ratio=r)
            for n, r in [("a", math.nan)] * 3 + [(None, None)] * 2 + [("z", -0.0), ("z", 0.0)]
        ]
        fill(place.target, rows, at(5), schema=KEYLESS)
        gone = [
            row(at(6, 1), name="a", ratio=math.nan),
            row(at(6, 2), name="a", ratio=math.nan),
            row(at(6, 3)),
            row(at(6, 4), name="z", ratio=-0.0),
        ]
        apply(place.target, changes((), gone, KEYLESS), at(6, 4), schema=KEYLESS)
        holds(
            place,
            [row(at(5), name="a", ratio=math.nan), row(at(5)), row(at(5), name="z", ratio=0.0)],
            schema=KEYLESS,
        )
        assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(6, 4), 3)

    def test_odd_values_tell_equal_rows_without_key_apart(self, place: Place) -> None:
        odd = row(at(5), name="a", **{OVERFLOW: '{"ratio":"odd"}'})
        fill(place.target, [row(at(5), name="a"), odd], at(5), schema=KEYLESS)
        apply(place.target, changes((), [{**odd, COMMIT_POSITION: 6}], KEYLESS), at(6), schema=KEYLESS)
        holds(place, [row(at(5), name="a")], schema=KEYLESS)

    def test_a_row_without_key_may_come_and_go_in_the_same_changes(self, place: Place) -> None:
        fill(place.target, [row(at(5), name="kept")], at(5), schema=KEYLESS)
        came, left = row(at(6, 1), name="brief"), row(at(6, 2), name="brief")
        apply(
            place.target,
            changes([came, row(at(6, 3), name="new")], [left], KEYLESS),
            at(6, 3),
            schema=KEYLESS,
        )
        holds(place, [row(at(5), name="kept"), row(at(6, 3), name="new")], schema=KEYLESS)

    def test_deleting_a_row_without_key_that_is_not_there_is_refused(self, place: Place) -> None:
        fill(place.target, [row(at(5), name="a")], at(5), schema=KEYLESS)
        gone = [row(at(6, 1), name="a"), row(at(6, 2), name="a")]
        with pytest.raises(NeedsReload, match="1 of 2"):
            apply(place.target, changes((), gone, KEYLESS), at(6, 2), schema=KEYLESS)
        holds(place, [row(at(5), name="a")], schema=KEYLESS)

    def test_errors_of_the_loser_tell_to_try_again(self) -> None:
        assert CommitConflict.retryable


# --- any history, cut anywhere, equals a dict ---------------------------------------------

Step = tuple[str, int, str | None]
STEPS = st.lists(
    st.tuples(st.sampled_from("IIUKD"), st.integers(0, 6), st.none() | st.text(max_size=2)), max_size=24
)
CUTS = st.lists(st.integers(1, 6), max_size=12)


def random_histories_equal_a_dict(place_of: Any) -> None:
    """`place_of()` gives a fresh place. For each random history of one range, applied in
    random pieces, the target holds what a dict holds. Values that the source did not send are
    left out, unless the target wants whole rows."""

    @settings(max_examples=15)
    @given(STEPS, CUTS)
    def run(steps: list[Step], cuts: list[int]) -> None:
        place = place_of()
        model: dict[int, Row] = {i: row(at(5), id=i, name="loaded", big=f"big{i}") for i in range(3)}
        fill(place.target, list(model.values()), at(5))
        commit = 5
        while steps:
            size = cuts.pop() if cuts else len(steps)
            piece, steps = steps[:size], steps[size:]
            commit += 1
            these = _net(model, piece, commit, whole_rows=place.target.needs.whole_rows)
            apply(place.target, these, at(commit, size))
            holds(place, list(model.values()))
            checkpoint = place.target.checkpoint(A)
            assert checkpoint is not None
            assert checkpoint.rows == len(model)

    run()


def _net(model: dict[int, Row], piece: list[Step], commit: int, *, whole_rows: bool) -> RangeChanges:
    """Moves `model` by the steps and returns their net effect as the fold would."""
    upserts: dict[int, Row] = {}
    deletes: dict[int, Row] = {}
    before = set(model)
    for sequence, (operation, key, text) in enumerate(piece, 1):
        position = at(commit, sequence)
        if operation == "D":
            model.pop(key, None)
            upserts.pop(key, None)
            deletes[key] = row(position, id=key)
            continue
        kept = operation == "K" and key in model
        big = model[key]["big"] if kept else text
        model[key] = row(position, id=key, name=text, big=big)
        # Left out only where the value stands in the target still.
        left_out = kept and key in before and key not in deletes and _is_partial(upserts.get(key))
        left_out = left_out and not whole_rows
        upserts[key] = {**model[key], "big": None, UNCHANGED: ["big"]} if left_out else model[key]
        if key in deletes and key not in before:
            del deletes[key]
    for key in set(upserts) & set(deletes):
        del deletes[key]
    only = not deletes and not before & set(upserts)
    return changes(list(upserts.values()), list(deletes.values()), insert_only=only)


def _is_partial(upsert: Row | None) -> bool:
    return upsert is None or UNCHANGED in upsert
