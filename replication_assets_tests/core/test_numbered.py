"""A row's number in one scan is its number in the next, whatever files it is read from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core import datasets
from replication_assets.core.datasets import SafeDataset
from replication_assets.core.numbered import NUMBER, NumberedRows, Numbers
from replication_assets.errors import StoreCorrupt

FILES = (300, 1, 7_000, 20, 0, 450)
ROWS = sum(FILES)


@pytest.fixture(scope="module")
def many_files(tmp_path_factory: pytest.TempPathFactory) -> SafeDataset:
    """Small files, and large ones of several row groups, as `SCANNED_BYTES` of 4 KiB has it."""
    folder = tmp_path_factory.mktemp("numbered")
    first = 0
    for number, count in enumerate(FILES):
        values = np.arange(first, first + count)
        table = pa.table({"k": values, "wide": [f"row {value}" * 5 for value in values.tolist()]})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=1_000)
        first += count
    found = ds.dataset(sorted(folder.glob("*.parquet")))
    return SafeDataset.of(found).with_sizes({path: Path(path).stat().st_size for path in found.files})


@pytest.fixture(autouse=True)
def pieces_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "SCANNED_BYTES", 4 << 10)


def fetched(rows: NumberedRows, numbers: Numbers, columns: list[str]) -> list[pa.RecordBatch]:
    def chosen(first: int, end: int) -> Numbers:
        return numbers[(numbers >= first) & (numbers < end)]

    return list(rows.fetch(chosen, columns))


@pytest.mark.usefixtures("pieces_are_small")
def test_rows_are_found_again_by_the_numbers_that_they_were_read_with(many_files: SafeDataset) -> None:
    @given(st.sets(st.integers(0, ROWS - 1), max_size=50))
    def found_again(wanted: set[int]) -> None:
        rows = NumberedRows(many_files, None, "t")
        read = rows.reader(["k"]).read_all()
        assert read[NUMBER].to_pylist() == read["k"].to_pylist() == list(range(ROWS))
        numbers = np.array(sorted(wanted, reverse=True), np.int64)
        batches = fetched(rows, numbers, ["wide", "k"])
        assert [k for batch in batches for k in batch.column("k").to_pylist()] == sorted(wanted)
        texts = [text for batch in batches for text in batch.column("wide").to_pylist()]
        assert texts == [f"row {k}" * 5 for k in sorted(wanted)]

    found_again()


def test_row_groups_that_cannot_hold_what_is_wanted_have_no_numbers(many_files: SafeDataset) -> None:
    rows = NumberedRows(many_files, pc.field("k") >= 5_000, "t")
    read = rows.reader(["k"]).read_all()
    assert set(range(5_000, ROWS)) <= set(read["k"].to_pylist())
    assert len(read) < ROWS - 3_000
    last = np.array([len(read) - 1], np.int64)
    (batch,) = fetched(rows, last, ["k"])
    assert batch.column("k").to_pylist() == [ROWS - 1]


def test_files_that_hold_fewer_rows_than_they_did_are_no_log(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    pq.write_table(pa.table({"k": range(10)}), path)
    rows = NumberedRows(SafeDataset.of(ds.dataset([path])), None, "the log of t")
    rows.reader(["k"]).read_all()
    pq.write_table(pa.table({"k": range(9)}), path)
    rows._rows = SafeDataset.of(ds.dataset([path]))
    with pytest.raises(StoreCorrupt, match=r"the log of t: files held 10 rows .* and 9 when"):
        fetched(rows, np.array([3], np.int64), ["k"])
