"""What every projection target promises to those who validate and repair it.

A subclass provides the fixture `place` of `projection_target.py`. A mismatch is planted through
the target itself: wrong rows are filled in at the positions of the right ones, as a bug would.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from replication_assets.core.events import ID_RANGE, POSITION
from replication_assets.core.fold import row_schema
from replication_assets.core.schema import TableSchema
from replication_assets.errors import CommitConflict, TargetError
from replication_assets.ports import ProjectionTarget, RangeCheckpoint
from replication_assets.ports.target import DELETED, view_schema
from replication_assets_tests.contracts.projection_target import (
    BASELINE,
    KEYED,
    KEYLESS,
    ODD_VALUES,
    A,
    B,
    Place,
    Row,
    apply,
    at,
    changes,
    exact,
    fill,
    row,
    table,
)

RIGHT: tuple[Row, ...] = (
    row(at(5), id=1, name="right"),
    row(at(5), id=2, name="right"),
    row(at(6, 1), id=3, name="right"),
)
WRONG: tuple[Row, ...] = (
    row(at(5), id=1, name="right"),
    row(at(5), id=2, name="wrong"),
    row(at(5), id=4, name="nobody's"),
)


def imaged(target: ProjectionTarget, rows: Sequence[Row], schema: TableSchema = KEYED) -> pa.Table:
    return pa.Table.from_batches(target.image(schema, table(rows, schema).to_batches()))


def seen(target: ProjectionTarget, *id_ranges: str, schema: TableSchema = KEYED) -> pa.Table:
    """Rows of the view, of all ranges unless some are named, that are not deleted."""
    (empty,) = target.image(schema, [pa.RecordBatch.from_pylist([], schema=row_schema(schema))])
    batches = list(target.view(schema).read(id_ranges or None))
    rows = pa.Table.from_batches(batches, view_schema(empty.schema))
    return rows.filter(pa.compute.invert(rows[DELETED])).drop_columns([DELETED])


def of_range(rows: pa.Table, id_range: str) -> pa.Table:
    return rows.append_column(ID_RANGE, pa.repeat(pa.scalar(id_range), rows.num_rows))


def repair_all(target: ProjectionTarget, checkpoint: RangeCheckpoint) -> None:
    """Turn what `WRONG` left into `RIGHT`."""
    gone = imaged(target, WRONG[2:]).select(target.identity(KEYED))
    target.repair(A, KEYED, table(RIGHT[1:]), gone, checkpoint)


class TargetViewContract:
    """Run by each adapter; see the module."""

    def test_the_view_shows_the_image_of_what_was_filled_and_applied(self, place: Place) -> None:
        rows = [row(at(5), id=i, **values) for i, values in enumerate(ODD_VALUES)]
        fill(place.target, rows, at(5))
        new = row(at(6, 1), id=50, name="new")
        apply(place.target, changes([new], [row(at(6, 2), id=0)]), at(6, 2))
        expected = of_range(imaged(place.target, [*rows[1:], new]), A)
        assert exact(seen(place.target)) == exact(expected)

    def test_an_image_begins_with_what_tells_its_rows_apart_and_ends_with_the_position(
        self, place: Place
    ) -> None:
        rows = [row(at(5), id=i, **values) for i, values in enumerate(ODD_VALUES)]
        found = imaged(place.target, rows)
        identity = place.target.identity(KEYED)
        assert tuple(found.column_names[: len(identity)]) == identity
        assert tuple(found.column_names[-3:]) == POSITION
        assert found.select(identity).group_by(list(identity)).aggregate([]).num_rows == len(rows)

    def test_rows_have_the_identities_of_their_images(self, place: Place) -> None:
        rows = table([row(at(5), id=i, **values) for i, values in enumerate(ODD_VALUES)])
        named = pa.Table.from_batches([place.target.identities(KEYED, b) for b in rows.to_batches()])
        identity = place.target.identity(KEYED)
        assert exact(named) == exact(
            pa.Table.from_batches(place.target.image(KEYED, rows.to_batches())).select(identity)
        )

    def test_an_image_of_a_batch_without_rows_tells_its_columns(self, place: Place) -> None:
        (empty,) = place.target.image(KEYED, [pa.RecordBatch.from_pylist([], schema=row_schema(KEYED))])
        assert empty.num_rows == 0
        assert empty.schema == imaged(place.target, RIGHT).schema

    def test_the_view_reads_single_ranges(self, place: Place) -> None:
        fill(place.target, [row(at(5), id=1)], at(5), A)
        fill(place.target, [row(at(6), id=900)], at(6), B)
        assert exact(seen(place.target, B)) == exact(of_range(imaged(place.target, [row(at(6), id=900)]), B))
        assert set(seen(place.target)[ID_RANGE].to_pylist()) == {A, B}

    def test_the_view_tells_the_checkpoint_of_each_range(self, place: Place) -> None:
        assert place.target.view(KEYED).checkpoint(A) is None
        fill(place.target, [row(at(5), id=1)], at(5))
        assert place.target.view(KEYED).checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 1)
        assert place.target.view(KEYED).checkpoint(B) is None

    def test_an_emptied_target_shows_no_rows(self, place: Place) -> None:
        fill(place.target, [row(at(5), id=1)], at(5))
        place.empty()
        assert seen(place.target).num_rows == 0

    def test_missing_extra_and_differing_rows_are_repaired_and_no_others(self, place: Place) -> None:
        checkpoint = fill(place.target, WRONG, at(9))
        repair_all(place.target, checkpoint)
        assert exact(seen(place.target)) == exact(of_range(imaged(place.target, RIGHT), A))
        assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(9), 3)

    def test_a_repair_twice_is_a_repair_once(self, place: Place) -> None:
        checkpoint = fill(place.target, WRONG, at(9))
        repair_all(place.target, checkpoint)
        repair_all(place.target, checkpoint)
        assert exact(seen(place.target)) == exact(of_range(imaged(place.target, RIGHT), A))

    def test_a_repaired_range_goes_on_from_where_it_was(self, place: Place) -> None:
        repair_all(place.target, fill(place.target, WRONG, at(9)))
        update = row(at(10, 1), id=2, name="newer")
        apply(place.target, changes([update], [row(at(10, 2), id=3)]), at(10, 2))
        assert exact(seen(place.target)) == exact(of_range(imaged(place.target, [RIGHT[0], update]), A))

    def test_a_range_that_moved_on_is_not_repaired(self, place: Place) -> None:
        checkpoint = fill(place.target, WRONG, at(9))
        apply(place.target, changes([row(at(10, 1), id=7)]), at(10, 1))
        before = exact(seen(place.target))
        with pytest.raises(CommitConflict):
            repair_all(place.target, checkpoint)
        assert exact(seen(place.target)) == before

    def test_a_range_that_was_never_filled_is_not_repaired(self, place: Place) -> None:
        with pytest.raises((TargetError, CommitConflict)):
            repair_all(place.target, RangeCheckpoint(BASELINE, at(9), 3))

    def test_rows_that_nothing_tells_apart_are_not_repaired(self, place: Place) -> None:
        if place.target.identity(KEYLESS):
            return
        checkpoint = fill(place.target, [row(at(5), name="a")], at(5), schema=KEYLESS)
        rows = table([row(at(5), name="b")], KEYLESS)
        with pytest.raises(TargetError, match="replace the range"):
            place.target.repair(A, KEYLESS, rows, rows.select([]), checkpoint)
