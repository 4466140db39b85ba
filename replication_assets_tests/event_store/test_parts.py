"""Which columns of a file have dictionaries: those whose values repeat, by its first rows alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replication_assets.errors import StoreError
from replication_assets.event_store.parts import PartWriter, repeating
from replication_assets.event_store.storage import Place, Storage

ROWS = 20_000
POSITIONS = {"_epoch": pa.int32(), "_commit_position": pa.int64(), "_sequence": pa.int64()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Storage(str(tmp_path)).place("table", "event log of a table")


def table(rows: int, first: int = 0) -> pa.Table:
    numbers = range(first, first + rows)
    columns = {name: pa.array([7] * rows, kind) for name, kind in POSITIONS.items()}
    return pa.table(
        {
            **columns,
            "id": pa.array(numbers, pa.int64()),
            "a.b": pa.array([f"state {number % 5}" for number in numbers]),
            "text": pa.array([f"text {number}" for number in numbers]),
            "names": pa.array([["a"]] * rows, pa.list_(pa.string())),
            "nothing": pa.nulls(rows, pa.string()),
        }
    )


def test_columns_whose_values_repeat_have_dictionaries_and_others_have_none() -> None:
    assert repeating(table(ROWS)) == [*POSITIONS, "a.b", "nothing"]


def test_a_file_that_begins_with_few_rows_has_dictionaries_throughout() -> None:
    assert repeating(table(10)) is True


def test_values_that_repeat_late_are_seen_since_rows_are_sampled_from_the_whole_group() -> None:
    sorted_runs = pa.table({"n": pa.array([row // 100 for row in range(ROWS)])})
    assert repeating(sorted_runs) == ["n"]


def test_a_file_holds_what_was_written_whether_its_later_rows_repeat_or_not(place: Place) -> None:
    pieces = [table(ROWS), table(ROWS, ROWS).set_column(4, "a.b", [[f"new {n}" for n in range(ROWS)]])]
    part = PartWriter(place, place.filesystem(), (), pieces[0].schema)
    for piece in pieces:
        part.write(piece)
    written = part.finish()
    assert place.local is not None
    file = place.local / written.path
    assert pq.read_table(file, partitioning=None) == pa.concat_tables(pieces)
    group = pq.read_metadata(file).row_group(0)
    encoded = {
        group.column(n).path_in_schema: group.column(n).has_dictionary_page for n in range(group.num_columns)
    }
    assert encoded["a.b"]
    assert not encoded["id"]
    assert not encoded["text"]


def test_a_file_without_rows_is_refused(place: Place) -> None:
    part = PartWriter(place, place.filesystem(), (), table(1).schema)
    with pytest.raises(StoreError, match="no rows"):
        part.finish()
    part.close()
