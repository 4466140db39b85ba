"""Rows in pieces of so many bytes, however unequal they are: what a driver is given at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_FIXED_BYTES = 16


def cut(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    """At least one row each. Binaries count twice, as hex digits do."""
    at = 0
    upto = np.cumsum(_row_bytes(batch))
    while at < batch.num_rows:
        before = int(upto[at - 1]) if at else 0
        end = max(at + 1, int(np.searchsorted(upto, before + most, side="right")))
        yield batch.slice(at, end - at)
        at = end


def _row_bytes(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    total: npt.NDArray[np.int64] = np.full(batch.num_rows, _FIXED_BYTES * batch.num_columns, dtype=np.int64)
    for values in batch.columns:
        if pa.types.is_string(values.type) or pa.types.is_binary(values.type):
            lengths = pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False)
            total += lengths.astype(np.int64) * (2 if pa.types.is_binary(values.type) else 1)
    return total
