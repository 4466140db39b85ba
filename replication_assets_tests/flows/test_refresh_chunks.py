"""Chunks of a refresh: every row once, of about one size, and in an order that tells nothing."""

from __future__ import annotations

import itertools

import pyarrow as pa

from replication_assets.flows.refresh.chunks import chunks_of


def numbers(chunks: list[pa.RecordBatch]) -> list[int]:
    return [value for chunk in chunks for value in chunk.column("id").to_pylist()]


def batches(rows: int, size: int) -> list[pa.RecordBatch]:
    whole = pa.record_batch({"id": pa.array(range(rows)), "note": pa.array([f"n{at}" for at in range(rows)])})
    return [whole.slice(at, size) for at in range(0, rows, size)]


def test_every_row_is_in_one_chunk_and_no_chunk_is_empty_or_too_large() -> None:
    chunks = list(chunks_of(iter([*batches(1000, 70), *batches(0, 1)]), 128))
    assert sorted(numbers(chunks)) == list(range(1000))
    assert [chunk.num_rows for chunk in chunks] == [128] * 7 + [104]
    assert all(row["note"] == f"n{row['id']}" for chunk in chunks for row in chunk.to_pylist())


def test_wide_rows_make_chunks_of_fewer_rows() -> None:
    chunks = list(chunks_of(iter(batches(1000, 10)), 500, most_bytes=1))
    assert [chunk.num_rows for chunk in chunks] == [10] * 100


def test_the_order_of_the_source_is_lost_so_that_a_position_in_the_copy_is_no_key() -> None:
    (chunk,) = chunks_of(iter(batches(5000, 5000)), 10_000)
    found = numbers([chunk])
    ascending = sum(after > before for before, after in itertools.pairwise(found))
    # Of a random order half of the neighbours ascend, give or take about 20.
    assert abs(ascending - 2500) < 300
    (again,) = chunks_of(iter(batches(5000, 5000)), 10_000)
    assert numbers([again]) != found
