"""Rows that DMS writes a second time after a restart, found where they repeat the end of what was read.

A restarted task goes on from its last checkpoint: its first file begins with the rows that were
written since then, in their order. So a file whose first rows are the last ones that were read, all of
them and in the same order, repeats them. Leaving them out never changes what a row ends as, whatever
they were: who has done some changes and does the same again ends where he was.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]

NO_HASHES: Hashes = np.zeros(0, np.uint64)


def row_hashes(connection: duckdb.DuckDBPyConnection, columns: Sequence[pa.Array]) -> Hashes:
    """A hash of each row, the same for equal rows within one version of DuckDB: never to be stored."""
    names = [f"c{n}" for n in range(len(columns))]
    rows = pa.Table.from_arrays(list(columns), names=names)
    connection.register("hashed", rows)
    found = connection.execute(f"SELECT hash({', '.join(names)}) AS h FROM hashed").fetchnumpy()["h"]
    connection.unregister("hashed")
    hashes: Hashes = np.ma.filled(found, 0).astype(np.uint64)
    return hashes


def repeated(known: Hashes, new: Hashes) -> int:
    """How many of the first new rows are the last known ones again; the most that there can be."""
    if not len(new):
        return 0
    for at in np.flatnonzero(known == new[0]):
        run = len(known) - int(at)
        if run <= len(new) and np.array_equal(known[at:], new[:run]):
            return run
    return 0


def repeated_rows(known: Hashes, files: Sequence[Hashes], most: int) -> list[int]:
    """How many rows at the beginning of each of the files, which follow each other, were read before.
    `known` are the last rows before them; at most the last `most` rows count at any file."""
    dropped = [0] * len(files)
    known, number = known[-most:], 0
    while number < len(files):
        run = _run(known, files[number:], most)
        while run > 0 and number < len(files):
            dropped[number] = min(run, len(files[number]))
            run -= dropped[number]
            if dropped[number] < len(files[number]):
                break
            number += 1
        if number < len(files):
            known = np.concatenate([known, files[number][dropped[number] :]])[-most:]
            number += 1
    return dropped


def _run(known: Hashes, files: Sequence[Hashes], most: int) -> int:
    first = files[0]
    if not len(first) or not (known == first[0]).any():
        return 0
    gathered, rows = [first], len(first)
    for each in files[1:]:
        if rows >= most:
            break
        gathered.append(each)
        rows += len(each)
    return repeated(known, np.concatenate(gathered))
