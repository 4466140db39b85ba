"""Batches of a fold, cut into chunks of about one size: what is masked, sealed and loaded at once.

Rows of a chunk are in random order. A fold gives them mostly in the order of the source's key, and a
target keeps the order in which rows come (`ctid`, `rowid`): of a key that counts from 1, the position
of a row in the copy would be the raw key, whatever its mask.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

MOST_BYTES = 16 * 2**20
"""A chunk of wide rows has fewer of them: it is held in memory several times over."""


def chunks_of(
    batches: Iterator[pa.RecordBatch], rows: int, most_bytes: int = MOST_BYTES
) -> Iterator[pa.RecordBatch]:
    """The same rows; no chunk is empty, has more than `rows`, or waits for more once it has `most_bytes`."""
    waiting: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        at = 0
        while at < batch.num_rows:
            part = batch.slice(at, rows - count)
            at += part.num_rows
            waiting.append(part)
            count, size = count + part.num_rows, size + part.nbytes
            if count >= rows or size >= most_bytes:
                yield _joined(waiting)
                waiting, count, size = [], 0, 0
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    """They are let go of before they are held a third time."""
    chunk = pa.concat_batches(parts) if len(parts) > 1 else parts[0]
    parts.clear()
    return chunk.take(pa.array(np.random.default_rng().permutation(chunk.num_rows)))
