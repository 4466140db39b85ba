"""Leaving out what a restart repeats never changes what rows end as, and leaves nothing else out."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.landed.repeats import NO_HASHES, Hashes, repeated, repeated_rows, row_hashes

CHANGES = st.lists(st.integers(0, 5), max_size=12)
"""A change: key `n % 3` becomes `n`, so the same change comes often."""


def hashes(changes: list[int]) -> Hashes:
    return np.array(changes, np.uint64)


def rows_of(changes: list[int]) -> dict[int, int]:
    return {change % 3: change for change in changes}


@settings(max_examples=400)
@given(CHANGES, st.lists(CHANGES, max_size=4))
def test_rows_end_alike_whatever_was_left_out(known: list[int], files: list[list[int]]) -> None:
    dropped = repeated_rows(hashes(known), [hashes(each) for each in files], 1000)
    everything = [*known, *(change for each in files for change in each)]
    kept = [*known, *(c for each, count in zip(files, dropped, strict=True) for c in each[count:])]
    assert rows_of(kept) == rows_of(everything)


@settings(max_examples=200)
@given(st.integers(1, 30), st.integers(0, 30), st.lists(st.integers(1, 10), min_size=1, max_size=5))
def test_all_that_a_restart_wrote_again_is_left_out(read: int, back: int, cuts: list[int]) -> None:
    known = list(range(read))
    again = [*known[max(0, read - back) :], *range(100, 110)]
    files, rest = [], again
    for cut in cuts:
        files.append(rest[:cut])
        rest = rest[cut:]
    files.append(rest)
    dropped = repeated_rows(hashes(known), [hashes(each) for each in files], 1000)
    kept = [c for each, count in zip(files, dropped, strict=True) for c in each[count:]]
    assert kept == list(range(100, 110))


def test_only_the_end_of_what_was_read_is_a_repetition() -> None:
    assert repeated(hashes([1, 2, 3]), hashes([2, 3, 4])) == 2
    assert repeated(hashes([1, 2, 3]), hashes([1, 2])) == 0
    assert repeated(hashes([1, 2, 3]), hashes([4])) == 0
    assert repeated(NO_HASHES, hashes([1])) == 0
    assert repeated(hashes([1, 2, 3, 2, 3]), hashes([2, 3, 2, 3])) == 4


def test_hashes_tell_null_empty_and_columns_apart() -> None:
    with duckdb.connect() as connection:
        columns = [pa.array(["a", None, "", "ab", "a"]), pa.array(["b", "b", "b", "", "b"])]
        found = row_hashes(connection, columns)
        empty = row_hashes(connection, [pa.array([], pa.string())])
    assert found[0] == found[4]
    assert len(set(found.tolist())) == 4
    assert len(empty) == 0
